"""What a search asks of the model at a step: the best next tokens, under rules and at length caps.

Without rules the engine finds the best itself (``step``). With rules it tells of every token
(``distribution``), rules change that, and the best are found here.

Shapes: B sentences, N rows, k candidates a row, T tokens so far, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic

import numpy as np

from seq2seq.errors import ModelError
from seq2seq.ids import EOS
from seq2seq.search.beam.candidates import Answer
from seq2seq.search.constraints.phrases import Phrases
from seq2seq.search.constraints.tokens import Rows, Rule
from seq2seq.search.model import (
    BROKEN,
    Bools,
    Floats32,
    Ints,
    S,
    StepModel,
    check_attends,
    checked,
)
from seq2seq.search.scores import force_ends, suppressing
from seq2seq.search.top_k import best_of


class Ruling:
    """What may come next: the model's opinion under suppression, rules and length caps.

    At a length cap eos is forced. Where a rule forbids eos just then (a prefix is not complete, an
    avoided word would be), the row may go on until the rule allows it, at most to ``last_B``.

    Args:
        vocab_size: How many tokens there are (V).
        caps_B: The most tokens of each sentence's translation, eos not counted.
        suppress: Tokens that are never taken.
        rules: What else changes the choice, one after another.

    Attributes:
        bias: What keeps ``suppress`` out, (1, V); None: nothing.
        last_B: The most tokens that there are in any case.

    Raises:
        Seq2SeqError: If a token of ``suppress`` is outside the vocabulary.
    """

    def __init__(
        self, vocab_size: int, caps_B: Ints, suppress: Sequence[int], rules: Sequence[Rule]
    ) -> None:
        self.bias = suppressing(vocab_size, suppress)
        self.last_B = 2 * caps_B + 16 if rules else caps_B
        self._caps_B = caps_B
        self._least_cap = int(caps_B.min())
        self._suppress = list(suppress)
        self._rules = rules

    def choice(self, rows: Rows, own_NV: Floats32) -> Floats32:
        """What tokens are chosen by.

        Args:
            rows: The hypotheses.
            own_NV: The model's own log-probabilities.

        Returns:
            What suppression and rules leave of them (N, V); -inf: forbidden.

        Raises:
            ModelError: If the model's log-probabilities are NaN.
        """
        if np.isnan(own_NV[:, EOS]).any():  # one NaN makes a row's whole softmax NaN
            raise ModelError(BROKEN)
        choice_NV = own_NV.copy()
        choice_NV[:, self._suppress] = -np.inf
        for rule in self._rules:
            rule.apply(rows, choice_NV)
        return choice_NV

    def must_end(self, rows: Rows, own_NV: Floats32, choice_NV: Floats32) -> Bools | None:
        """Marks rows that are at their caps, and not kept from ending by a rule.

        Args:
            rows: The hypotheses.
            own_NV: The model's own log-probabilities.
            choice_NV: What ``choice`` made of them.

        Returns:
            The marks (N,); None: no row is at its cap.
        """
        length = rows.tokens_NT.shape[1]
        if length < self._least_cap:
            return None
        waits_N = (choice_NV[:, EOS] == -np.inf) & (own_NV[:, EOS] > -np.inf)
        waits_N &= self.last_B[rows.sentence_N] > length
        return np.asarray((self._caps_B[rows.sentence_N] <= length) & ~waits_N)


class Asker(Generic[S]):
    """Asks a model, step after step.

    Args:
        model: The model.
        k: Candidates a row.
        caps_B: The most tokens of each sentence's translation, eos not counted.
        suppress: Tokens that are never taken.
        rules: What else changes the choice, one after another.
        phrases: What translations have to hold; one of the rules.
        needs_attention: Whether the search needs the model's attention.

    Raises:
        Seq2SeqError: If a token of ``suppress`` is outside the vocabulary.
    """

    def __init__(
        self,
        model: StepModel[S],
        k: int,
        caps_B: Ints,
        suppress: Sequence[int],
        rules: Sequence[Rule] = (),
        *,
        phrases: Phrases | None = None,
        needs_attention: bool = False,
    ) -> None:
        self.model = model
        self._k = k
        self._caps_B = caps_B
        self._least_cap = int(caps_B.min())
        self._ruling = Ruling(model.vocab_size, caps_B, suppress, rules)
        self.last_B = self._ruling.last_B
        self._has_rules = bool(rules)
        self._phrases = phrases
        self._needs_attention = needs_attention
        self._tokens_NT: Ints | None = None

    def ask(
        self, state: S, parent_N: Ints, token_N: Ints, sentence_N: Ints, step: int
    ) -> tuple[Answer, S]:
        """Feeds a token to each row.

        Args:
            state: The state before.
            parent_N: The row of ``state`` that each row goes on from.
            token_N: The token that it is fed.
            sentence_N: The sentence that it belongs to.
            step: How many tokens it has.

        Returns:
            What may come next, and the state after.

        Raises:
            ModelError: If the model's log-probabilities are NaN.
            Seq2SeqError: If attention is needed and the model has none.
        """
        if self._has_rules:
            answer, after = self._ask_all(state, parent_N, token_N, sentence_N)
        else:
            candidates, after = self.model.step(
                state, parent_N, token_N, self._k, self._ruling.bias
            )
            log_probs, tokens = checked(candidates)
            cut_N = None
            if step >= self._least_cap:
                capped_R = np.flatnonzero(self._caps_B[sentence_N] <= step)
                log_probs, tokens, cut_N = force_ends(
                    self.model, state, parent_N, token_N, capped_R, log_probs, tokens
                )
            answer = Answer(log_probs, log_probs, tokens, cut_N, candidates.attention)
        if self._needs_attention:
            check_attends(answer.attention_NS)
        return answer, after

    def _ask_all(
        self, state: S, parent_N: Ints, token_N: Ints, sentence_N: Ints
    ) -> tuple[Answer, S]:
        distribution, after = self.model.distribution(state, parent_N, token_N)
        own_NV = distribution.log_probs
        if self._tokens_NT is None:
            self._tokens_NT = np.zeros((len(token_N), 0), dtype=np.int64)
        else:
            self._tokens_NT = np.column_stack([self._tokens_NT[parent_N], token_N])
        rows = Rows(sentence_N, self._tokens_NT)
        if self._phrases is not None:
            self._phrases.look_at(own_NV)
        choice_NV = self._ruling.choice(rows, own_NV)
        cut_N = self._ruling.must_end(rows, own_NV, choice_NV)
        if cut_N is not None:
            ends_R = choice_NV[cut_N, EOS]
            ending_R = np.flatnonzero(cut_N)
            cut_N = cut_N & (choice_NV.argmax(axis=1) != EOS)
            choice_NV[ending_R] = -np.inf
            choice_NV[ending_R, EOS] = ends_R
        choice_Nk, token_Nk = best_of(choice_NV, self._k)
        if self._phrases is not None:
            choice_Nk, token_Nk = self._phrases.widened(choice_NV, choice_Nk, token_Nk)
        own_Nk = np.take_along_axis(own_NV, token_Nk, axis=1).astype(np.float64)
        own_Nk[choice_Nk == -np.inf] = -np.inf
        choice = choice_Nk.astype(np.float64)
        return Answer(choice, own_Nk, token_Nk, cut_N, distribution.attention), after
