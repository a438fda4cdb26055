"""The output layer in numpy: from readouts to the log-probabilities of tokens, and the k best.

Shapes: N rows, E readout size, V tokens, k candidates a row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from seq2seq.inference.numpy_matrix import Matrix
from seq2seq.search.model import Floats32, Ints
from seq2seq.search.top_k import best_of

# Logits of so many rows are made at once: they stay in the cache until their best are found.
_ROWS_AT_ONCE = 64

# To so few rows a bias is added sooner than its entries that are not 0 are found.
_FEW_ROWS = 16


class AllTokens:
    """The output layer with all its tokens.

    Args:
        weight_EV: The output layer's matrix, a column a token.
        bias_V: Its bias.
    """

    def __init__(self, weight_EV: Floats32, bias_V: Floats32) -> None:
        self._matrix = Matrix(weight_EV)
        self._bias_V = bias_V

    def select(self, source_ids_BS: Ints, lengths_B: Ints) -> AllTokens:
        """What the sentences of a batch may need: everything.

        Args:
            source_ids_BS: The sentences' pieces, right-padded.
            lengths_B: How many pieces of each are real.

        Returns:
            This same output layer.
        """
        del source_ids_BS, lengths_B
        return self

    def best(
        self, readout_NE: Floats32, sentence_N: Ints, k: int, bias: Floats32 | None = None
    ) -> tuple[Floats32, Ints]:
        """The k best tokens of each row.

        Args:
            readout_NE: The readouts.
            sentence_N: Which sentence each row belongs to; all have the same output layer.
            k: How many, at most V.
            bias: Added to the log-probabilities before the choice, (1, V).

        Returns:
            Their log-probabilities, best first, and the tokens, (N, k) each.
        """
        del sentence_N
        found = []
        for rows in blocks(len(readout_NE)):
            logits_NV = self._logits(readout_NE[rows])
            total_N1 = log_total(logits_NV)
            if bias is not None:
                _add_bias(logits_NV, bias)
            best_Nk, tokens_Nk = best_of(logits_NV, k)
            found.append((best_Nk - total_N1, tokens_Nk))
        return joined(found)

    def log_probs(self, readout_NE: Floats32, sentence_N: Ints) -> Floats32:
        """All tokens' log-probabilities.

        Args:
            readout_NE: The readouts.
            sentence_N: As in ``best``.

        Returns:
            (N, V), a new array.
        """
        del sentence_N
        logits_NV = self._logits(readout_NE)
        for rows in blocks(len(logits_NV)):
            logits_NV[rows] -= log_total(logits_NV[rows])
        return logits_NV

    def _logits(self, readout_NE: Floats32) -> Floats32:
        logits_NV = self._matrix.times(readout_NE)
        logits_NV += self._bias_V
        return logits_NV


def blocks(rows: int) -> Iterator[slice]:
    """Cuts rows into blocks whose logits stay in the cache.

    Args:
        rows: How many there are.

    Returns:
        The blocks.
    """
    return (slice(start, start + _ROWS_AT_ONCE) for start in range(0, rows, _ROWS_AT_ONCE))


def joined(found: Sequence[tuple[Floats32, Ints]]) -> tuple[Floats32, Ints]:
    """Puts the best of blocks together.

    Args:
        found: Values and tokens of each block, at least one.

    Returns:
        Those of all rows.
    """
    if len(found) == 1:
        return found[0]
    values, tokens = zip(*found, strict=True)
    return np.concatenate(values), np.concatenate(tokens)


def log_total(logits_NV: Floats32) -> Floats32:
    """The logarithm of the sum of each row's exponentials: what normalizes it.

    Args:
        logits_NV: The rows, each with a finite greatest entry.

    Returns:
        (N, 1).
    """
    highest_N1 = logits_NV.max(axis=1, keepdims=True)
    shifted_NV = logits_NV - highest_N1
    np.exp(shifted_NV, out=shifted_NV)
    total_N1: Floats32 = np.log(shifted_NV.sum(axis=1, keepdims=True))
    total_N1 += highest_N1
    return total_N1


def _add_bias(logits_NV: Floats32, bias: Floats32) -> None:
    """Adds a bias (1, V) in place; mostly it forbids a few tokens."""
    if len(logits_NV) < _FEW_ROWS:
        logits_NV += bias
        return
    columns = np.flatnonzero(bias[0])
    if len(columns) * 8 < bias.shape[1]:
        logits_NV[:, columns] += bias[0, columns]
    else:
        logits_NV += bias
