"""The hypotheses that beams follow, the ranking of their candidates, and those that are finished.

A sentence has one beam, or one for each of its groups. A row is a hypothesis under way.

Shapes: B beams (sentences x groups), A beams under way, W hypotheses of a beam, N rows of all
beams, k candidates a row, S source length, P = A x W places, X = W x k candidates of a beam, C of
them ranked, R and M: some of the rows or candidates.
"""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass

import numpy as np

from seq2seq.ids import EOS
from seq2seq.search.model import Bools, Floats, Hypothesis, Ints
from seq2seq.search.step import BestTokens
from seq2seq.search.trace import Coverage, End, Trace, ends_at


@dataclass(frozen=True)
class Ranked:
    """The best candidates of A beams, C each, best first.

    Overdue hypotheses only go on because phrases are missing: stopping early need not wait for
    them. None: there are none.
    """

    sum_AC: Floats  # the sums of the model's own log-probabilities; -inf: impossible
    token_AC: Ints  # the tokens that they add
    row_AC: Ints  # the rows that they extend
    is_end_AC: Bools  # where the token is eos
    overdue_AC: Bools | None = None

    def is_plain(self, width: int) -> bool:
        """Whether the first ``width`` candidates of every beam are possible, and none ends."""
        if self.sum_AC.shape[1] < width or self.is_end_AC[:, :width].any():
            return False
        return bool(np.minimum.reduce(self.sum_AC[:, width - 1]) > -np.inf)

    def unfinished(self, width: int) -> Bools:
        """Marks the first ``width`` possible candidates that do not end their hypothesis."""
        goes_on: Bools = self.sum_AC > -np.inf
        goes_on &= ~self.is_end_AC
        goes_on &= goes_on.cumsum(axis=1) <= width
        return goes_on

    def finished(self, width: int) -> Bools:
        """Marks the possible ends among the first ``width`` candidates."""
        ends: Bools = self.is_end_AC & (self.sum_AC > -np.inf)
        ends[:, width:] = False
        return ends

    def allocated(self, places_AC: Ints, taken_AC: Bools, overdue_AC: Bools) -> Ranked:
        """Takes the candidates at some places, in that order; what is not taken is impossible."""
        sum_AC = np.where(taken_AC, np.take_along_axis(self.sum_AC, places_AC, axis=1), -np.inf)
        token_AC = np.take_along_axis(self.token_AC, places_AC, axis=1)
        row_AC = np.take_along_axis(self.row_AC, places_AC, axis=1)
        return Ranked(sum_AC, token_AC, row_AC, token_AC == EOS, overdue_AC)


class BeamState:
    """Up to W hypotheses, best first, of each beam under way, and the sum of each."""

    def __init__(self, beam_A: Ints, count_A: Ints, sum_N: Floats) -> None:
        self.beam_A = beam_A
        self.sum_N = sum_N
        self.beam_N = beam_A.repeat(count_A)
        self._width = width = int(count_A.max(initial=0))
        # Where each beam has W rows, a row is its place. Elsewhere some places stay empty.
        self._place_N: Ints | None = None
        if len(sum_N) < len(beam_A) * width:
            self._place_N = np.flatnonzero(np.arange(width) < count_A[:, None])
            self._row_P = np.zeros(len(beam_A) * width, dtype=np.int64)
            self._row_P[self._place_N] = np.arange(len(sum_N))
        self._first_A1 = np.arange(len(beam_A))[:, None] * width  # the first place of each beam

    @classmethod
    def at_start(cls, beams: int) -> BeamState:
        """One empty hypothesis in each beam."""
        return cls(np.arange(beams), np.ones(beams, dtype=np.int64), np.zeros(beams))

    def rank(self, best: BestTokens, wanted: int) -> Ranked:
        """Extends every hypothesis and ranks the results, for each beam by itself.

        The best ``wanted`` of each come, or as many as there are: higher sums first; of equal ones,
        that of the better parent, then the token that comes first among its row's candidates.
        """
        k = best.token_Nk.shape[1]
        sum_Xs = self._spread(self.sum_N[:, None] + best.log_prob_Nk)
        rank_Xs = sum_Xs
        if best.adjusted_Nk is not best.log_prob_Nk:
            rank_Xs = self._spread(self.sum_N[:, None] + best.adjusted_Nk)
        rank_AX = rank_Xs.reshape(len(self.beam_A), self._width * k)
        order_AC = (-rank_AX).argsort(axis=1, kind="stable")[:, :wanted]
        order_AC += self._first_A1 * k
        row_AC = order_AC // k
        sum_AC = sum_Xs.take(order_AC)
        if self._place_N is not None:
            place_AC, row_AC = row_AC, self._row_P.take(row_AC)
            order_AC += (row_AC - place_AC) * k
        token_AC = best.token_Nk.take(order_AC)
        return Ranked(sum_AC, token_AC, row_AC, token_AC == EOS)

    def _spread(self, values_Nk: Floats) -> Floats:
        """Puts each row's values at its place, one after another; nothing is possible elsewhere."""
        if self._place_N is None:
            return values_Nk.reshape(-1)
        spread_Pk = np.full((len(self._row_P), values_Nk.shape[1]), -np.inf)
        spread_Pk[self._place_N] = values_Nk
        return spread_Pk.reshape(-1)

    def advance(self, ranked: Ranked, keep_AC: Bools) -> tuple[BeamState, Ints, Ints]:
        """Goes on with the candidates marked; beams without any leave.

        The state comes with what the model needs: the row that each goes on from, and its token.
        """
        count_A = keep_AC.sum(axis=1)
        stays_A = count_A > 0
        state = BeamState(self.beam_A[stays_A], count_A[stays_A], ranked.sum_AC[keep_AC])
        return state, ranked.row_AC[keep_AC], ranked.token_AC[keep_AC]

    def advance_all(self, ranked: Ranked, width: int) -> tuple[BeamState, Ints, Ints]:
        """As ``advance``, but faster: with the first ``width`` of every beam, all possible."""
        sum_N = ranked.sum_AC[:, :width].reshape(-1)
        row_N = ranked.row_AC[:, :width].reshape(-1)
        token_N = ranked.token_AC[:, :width].reshape(-1)
        if width != self._width or self._place_N is not None:
            counts_A = np.full(len(self.beam_A), width, dtype=np.int64)
            return BeamState(self.beam_A, counts_A, sum_N), row_N, token_N
        state = BeamState.__new__(BeamState)
        state.__dict__.update(self.__dict__, sum_N=sum_N)
        return state, row_N, token_N


class Finished:
    """The best finished hypotheses of each beam, up to ``width``, best first.

    Once ``wanted`` of a beam are certain, it is done. ``positions_B`` are the sources' lengths, eos
    counted.
    """

    def __init__(
        self, caps_B: Ints, positions_B: Ints, width: int, wanted: int, divisor_of: Floats
    ) -> None:
        self.any = False  # whether there are any yet
        self._caps_B = caps_B
        self._positions_B = positions_B
        self._width = width
        self._wanted = wanted
        self._divisor_of = divisor_of
        self._greatest_divisor_B = divisor_of[caps_B + 1]
        self._best_B = np.full(len(caps_B), -np.inf)
        self._last_wanted_B = np.full(len(caps_B), -np.inf)
        self._is_full_B = np.zeros(len(caps_B), dtype=np.bool_)
        self._ends: list[list[End]] = [[] for _ in caps_B]

    def add(
        self,
        ranked: Ranked,
        beam_A: Ints,
        length: int,
        truncated_N: Bools | None,
        coverage: Coverage | None,
    ) -> None:
        """Notes the hypotheses that end at a step; of equal scores, the first noted goes first."""
        which_M, place_M = ranked.finished(self._width).nonzero()
        beam_M, row_M = beam_A[which_M], ranked.row_AC[which_M, place_M]
        sum_M = ranked.sum_AC[which_M, place_M]
        score_M = sum_M / self._divisor_of[length + 1]
        if coverage is not None:
            score_M += coverage.penalties(row_M, self._positions_B[beam_M])
        ends = ends_at(length, row_M, sum_M, score_M, truncated_N)
        for beam, end in zip(beam_M.tolist(), ends, strict=True):
            self._add(beam, end)

    def _add(self, beam: int, end: End) -> None:
        self.any = True
        ends = self._ends[beam]
        insort(ends, end, key=lambda one: -one.score)
        del ends[self._width :]
        self._best_B[beam] = ends[0].score
        self._is_full_B[beam] = len(ends) == self._width
        if len(ends) >= self._wanted:
            self._last_wanted_B[beam] = ends[self._wanted - 1].score

    def add_stuck(self, ranked: Ranked, stuck_A: Bools, beam_A: Ints, length: int) -> None:
        """Notes the best prefix of beams where no candidate is possible and nothing was found."""
        for which in stuck_A.nonzero()[0].tolist():
            beam = int(beam_A[which])
            if not self._ends[beam]:
                row = int(ranked.row_AC[which, 0])
                self._add(beam, End(-np.inf, -np.inf, length, row, truncated=True))

    def done(self, ranked: Ranked, keep_AC: Bools, beam_A: Ints, length: int) -> Bools:
        """Marks beams whose wanted hypotheses will not change (A,): rule 4 of the beam search."""
        live_AC = np.where(keep_AC, ranked.sum_AC, -np.inf)
        live_A = promising_A = live_AC.max(axis=1)
        if ranked.overdue_AC is not None:
            promising_A = np.where(ranked.overdue_AC, -np.inf, live_AC).max(axis=1)
        best_A = self._best_B[beam_A]
        done_A = live_A / self._greatest_divisor_B[beam_A] <= self._last_wanted_B[beam_A]
        is_worse_A = promising_A / self._divisor_of[length + 1] <= best_A
        done_A |= (is_worse_A | (self._width == 1)) & self._is_full_B[beam_A]
        # Only what had nothing finished at its cap goes on, until a rule allows it to end.
        done_A |= (self._caps_B[beam_A] <= length) & (best_A > -np.inf)
        return np.asarray(done_A)

    def hypotheses(self, trace: Trace, groups: int, n_best: int) -> list[list[Hypothesis]]:
        """Writes out the best ``n_best`` of each sentence, best first, each translation once."""
        # A beam finds nothing twice, so that more than these are not looked at.
        kept = [ends[:n_best] for ends in self._ends]
        written = iter(
            trace.hypotheses(
                [end for ends in kept for end in ends],
                self._positions_B.repeat([len(ends) for ends in kept]).tolist(),
            )
        )
        of_beams = [[next(written) for _ in ends] for ends in kept]
        found = []
        for first in range(0, len(of_beams), groups):
            every = [one for several in of_beams[first : first + groups] for one in several]
            best: dict[tuple[int, ...], Hypothesis] = {}
            for one in sorted(every, key=lambda one: -one.score):
                impossible = best and one.log_prob == -np.inf
                if len(best) < n_best and not impossible:
                    best.setdefault(one.tokens, one)
            found.append(list(best.values()))
        return found
