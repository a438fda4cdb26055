"""Forced scoring: how likely given translations are, step by step, as a search would report it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import BOS, EOS
from seq2seq.search.model import BROKEN, Hypothesis, S, SourceBatch, StepModel
from seq2seq.search.record import Record
from seq2seq.search.scores import Normalization


def force(
    model: StepModel[S],
    source: SourceBatch,
    targets: Sequence[Sequence[int]],
    *,
    normalization: Normalization,
    coverage: float = 0.0,
    keep_attention: bool = False,
) -> list[Hypothesis]:
    """Scores a translation of each sentence.

    A row leaves the batch when its translation has ended.

    Args:
        model: The model.
        source: The sentences (B).
        targets: The translations' tokens, without bos and eos; one may be empty.
        normalization: How scores are made from sums of log-probabilities.
        coverage: Weight of the coverage penalty; needs attention.
        keep_attention: Whether hypotheses keep their attention.

    Returns:
        A hypothesis for each translation, none of them truncated. Its numbers are those that a
        search reports when it finds this translation, to the rounding of float32.

    Raises:
        Seq2SeqError: If there are more or fewer translations than sentences, a token is outside the
            vocabulary, or attention is needed and the model has none.
        ModelError: If the model's log-probabilities are NaN.
    """
    if len(targets) != len(source):
        raise Seq2SeqError(
            f"{len(targets)} translations for {len(source)} sentences; each needs one"
        )
    if not len(source):
        return []
    lengths_B = np.array([len(target) for target in targets], dtype=np.int64)
    labels_BT = np.full((len(targets), int(lengths_B.max()) + 1), EOS, dtype=np.int64)
    for row, target in zip(labels_BT, targets, strict=True):
        row[: len(target)] = target
    outside = labels_BT[(labels_BT < 0) | (labels_BT >= model.vocab_size)]
    if outside.size:
        raise Seq2SeqError(
            f"a translation has the token {outside[0]}; ids from 0 to {model.vocab_size - 1} are "
            "allowed"
        )
    record = Record(source.lengths, needs_attention=keep_attention or coverage != 0)
    state = model.start(source)
    line_N = parent_N = np.arange(len(source))
    token_N = np.full(len(source), BOS, dtype=np.int64)
    for step in range(labels_BT.shape[1]):
        distribution, state = model.distribution(state, parent_N, token_N)
        token_N = labels_BT[line_N, step]
        log_prob_N = distribution.log_probs[np.arange(len(line_N)), token_N]
        if np.isnan(log_prob_N).any():
            raise ModelError(BROKEN)
        record.add(line_N, token_N, log_prob_N, distribution.attention)
        parent_N = np.flatnonzero(lengths_B[line_N] > step)
        line_N, token_N = line_N[parent_N], token_N[parent_N]
    return record.hypotheses(normalization, coverage=coverage, keep_attention=keep_attention)
