"""Greedy search: the best token at each step, nothing kept besides. Validation translates with it.

It gives what :func:`seq2seq.search.beam.beam_search` gives with a beam of 1, for less work: there
is nothing to rank, and rows stay where they are until one is finished.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seq2seq.recipe.training import NoNormalization
from seq2seq.search.asking import Asker
from seq2seq.search.history import token_log_probs
from seq2seq.search.protocol import (
    Bools,
    Floats,
    Floats32,
    Hypothesis,
    Ints,
    S,
    SourceBatch,
    StepModel,
)
from seq2seq.search.rules import (
    SUPPRESSED,
    Normalization,
    checked_caps,
    coverage_penalties,
    divisors,
)
from seq2seq.search.token_rules import Rule
from seq2seq.text.tokenizer import BOS, EOS


class _Step(NamedTuple):
    """What was chosen for the sentences that were under way."""

    sentence_N: Ints
    token_N: Ints
    log_prob_N: Floats
    attention_NS: Floats32 | None


def greedy(
    model: StepModel[S],
    source: SourceBatch,
    *,
    max_lengths: npt.ArrayLike,
    normalization: Normalization | None = None,
    suppress: Sequence[int] = SUPPRESSED,
    rules: Sequence[Rule] = (),
    coverage: float = 0.0,
    keep_attention: bool = False,
) -> list[Hypothesis]:
    """Translates a batch, taking the best token at each step.

    A row leaves the batch when its sentence is finished: at eos, at its length cap (eos is forced,
    and its log-probability counts), or where every token is impossible (all -inf).

    Args:
        model: The model.
        source: The sentences (B).
        max_lengths: The most tokens of each translation, eos not counted (B,).
        normalization: How ``score`` is made from ``log_prob``; it does not change the choice.
        suppress: Tokens that are never taken.
        rules: What else changes the choice.
        coverage: Weight of the coverage penalty in ``score``.
        keep_attention: Whether hypotheses keep their attention.

    Returns:
        A hypothesis for each sentence.

    Raises:
        Seq2SeqError: If ``max_lengths`` or ``suppress`` do not fit, or the model has no attention
            where that is needed.
        ModelError: If the model's log-probabilities are NaN.
    """
    caps = checked_caps(max_lengths, len(source))
    if not len(source):
        return []
    needs_attention = keep_attention or coverage > 0
    asker = Asker(model, 1, caps, suppress, rules, needs_attention=needs_attention)
    truncated = np.zeros(len(source), dtype=np.bool_)
    steps: list[_Step] = []

    state = model.start(source)
    sentence_N = parent_N = everyone = np.arange(len(source))
    token_N = np.full(len(source), BOS, dtype=np.int64)
    while len(sentence_N):
        answer, state = asker.ask(state, parent_N, token_N, sentence_N, len(steps))
        best_N, token_N = answer.log_prob_Nk[:, 0], answer.token_Nk[:, 0]
        attention = answer.attention_NS if needs_attention else None
        steps.append(_Step(sentence_N, token_N, best_N, attention))
        ends_N = token_N == EOS
        if answer.cut_N is not None or np.minimum.reduce(best_N) == -math.inf:
            stuck_N = best_N == -math.inf
            truncated[sentence_N] = stuck_N if answer.cut_N is None else stuck_N | answer.cut_N
            ends_N |= stuck_N
        parent_N = everyone
        if np.logical_or.reduce(ends_N):
            parent_N = np.flatnonzero(~ends_N)
            sentence_N, token_N = sentence_N[parent_N], token_N[parent_N]
            everyone = everyone[: len(parent_N)]
    found = _Found(source, steps)
    return found.hypotheses(
        truncated, normalization or NoNormalization(), coverage, keep_attention=keep_attention
    )


class _Found:
    """The translations of B sentences, of up to T steps each."""

    def __init__(self, source: SourceBatch, steps: Sequence[_Step]) -> None:
        self._source = source
        self._steps = steps
        shape = (len(source), len(steps))
        self._token_BT = np.zeros(shape, dtype=np.int64)
        self._log_prob_BT = np.zeros(shape)
        self._length_B = np.zeros(len(source), dtype=np.int64)
        for number, step in enumerate(steps):
            self._token_BT[step.sentence_N, number] = step.token_N
            self._log_prob_BT[step.sentence_N, number] = step.log_prob_N
            self._length_B[step.sentence_N] = number  # the last step of a sentence is its eos

    def hypotheses(
        self,
        truncated: Bools,
        normalization: Normalization,
        coverage: float,
        *,
        keep_attention: bool,
    ) -> list[Hypothesis]:
        sum_BT = np.cumsum(self._log_prob_BT, axis=1)
        sum_B = sum_BT[np.arange(len(sum_BT)), self._length_B]
        score_B = sum_B / divisors(normalization, len(self._steps))[self._length_B + 1]
        if coverage:
            score_B += coverage * coverage_penalties(self._attended(), self._source.lengths)
        return [
            Hypothesis(
                tokens=tuple(tokens[:length]),
                log_prob=log_prob,
                score=score,
                truncated=cut,
                token_log_probs=token_log_probs(sums[:length], log_prob),
                attention=self._attention_of(number, length) if keep_attention else None,
            )
            for number, (tokens, length, log_prob, score, cut, sums) in enumerate(
                zip(
                    self._token_BT.tolist(),
                    self._length_B.tolist(),
                    sum_B.tolist(),
                    score_B.tolist(),
                    truncated.tolist(),
                    sum_BT.tolist(),
                    strict=True,
                )
            )
        ]

    def _attended(self) -> Floats:
        attended_BS = np.zeros(self._source.ids.shape)
        for step in self._steps:
            if step.attention_NS is not None:
                attended_BS[step.sentence_N, : step.attention_NS.shape[1]] += step.attention_NS
        return attended_BS

    def _attention_of(self, sentence: int, length: int) -> Floats32:
        positions = int(self._source.lengths[sentence])
        return np.stack(
            [
                step.attention_NS[np.searchsorted(step.sentence_N, sentence), :positions]
                for step in self._steps[: length + 1]
                if step.attention_NS is not None
            ]
        )
