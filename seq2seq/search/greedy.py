"""Greedy search: the best token at each step, nothing kept besides. Validation translates with it.

It gives what ``beam_search`` gives with a beam of 1, for less work: there
is nothing to rank, and rows stay where they are until one is finished.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seq2seq.ids import BOS, EOS
from seq2seq.recipe.training import NoNormalization
from seq2seq.search.constraints.tokens import Rule
from seq2seq.search.model import Hypothesis, S, SourceBatch, StepModel
from seq2seq.search.record import Record
from seq2seq.search.scores import SUPPRESSED, Normalization, checked_caps
from seq2seq.search.step import Asker


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
    record = Record(source.lengths, needs_attention=needs_attention)
    truncated = np.zeros(len(source), dtype=np.bool_)
    step = 0

    state = model.start(source)
    sentence_N = parent_N = everyone = np.arange(len(source))
    token_N = np.full(len(source), BOS, dtype=np.int64)
    while len(sentence_N):
        answer, state = asker.ask(state, parent_N, token_N, sentence_N, step)
        best_N, token_N = answer.log_prob_Nk[:, 0], answer.token_Nk[:, 0]
        record.add(sentence_N, token_N, best_N, answer.attention_NS)
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
        step += 1
    return record.hypotheses(
        normalization or NoNormalization(),
        truncated_L=truncated,
        coverage=coverage,
        keep_attention=keep_attention,
    )
