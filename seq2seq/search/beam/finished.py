"""The translations that a beam search has finished: the best of each lane, and when that is all.

Shapes: L lanes, A lanes under way, C ranked extensions of a lane.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

import numpy as np

from seq2seq.search.beam.candidates import Ranked
from seq2seq.search.model import Bools, Floats, Hypothesis, Ints
from seq2seq.search.trace import History, token_log_probs


@dataclass(frozen=True, slots=True)
class End:
    """A finished hypothesis.

    Attributes:
        score: What it is ranked by.
        log_prob: The sum of its log-probabilities.
        length: How many tokens it has, which is the step that it ended at.
        row: Its row at that step.
        cut: Whether it was cut there.
    """

    score: float
    log_prob: float
    length: int
    row: int
    cut: bool


class Finished:
    """The best finished hypotheses of each lane, up to ``width``, best first.

    Args:
        caps_L: The most tokens of each lane's translations.
        width: Hypotheses that a lane follows.
        wanted: How many of a lane's hypotheses are wanted, at most ``width``.
        divisor_of: What a sum of log-probabilities is divided by, for each length.
    """

    def __init__(self, caps_L: Ints, width: int, wanted: int, divisor_of: Floats) -> None:
        self._caps_L = caps_L
        self._width = width
        self._wanted = wanted
        self._divisor_of = divisor_of
        self._greatest_divisor_L = divisor_of[caps_L + 1]
        self._best_L = np.full(len(caps_L), -np.inf)
        self._last_wanted_L = np.full(len(caps_L), -np.inf)
        self._is_full_L = np.zeros(len(caps_L), dtype=np.bool_)
        self.ends: list[list[End]] = [[] for _ in caps_L]
        self.any = False

    def add(
        self,
        ranked: Ranked,
        ends_AC: Bools,
        lane_A: Ints,
        step: int,
        cut_N: Bools | None,
        penalty_N: Floats | None,
    ) -> None:
        """Notes the hypotheses that end at a step; of equal scores, the first noted goes first.

        Args:
            ranked: The extensions.
            ends_AC: Those that end.
            lane_A: The lanes.
            step: How many tokens they have.
            cut_N: Marks rows that were cut at their cap; None: none was.
            penalty_N: What is added to the score of each row that ends; None: nothing.
        """
        divisor = float(self._divisor_of[step + 1])
        lanes = lane_A.tolist()
        which_M, place_M = ends_AC.nonzero()
        at = (which_M, place_M)
        for which, row, total in zip(
            which_M.tolist(), ranked.row_AC[at].tolist(), ranked.sum_AC[at].tolist(), strict=True
        ):
            score = total / divisor + (0.0 if penalty_N is None else float(penalty_N[row]))
            cut = total == -np.inf or (cut_N is not None and bool(cut_N[row]))
            self._add(lanes[which], End(score, total, step, row, cut))

    def _add(self, lane: int, end: End) -> None:
        self.any = True
        ends = self.ends[lane]
        insort(ends, end, key=lambda one: -one.score)
        del ends[self._width :]
        self._best_L[lane] = ends[0].score
        self._is_full_L[lane] = len(ends) == self._width
        if len(ends) >= self._wanted:
            self._last_wanted_L[lane] = ends[self._wanted - 1].score

    def add_stuck(self, ranked: Ranked, stuck_A: Bools, lane_A: Ints, step: int) -> None:
        """Notes the best prefix of lanes where nothing is possible any more and nothing was found.

        Args:
            ranked: The extensions.
            stuck_A: Lanes where none is possible.
            lane_A: The lanes.
            step: How many tokens they have.
        """
        for which in stuck_A.nonzero()[0].tolist():
            lane = int(lane_A[which])
            if not self.ends[lane]:
                row = int(ranked.row_AC[which, 0])
                self._add(lane, End(-np.inf, -np.inf, step, row, cut=True))

    def done(self, ranked: Ranked, keep_AC: Bools, lane_A: Ints, step: int) -> Bools:
        """Marks lanes whose wanted hypotheses will not change: rule 4 of the beam.

        Args:
            ranked: The extensions.
            keep_AC: Those that would go on.
            lane_A: The lanes.
            step: How many tokens their rows have.

        Returns:
            The marks (A,).
        """
        live_AC = np.where(keep_AC, ranked.sum_AC, -np.inf)
        live_A = hope_A = live_AC.max(axis=1)
        if ranked.over_AC is not None:
            hope_A = np.where(ranked.over_AC, -np.inf, live_AC).max(axis=1)
        best_A = self._best_L[lane_A]
        done_A = live_A / self._greatest_divisor_L[lane_A] <= self._last_wanted_L[lane_A]
        is_worse_A = hope_A / self._divisor_of[step + 1] <= best_A
        done_A |= (is_worse_A | (self._width == 1)) & self._is_full_L[lane_A]
        # Only what had nothing finished at its cap goes on, until a rule allows it to end.
        done_A |= (self._caps_L[lane_A] <= step) & (best_A > -np.inf)
        return np.asarray(done_A)

    def hypotheses(
        self,
        history: History,
        lengths_B: Ints,
        groups: int,
        n_best: int,
        keep_attention: bool,
    ) -> list[list[Hypothesis]]:
        """Writes out the best of each sentence, each translation once.

        Args:
            history: What led to them.
            lengths_B: Pieces of each source.
            groups: Lanes of a sentence.
            n_best: How many are wanted.
            keep_attention: Whether hypotheses keep their attention.

        Returns:
            The hypotheses of each sentence, best first.
        """
        # A lane finds nothing twice, so that more than these are not looked at.
        lanes_of_ends = [lane[:n_best] for lane in self.ends]
        ends = [end for lane in lanes_of_ends for end in lane]
        traces = iter(history.trace([end.length for end in ends], [end.row for end in ends]))
        traced = [[(end, *next(traces)) for end in lane] for lane in lanes_of_ends]
        found = []
        for sentence, positions in enumerate(lengths_B.tolist()):
            lanes = traced[sentence * groups : (sentence + 1) * groups]
            every = sorted((one for lane in lanes for one in lane), key=lambda one: -one[0].score)
            best: dict[tuple[int, ...], Hypothesis] = {}
            for end, tokens, sums, path in every:
                impossible = best and end.log_prob == -np.inf
                if len(best) == n_best or impossible or tuple(tokens) in best:
                    continue
                best[tuple(tokens)] = Hypothesis(
                    tuple(tokens),
                    end.log_prob,
                    end.score,
                    end.cut,
                    token_log_probs(sums, end.log_prob),
                    history.attention_of(path, positions) if keep_attention else None,
                )
            found.append(list(best.values()))
        return found
