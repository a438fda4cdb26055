"""Beam search over a batch of sentences, without a loop over sentences or hypotheses.

What it does, for each sentence:

1. At each step every live hypothesis is extended by every token. The extensions are ranked by the
   sum of their log-probabilities; of equal ones, that of the better parent goes first, then the
   lower token id.
2. An extension by eos is finished if it is among the first ``beam`` of that ranking. The first
   ``beam`` others are the live hypotheses of the next step.
3. At the length cap eos is forced: all live hypotheses are finished, with its log-probability.
4. The sentence is done when none is live, or when no live one can still be among the ``n_best``.
   That is proved, not guessed: a sum of log-probabilities ``s <= 0`` only falls, and is divided at
   most by the greatest divisor, that of the cap, so no end of this hypothesis scores above
   ``s / divisor(cap + 1)``. If ``n_best`` finished ones score at least that much, nothing that is
   still to come replaces them. Where scores are normalized by length, though, that bound is loose
   and alone would often go on to the cap. So with ``beam`` or more finished, a guess is enough: the
   live ones are given up if none, as it stands and by its own length, scores above the best
   finished one. It does not look at ``n_best``, so asking for more never changes the best.
   (To stop at ``beam`` finished ones whatever they score, as is often done, loses the translation
   where a model is sure of itself: ends without any chance then make up the beam's last places.)
5. Finished hypotheses are ranked by normalized score; of equal ones, the first found goes first.

Of each row the ``beam + 1`` best tokens are enough to know the ranking as far as it matters: a row
has at most ``beam`` tokens among the first ``beam`` non-eos ones, and if eos is among the first
``beam`` of all, it is among the first ``beam`` of its row.

Nothing here mixes sentences, so a sentence's result does not depend on the batch that it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seq2seq.errors import Seq2SeqError
from seq2seq.search.history import History
from seq2seq.search.protocol import (
    Bools,
    Floats,
    Hypothesis,
    Ints,
    S,
    SourceBatch,
    StepModel,
    checked,
)
from seq2seq.search.rules import (
    SUPPRESSED,
    Normalization,
    checked_caps,
    divisors,
    force_ends,
    suppressing,
)
from seq2seq.text.tokenizer import BOS, EOS


def beam_search(
    model: StepModel[S],
    source: SourceBatch,
    *,
    beam: int,
    n_best: int = 1,
    max_lengths: npt.ArrayLike,
    normalization: Normalization,
    suppress: Sequence[int] = SUPPRESSED,
) -> list[list[Hypothesis]]:
    """Translates a batch, following the ``beam`` best hypotheses of each sentence.

    Args:
        model: The model.
        source: The sentences (B).
        beam: How many hypotheses of a sentence are followed.
        n_best: How many translations of a sentence are wanted, at most ``beam``.
        max_lengths: The most tokens of each translation, eos not counted (B,).
        normalization: How scores are made from sums of log-probabilities.
        suppress: Tokens that are never taken.

    Returns:
        For each sentence up to ``n_best`` hypotheses, best first, and at least one: where the model
        leaves no possible translation (all tokens -inf), the best prefix with a score of -inf.

    Raises:
        Seq2SeqError: If ``beam``, ``n_best``, ``max_lengths`` or ``suppress`` do not fit.
        ModelError: If the model's log-probabilities are NaN.
    """
    check_sizes(beam, n_best)
    caps = checked_caps(max_lengths, len(source))
    if not len(source):
        return []
    bias = suppressing(model.vocab_size, suppress)
    k = min(beam + 1, model.vocab_size)
    table = divisors(normalization, int(caps.max(initial=0)) + 1)

    finished = _Finished(len(source), beam, n_best, table)
    live = _Live.at_start(len(source))
    history = History()
    state = model.start(source)
    parent_N = np.arange(len(source))
    token_N = np.full(len(source), BOS, dtype=np.int64)
    step = 0
    while len(parent_N):
        candidates, next_state = model.step(state, parent_N, token_N, k, bias)
        capped_R = live.rows_of(caps[live.sentence_A] == step)
        log_probs, tokens, cut_N = force_ends(
            model, state, parent_N, token_N, capped_R, *checked(candidates)
        )
        ranked = live.rank(log_probs, tokens, 2 * beam)
        keep_AC = ranked.first_unfinished(beam)
        finished.add(ranked, keep_AC, live.sentence_A, step, cut_N)
        done_A = finished.done(ranked, keep_AC, live.sentence_A, step, caps)
        live, parent_N, token_N = live.advance(ranked, keep_AC & ~done_A[:, None])
        history.append(parent_N, token_N)
        state = next_state
        step += 1
    return finished.hypotheses(history)


def check_sizes(beam: int, n_best: int) -> None:
    """Checks the sizes that a user may ask for.

    Args:
        beam: How many hypotheses are followed.
        n_best: How many are wanted.

    Raises:
        Seq2SeqError: If one is below 1, or more are wanted than followed.
    """
    if beam < 1:
        raise Seq2SeqError(f"beam is {beam}; 1 (greedy) or more is allowed")
    if n_best < 1:
        raise Seq2SeqError(f"n_best is {n_best}; 1 or more is allowed")
    if n_best > beam:
        raise Seq2SeqError(
            f"n_best is {n_best}, but a beam of {beam} finds no more than {beam} translations "
            f"for sure: ask for at most {beam}, or for a beam of {n_best} or more"
        )


@dataclass(frozen=True)
class _Ranked:
    """The best extensions of A sentences, C each, best first; impossible ones have sum -inf."""

    sum_AC: Floats
    token_AC: Ints
    row_AC: Ints

    def first_unfinished(self, beam: int) -> Bools:
        """Marks the first ``beam`` possible extensions that do not end their hypothesis."""
        goes_on: Bools = (self.token_AC != EOS) & (self.sum_AC > -np.inf)
        goes_on &= np.cumsum(goes_on, axis=1) <= beam
        return goes_on

    def finished(self, beam: int) -> Bools:
        """Marks the possible ends among the first ``beam`` extensions."""
        ends: Bools = (self.token_AC == EOS) & (self.sum_AC > -np.inf)
        ends[:, beam:] = False
        return ends


@dataclass(frozen=True)
class _Live:
    """Where the rows of the model belong: up to W hypotheses, best first, of A sentences.

    ``exists_AW`` marks the places that are taken; read row by row they are the model's rows 0 to
    N - 1, whose sums of log-probabilities ``sum_N`` holds.
    """

    sentence_A: Ints
    exists_AW: Bools
    sum_N: Floats

    @classmethod
    def at_start(cls, sentences: int) -> _Live:
        exists = np.ones((sentences, 1), dtype=np.bool_)
        return cls(np.arange(sentences), exists, np.zeros(sentences))

    def rows_of(self, chosen_A: Bools) -> Ints:
        """The model's rows that belong to the chosen sentences."""
        if not chosen_A.any():
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(
            np.broadcast_to(chosen_A[:, None], self.exists_AW.shape)[self.exists_AW]
        )

    def rank(self, log_probs_Nk: Floats, tokens_Nk: Ints, best: int) -> _Ranked:
        """Extends every live hypothesis and ranks the results, for each sentence by itself."""
        sentences, width = self.exists_AW.shape
        k = tokens_Nk.shape[1]
        sum_AWk = np.full((sentences, width, k), -np.inf)
        sum_AWk[self.exists_AW] = self.sum_N[:, None] + log_probs_Nk
        token_AWk = np.zeros((sentences, width, k), dtype=np.int64)
        token_AWk[self.exists_AW] = tokens_Nk
        row_AW = np.zeros((sentences, width), dtype=np.int64)
        row_AW[self.exists_AW] = np.arange(len(self.sum_N))

        sum_AX = sum_AWk.reshape(sentences, width * k)
        token_AX = token_AWk.reshape(sentences, width * k)
        place_X = np.repeat(np.arange(width), k)
        order_AC = np.lexsort((token_AX, np.broadcast_to(place_X, sum_AX.shape), -sum_AX), axis=1)
        order_AC = order_AC[:, :best]
        return _Ranked(
            np.take_along_axis(sum_AX, order_AC, axis=1),
            np.take_along_axis(token_AX, order_AC, axis=1),
            np.take_along_axis(row_AW, place_X[order_AC], axis=1),
        )

    def advance(self, ranked: _Ranked, keep_AC: Bools) -> tuple[_Live, Ints, Ints]:
        """Goes on with the extensions marked; sentences without any leave.

        Args:
            ranked: The extensions.
            keep_AC: Those that go on.

        Returns:
            Their places, and for the model the row that each goes on from and its token.
        """
        count_A = keep_AC.sum(axis=1)
        stays_A = count_A > 0
        count_A = count_A[stays_A]
        width = int(count_A.max(initial=0))
        live = _Live(
            self.sentence_A[stays_A],
            np.arange(width) < count_A[:, None],
            ranked.sum_AC[keep_AC],
        )
        return live, ranked.row_AC[keep_AC], ranked.token_AC[keep_AC]


class _Finished:
    """The finished hypotheses of B sentences, as arrays with a place for each of F.

    The best ``beam`` of them are kept and a step adds at most ``beam``, so F is ``2 * beam``.
    """

    def __init__(self, sentences: int, beam: int, n_best: int, divisor_of: Floats) -> None:
        shape = (sentences, 2 * beam)
        self._beam = beam
        self._n_best = n_best
        self._divisor_of = divisor_of
        self._count_B = np.zeros(sentences, dtype=np.int64)
        self._score_BF = np.full(shape, -np.inf)
        self._sum_BF = np.full(shape, -np.inf)
        self._length_BF = np.zeros(shape, dtype=np.int64)
        self._row_BF = np.zeros(shape, dtype=np.int64)
        self._cut_BF = np.zeros(shape, dtype=np.bool_)

    def add(
        self, ranked: _Ranked, keep_AC: Bools, sentence_A: Ints, step: int, cut_N: Bools
    ) -> None:
        """Notes the hypotheses that end at a step, in the order of their rank."""
        ends_AC = ranked.finished(self._beam)
        # Where nothing is possible any more, the best prefix has to serve.
        stuck_A = ~(keep_AC.any(axis=1) | ends_AC.any(axis=1)) & (self._count_B[sentence_A] == 0)
        ends_AC[stuck_A, 0] = True
        which_M, place_M = np.nonzero(ends_AC)
        if not len(which_M):
            return
        self._make_room()
        sentence_M = sentence_A[which_M]
        slot_M = self._count_B[sentence_M] + np.cumsum(ends_AC, axis=1)[which_M, place_M] - 1
        at = (sentence_M, slot_M)
        self._sum_BF[at] = ranked.sum_AC[which_M, place_M]
        self._score_BF[at] = self._sum_BF[at] / self._divisor_of[step + 1]
        self._length_BF[at] = step
        self._row_BF[at] = ranked.row_AC[which_M, place_M]
        self._cut_BF[at] = cut_N[self._row_BF[at]] | stuck_A[which_M]
        self._count_B[sentence_A] += ends_AC.sum(axis=1)

    def _make_room(self) -> None:
        """Keeps the best ``beam`` of sentences that have more, those found first going first."""
        full = np.flatnonzero(self._count_B > self._beam)
        if not len(full):
            return
        best = np.argsort(-self._score_BF[full], axis=1, kind="stable")
        for table in (self._sum_BF, self._length_BF, self._row_BF, self._cut_BF, self._score_BF):
            table[full] = np.take_along_axis(table[full], best, axis=1)
        self._score_BF[full, self._beam :] = -np.inf
        self._count_B[full] = self._beam

    def done(
        self, ranked: _Ranked, keep_AC: Bools, sentence_A: Ints, step: int, caps_B: Ints
    ) -> Bools:
        """Marks the sentences whose ``n_best`` will not change: rule 4 above."""
        best_live_A = np.where(keep_AC, ranked.sum_AC, -np.inf).max(axis=1)
        score_AF = self._score_BF[sentence_A]
        best_A = score_AF.max(axis=1)
        last_wanted_A = np.partition(score_AF, -self._n_best, axis=1)[:, -self._n_best]
        proved_A = best_live_A / self._divisor_of[caps_B[sentence_A] + 1] <= last_wanted_A
        has_enough_A = self._count_B[sentence_A] >= self._beam
        guessed_A = has_enough_A & (best_live_A / self._divisor_of[step + 1] <= best_A)
        return np.asarray(proved_A | guessed_A)

    def hypotheses(self, history: History) -> list[list[Hypothesis]]:
        """Writes out the best of each sentence."""
        order_BF = np.argsort(-self._score_BF, axis=1, kind="stable")[:, : self._n_best]
        found_B = np.minimum(self._count_B, self._n_best)
        taken_BF = np.arange(order_BF.shape[1]) < found_B[:, None]
        at = (np.nonzero(taken_BF)[0], order_BF[taken_BF])
        every = [
            Hypothesis(tokens, log_prob, score, cut)
            for tokens, log_prob, score, cut in zip(
                history.trace(self._length_BF[at], self._row_BF[at]),
                self._sum_BF[at].tolist(),
                self._score_BF[at].tolist(),
                self._cut_BF[at].tolist(),
                strict=True,
            )
        ]
        starts = (np.cumsum(found_B) - found_B).tolist()
        counts = found_B.tolist()
        return [every[start : start + n] for start, n in zip(starts, counts, strict=True)]
