"""Greedy search: the best token at each step, nothing kept besides. Validation translates with it.

It gives what :func:`seq2seq.search.beam.beam_search` gives with a beam of 1, for less work: there
is nothing to rank, and rows stay where they are until one is finished.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seq2seq.recipe.training import NoNormalization
from seq2seq.search.protocol import Floats, Hypothesis, Ints, S, SourceBatch, StepModel, checked
from seq2seq.search.rules import (
    SUPPRESSED,
    Normalization,
    checked_caps,
    divisors,
    force_ends,
    suppressing,
)
from seq2seq.text.tokenizer import BOS, EOS


def greedy(
    model: StepModel[S],
    source: SourceBatch,
    *,
    max_lengths: npt.ArrayLike,
    normalization: Normalization | None = None,
    suppress: Sequence[int] = SUPPRESSED,
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

    Returns:
        A hypothesis for each sentence.

    Raises:
        Seq2SeqError: If ``max_lengths`` or ``suppress`` do not fit.
        ModelError: If the model's log-probabilities are NaN.
    """
    caps = checked_caps(max_lengths, len(source))
    if not len(source):
        return []
    bias = suppressing(model.vocab_size, suppress)
    sums = np.zeros(len(source))
    lengths = np.zeros(len(source), dtype=np.int64)
    truncated = np.zeros(len(source), dtype=np.bool_)
    columns: list[Ints] = []  # columns[t][i]: token t of sentence i

    state = model.start(source)
    sentence_N = parent_N = np.arange(len(source))
    token_N = np.full(len(source), BOS, dtype=np.int64)
    while len(sentence_N):
        candidates, next_state = model.step(state, parent_N, token_N, 1, bias)
        capped_R = np.flatnonzero(caps[sentence_N] == len(columns))
        log_probs, tokens, cut_N = force_ends(
            model, state, parent_N, token_N, capped_R, *checked(candidates)
        )
        best_N, next_N = log_probs[:, 0], tokens[:, 0]
        cut_N |= best_N == -np.inf
        sums[sentence_N] += best_N
        truncated[sentence_N] = cut_N
        goes_on = ~(cut_N | (next_N == EOS))
        lengths[sentence_N[goes_on]] += 1
        parent_N = np.flatnonzero(goes_on)
        sentence_N, token_N = sentence_N[parent_N], next_N[parent_N]
        column = np.full(len(source), EOS, dtype=np.int64)
        column[sentence_N] = token_N
        columns.append(column)
        state = next_state
    return _hypotheses(columns, lengths, sums, truncated, normalization or NoNormalization())


def _hypotheses(
    columns: list[Ints],
    lengths: Ints,
    sums: Floats,
    truncated: npt.NDArray[np.bool_],
    normalization: Normalization,
) -> list[Hypothesis]:
    scores = sums / divisors(normalization, len(columns))[lengths + 1]
    rows = np.stack(columns, axis=1).tolist()
    return [
        Hypothesis(tuple(row[:length]), log_prob, score, cut)
        for row, length, log_prob, score, cut in zip(
            rows,
            lengths.tolist(),
            sums.tolist(),
            scores.tolist(),
            truncated.tolist(),
            strict=True,
        )
    ]
