"""Attention in numpy, for translating without torch: the arithmetic of ``nn/attention.py``.

The rows of one sentence attend to one copy of its memory. With a beam of 5 that is a fifth of the
memory and, since each sentence is then one matrix product, a tenth of the time.

Shapes: B sentences, A sentences that rows still translate, W rows of a sentence, N rows, S source
length, D memory size, Q query size, K key size.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from seq2seq.inference.numpy_cells import Read
from seq2seq.search.model import Floats32, Ints

# The sums of queries and keys in additive attention: so many numbers at once stay in the cache.
_NUMBERS_AT_ONCE = 2**18


@dataclass(frozen=True)
class NumpyMemory:
    """What a decoder may attend to.

    Attributes:
        values_ASD: The encoder's outputs.
        keys_ASK: The attention's view of them.
        lengths_A: Real positions of each sentence.
    """

    values_ASD: Floats32
    keys_ASK: Floats32
    lengths_A: Ints

    def select(self, index: Ints) -> NumpyMemory:
        """Some sentences, no wider than the longest of them.

        Args:
            index: Which.

        Returns:
            Their memory.
        """
        lengths = self.lengths_A[index]
        width = int(lengths.max())
        values = self.values_ASD[index, :width]
        keys = values if self.keys_ASK is self.values_ASD else self.keys_ASK[index, :width]
        return NumpyMemory(values, keys, lengths)


@dataclass(frozen=True)
class Places:
    """Where the rows stand in a table with a line for each sentence.

    Attributes:
        active_A: The sentences that rows translate, ascending.
        width: W, the most rows of one sentence.
        line_N: Each row's line.
        slot_N: Its place there.
        full: Every line is full and the rows are in its order: the table is a mere reshape.
    """

    active_A: Ints
    width: int
    line_N: Ints
    slot_N: Ints
    full: bool

    @classmethod
    def of(cls, sentence_N: Ints) -> Places:
        """Places rows.

        Args:
            sentence_N: The sentence of each row.

        Returns:
            Their places.
        """
        active_A, line_N, count_A = np.unique(sentence_N, return_inverse=True, return_counts=True)
        width = int(count_A.max())
        slot_N = slots(line_N, count_A)
        ordered = bool((line_N[1:] >= line_N[:-1]).all())
        full = ordered and len(line_N) == len(active_A) * width
        return cls(active_A, width, line_N, slot_N, full)

    def spread(self, x_NX: Floats32) -> Floats32:
        """Lays rows out in the table, with zeros in empty places.

        Args:
            x_NX: The rows.

        Returns:
            (A, W, X).
        """
        shape = (len(self.active_A), self.width, x_NX.shape[1])
        if self.full:
            return x_NX.reshape(shape)
        table = np.zeros(shape, dtype=np.float32)
        table[self.line_N, self.slot_N] = x_NX
        return table

    def gather(self, table_AWX: Floats32) -> Floats32:
        """Takes the rows out of the table.

        Args:
            table_AWX: The table.

        Returns:
            (N, X).
        """
        if self.full:
            return table_AWX.reshape(-1, table_AWX.shape[2])
        return table_AWX[self.line_N, self.slot_N]


def slots(line_N: Ints, count_A: Ints) -> Ints:
    """Numbers the rows of each line, in their order.

    Args:
        line_N: The line of each row.
        count_A: How many rows each line has.

    Returns:
        The place of each row on its line, (N,).
    """
    order_N = np.argsort(line_N, kind="stable")
    slot_N = np.empty_like(line_N)
    slot_N[order_N] = np.arange(len(line_N)) - np.repeat(np.cumsum(count_A) - count_A, count_A)
    return slot_N


def widened(weights_NX: Floats32, width: int) -> Floats32:
    """Gives attention the width of its batch, where the longest sentences are done and dropped.

    Args:
        weights_NX: The weights.
        width: S, at least X.

    Returns:
        (N, S), 0 where nothing was; the same array if it is as wide already.
    """
    rows, narrow = weights_NX.shape
    if narrow == width:
        return weights_NX
    attention_NS = np.zeros((rows, width), dtype=np.float32)
    attention_NS[:, :narrow] = weights_NX
    return attention_NS


class NumpyAttention(ABC):
    """Weighs the source's positions and returns their weighted mean.

    Args:
        read: Reads the attention's parameters.
    """

    shapes: ClassVar[dict[str, str]] = {}  # parameters: each letter of a shape is Q, D or 1

    def __init__(self, read: Read) -> None:
        del read

    def keys(self, values_BSD: Floats32) -> Floats32:
        """What the scores need of the memory, once a source.

        Args:
            values_BSD: The encoder's outputs.

        Returns:
            (B, S, K).
        """
        return values_BSD

    @abstractmethod
    def scores(self, query_AWQ: Floats32, keys_ASK: Floats32) -> Floats32:
        """How well each source position fits each query.

        Args:
            query_AWQ: The queries.
            keys_ASK: What ``keys`` made.

        Returns:
            (A, W, S), a new array, not normalized.
        """

    def __call__(
        self, query_NQ: Floats32, memory: NumpyMemory, places: Places
    ) -> tuple[Floats32, Floats32]:
        """Attends from every row to its sentence.

        Args:
            query_NQ: The queries.
            memory: The memory of the sentences in ``places``.
            places: Where the rows belong.

        Returns:
            Contexts (N, D) and weights (N, S), which sum to 1 and are 0 at padding.
        """
        weights_AWS = self.scores(places.spread(query_NQ), memory.keys_ASK)
        padding_AS = np.arange(weights_AWS.shape[2]) >= memory.lengths_A[:, None]
        if padding_AS.any():
            np.copyto(weights_AWS, np.float32(-np.inf), where=padding_AS[:, None])
        weights_AWS -= weights_AWS.max(axis=2, keepdims=True)
        np.exp(weights_AWS, out=weights_AWS)
        weights_AWS /= weights_AWS.sum(axis=2, keepdims=True)
        return places.gather(weights_AWS @ memory.values_ASD), places.gather(weights_AWS)


class NumpyDot(NumpyAttention):
    """q . m."""

    def scores(self, query_AWQ: Floats32, keys_ASK: Floats32) -> Floats32:
        scores: Floats32 = query_AWQ @ keys_ASK.transpose(0, 2, 1)
        return scores


class NumpyGeneral(NumpyDot):
    """q . W m."""

    shapes: ClassVar[dict[str, str]] = {"key.weight": "QD"}

    def __init__(self, read: Read) -> None:
        super().__init__(read)
        self._key_DQ = read("key.weight").T

    def keys(self, values_BSD: Floats32) -> Floats32:
        flat: Floats32 = values_BSD.reshape(-1, values_BSD.shape[2]) @ self._key_DQ
        return flat.reshape(*values_BSD.shape[:2], -1)


class NumpyAdditive(NumpyGeneral):
    """v . tanh(U q + W m)."""

    shapes: ClassVar[dict[str, str]] = {
        "key.weight": "QD",
        "query.weight": "QQ",
        "query.bias": "Q",
        "energy.weight": "1Q",
    }

    def __init__(self, read: Read) -> None:
        super().__init__(read)
        self._query_QQ = np.ascontiguousarray(read("query.weight").T)
        self._query_bias_Q = read("query.bias")
        self._energy_Q = np.ascontiguousarray(read("energy.weight")[0])

    def scores(self, query_AWQ: Floats32, keys_ASK: Floats32) -> Floats32:
        sentences, width, size = query_AWQ.shape
        query_AW1Q = (query_AWQ @ self._query_QQ + self._query_bias_Q)[:, :, None]
        scores = np.empty((sentences, width, keys_ASK.shape[1]), dtype=np.float32)
        block = max(1, _NUMBERS_AT_ONCE // (width * keys_ASK.shape[1] * size))
        for start in range(0, sentences, block):
            here = slice(start, start + block)
            sums = query_AW1Q[here] + keys_ASK[here, None]
            np.tanh(sums, out=sums)
            scores[here] = sums @ self._energy_Q
        return scores


NUMPY_ATTENTIONS: dict[str, type[NumpyAttention]] = {
    "dot": NumpyDot,
    "general": NumpyGeneral,
    "additive": NumpyAdditive,
}
"""By the names that recipes use."""
