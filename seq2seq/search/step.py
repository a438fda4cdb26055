"""One step of a search: each row is fed a token, and the tokens that may come next are found.

Without rules the engine finds the best itself (``StepModel.step``). With rules it gives the
log-probabilities of all tokens (``StepModel.distribution``), rules change them, and the best are
found here.

Shapes: B sentences, N rows, k candidates a row, T tokens so far, V vocabulary, R rows at their cap.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, NamedTuple

import numpy as np
import numpy.typing as npt

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import EOS
from seq2seq.search.constraints.phrases import ForcedPhrases
from seq2seq.search.constraints.tokens import PartialHypotheses, Rule
from seq2seq.search.model import (
    Bools,
    Floats,
    Floats32,
    Ints,
    S,
    StepModel,
    check_numbers,
    top_k,
)


class BestTokens(NamedTuple):
    """The best next tokens of each row, best first by log-probabilities after rules.

    ``truncated_N`` marks rows at their length cap whose best token was not eos; None: no row is at
    its cap.
    """

    adjusted_Nk: Floats  # after rules; -inf: impossible
    log_prob_Nk: Floats  # the model's own; the same array where there are no rules
    token_Nk: Ints
    truncated_N: Bools | None
    attention_NS: Floats32 | None

    def repeated(self, times: int) -> BestTokens:
        """Repeats each row, for groups of a beam that begin alike."""
        return BestTokens._make(None if a is None else a.repeat(times, axis=0) for a in self)


class AllTokens(NamedTuple):
    """All next tokens of each row; otherwise as ``BestTokens``."""

    adjusted_NV: Floats32
    log_prob_NV: Floats32
    must_end_N: Bools | None  # marks rows that have to end at their cap; None: none is at its cap
    attention_NS: Floats32 | None

    def repeated(self, times: int) -> AllTokens:
        """Repeats each row, for samples of a sentence, which begin alike."""
        return AllTokens._make(None if a is None else a.repeat(times, axis=0) for a in self)


class Stepper(Generic[S]):
    """Steps a model under suppressed tokens, rules and length caps.

    At its cap (eos not counted) a row has to end. Where a rule forbids eos just then (a prefix is
    not complete, an avoided word would be), it may go on until the rule allows it, at most to
    ``last_B``. Rules change the choice one after another; ``phrases`` is one of them.
    """

    def __init__(
        self,
        model: StepModel[S],
        caps_B: Ints,
        suppress: Sequence[int],
        rules: Sequence[Rule] = (),
        phrases: ForcedPhrases | None = None,
    ) -> None:
        if suppress and (min(suppress) < 0 or max(suppress) >= model.vocab_size):
            raise Seq2SeqError(
                f"suppress holds {sorted(suppress)}; token ids from 0 to {model.vocab_size - 1} "
                "are allowed"
            )
        self.last_B = 2 * caps_B + 16 if rules else caps_B
        self._model = model
        self._caps_B = caps_B
        self._least_cap = int(caps_B.min())
        self._suppress = tuple(suppress)
        self._rules = rules
        self._phrases = phrases
        self._tokens_NT: Ints | None = None

    def best(
        self, state: S, parent_N: Ints, token_N: Ints, sentence_N: Ints, length: int, k: int
    ) -> tuple[BestTokens, S]:
        """Feeds each row its next token, and finds the k best tokens that may follow.

        A row goes on from a row of ``state``, its parent; all have ``length`` tokens so far. The
        new state is returned too. It is a ModelError if the log-probabilities are NaN.
        """
        if self._rules:
            return self._best_under_rules(state, parent_N, token_N, sentence_N, k)
        candidates, after = self._model.step(state, parent_N, token_N, k, self._suppress)
        # In double precision, sums along a hypothesis stay exact to float32.
        log_prob_Nk, token_Nk = candidates.log_probs.astype(np.float64), candidates.tokens
        check_numbers(log_prob_Nk[:, 0])
        truncated_N = None
        if length >= self._least_cap:
            capped_R = np.flatnonzero(self._caps_B[sentence_N] <= length)
            if len(capped_R):
                truncated_N = np.zeros(len(parent_N), dtype=np.bool_)
                truncated_N[capped_R] = token_Nk[capped_R, 0] != EOS
                log_prob_Nk, token_Nk = self._end(
                    state, parent_N, token_N, capped_R, log_prob_Nk, token_Nk
                )
        return BestTokens(
            log_prob_Nk, log_prob_Nk, token_Nk, truncated_N, candidates.attention
        ), after

    def _end(
        self,
        state: S,
        parent_N: Ints,
        token_N: Ints,
        capped_R: Ints,
        log_prob_Nk: Floats,
        token_Nk: Ints,
    ) -> tuple[Floats, Ints]:
        """Leaves eos as the only candidate of rows at their cap.

        Where eos is not among their candidates, the model is stepped once more with all other
        tokens suppressed. Most translations end well before their cap, so this is rare.
        """
        is_end_Rk = token_Nk[capped_R] == EOS
        ends_R = np.where(is_end_Rk, log_prob_Nk[capped_R], -np.inf).max(axis=1)
        unknown_R = ~is_end_Rk.any(axis=1)
        if unknown_R.any():
            row_U = capped_R[unknown_R]
            others = [token for token in range(self._model.vocab_size) if token != EOS]
            candidates, _ = self._model.step(state, parent_N[row_U], token_N[row_U], 1, others)
            check_numbers(candidates.log_probs[:, 0])
            ends_R[unknown_R] = candidates.log_probs[:, 0]
        log_prob_Nk, token_Nk = log_prob_Nk.copy(), token_Nk.copy()
        log_prob_Nk[capped_R] = -np.inf
        log_prob_Nk[capped_R, 0] = ends_R
        token_Nk[capped_R, 0] = EOS
        return log_prob_Nk, token_Nk

    def _best_under_rules(
        self, state: S, parent_N: Ints, token_N: Ints, sentence_N: Ints, k: int
    ) -> tuple[BestTokens, S]:
        every, after = self.distribution(state, parent_N, token_N, sentence_N)
        adjusted_NV, log_prob_NV, truncated_N, attention_NS = every
        if truncated_N is not None:
            ending_R = np.flatnonzero(truncated_N)
            ends_R = adjusted_NV[ending_R, EOS]
            truncated_N = truncated_N & (adjusted_NV.argmax(axis=1) != EOS)
            adjusted_NV[ending_R] = -np.inf
            adjusted_NV[ending_R, EOS] = ends_R
        adjusted_Nk, token_Nk = top_k(adjusted_NV, k)
        if self._phrases is not None:
            adjusted_Nk, token_Nk = self._phrases.add_candidates(adjusted_NV, adjusted_Nk, token_Nk)
        log_prob_Nk = np.take_along_axis(log_prob_NV, token_Nk, axis=1).astype(np.float64)
        log_prob_Nk[adjusted_Nk == -np.inf] = -np.inf
        adjusted = adjusted_Nk.astype(np.float64)
        return BestTokens(adjusted, log_prob_Nk, token_Nk, truncated_N, attention_NS), after

    def distribution(
        self, state: S, parent_N: Ints, token_N: Ints, sentence_N: Ints
    ) -> tuple[AllTokens, S]:
        """As ``best``, but gives all tokens that may come next."""
        distribution, after = self._model.distribution(state, parent_N, token_N)
        log_prob_NV = distribution.log_probs
        check_numbers(log_prob_NV[:, EOS])
        if self._tokens_NT is None:
            self._tokens_NT = np.zeros((len(token_N), 0), dtype=np.int64)
        else:
            self._tokens_NT = np.column_stack([self._tokens_NT[parent_N], token_N])
        rows = PartialHypotheses(sentence_N, self._tokens_NT, log_prob_NV)
        adjusted_NV = log_prob_NV.copy()
        adjusted_NV[:, list(self._suppress)] = -np.inf
        for rule in self._rules:
            rule.apply(rows, adjusted_NV)
        must_end_N = self._must_end(rows, adjusted_NV)
        return AllTokens(adjusted_NV, log_prob_NV, must_end_N, distribution.attention), after

    def _must_end(self, rows: PartialHypotheses, adjusted_NV: Floats32) -> Bools | None:
        """Marks rows that are at their caps, and not kept from ending by a rule."""
        length = rows.tokens_NT.shape[1]
        if length < self._least_cap:
            return None
        waits_N = (adjusted_NV[:, EOS] == -np.inf) & (rows.log_prob_NV[:, EOS] > -np.inf)
        waits_N &= self.last_B[rows.sentence_N] > length
        return np.asarray((self._caps_B[rows.sentence_N] <= length) & ~waits_N)


def checked_caps(max_lengths: npt.ArrayLike, sentences: int) -> Ints:
    """The length caps that a search was given, as an array (B,); refused if they do not fit."""
    caps = np.asarray(max_lengths, dtype=np.int64)
    if caps.shape != (sentences,):
        raise Seq2SeqError(
            f"max_lengths has the shape {caps.shape}, but needs one length for each of "
            f"{sentences} sentences: ({sentences},)"
        )
    if (caps < 0).any():
        raise Seq2SeqError(f"max_lengths holds {caps.min()}; lengths of 0 or more are allowed")
    return caps
