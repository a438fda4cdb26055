"""Which sentence each row of a search translates, for every engine alike.

The rows of one sentence share one copy of what the encoder made of it (its memory), and memory that
no row needs any more is dropped.

Shapes: B sentences, A sentences in memory, W most rows of one sentence, N rows, S source length.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from seq2seq.search.model import Floats32, Ints


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows laid out in a table: a line for each sentence in memory, W places a line.

    Attributes:
        sentence_N: The sentence of each row.
        memory_A: The sentences in memory, ascending.
    """

    sentence_N: Ints
    memory_A: Ints

    @classmethod
    def first(cls, sentences: int) -> Rows:
        """One row for each sentence of a batch."""
        every = np.arange(sentences)
        return cls(every, every)

    def moved(self, parent_N: Ints, least_used: float) -> Rows:
        """The rows after a step of the search, each going on from its parent.

        Memory is kept as it is, the same object, while more than ``least_used`` of its sentences
        have rows (1: only while all have; 0: always); so are the rows themselves, if each place
        still belongs to the same sentence.
        """
        sentence_N = self.sentence_N[parent_N]
        if np.array_equal(sentence_N, self.sentence_N):
            return self
        active_A = np.unique(sentence_N)
        used, size = len(active_A), len(self.memory_A)
        if used == size or used > least_used * size:
            active_A = self.memory_A
        return Rows(sentence_N, active_A)

    @cached_property
    def lines(self) -> Ints:
        """Each row's line of the table, (N,)."""
        return np.searchsorted(self.memory_A, self.sentence_N)

    @cached_property
    def _counts(self) -> Ints:
        return np.bincount(self.lines, minlength=len(self.memory_A))

    @cached_property
    def width(self) -> int:
        """W, the most rows of one sentence."""
        return int(self._counts.max())

    @cached_property
    def slots(self) -> Ints:
        """Each row's place on its line, (N,): rows of a sentence stand in their order."""
        order_N = np.argsort(self.lines, kind="stable")
        slot_N = np.empty_like(self.lines)
        before_A = np.cumsum(self._counts) - self._counts
        slot_N[order_N] = np.arange(len(order_N)) - np.repeat(before_A, self._counts)
        return slot_N

    @cached_property
    def places(self) -> Ints:
        """Each row's place (N,), counted along the lines of the table."""
        return self.lines * self.width + self.slots

    @cached_property
    def is_table(self) -> bool:
        """Whether the rows, in their order, fill the table: it is a mere reshape of them."""
        size = len(self.memory_A) * self.width
        return len(self.lines) == size and bool((self.lines[1:] >= self.lines[:-1]).all())

    def table(self) -> Ints:
        """The row at each place of the table (A, W), 0 where none stands."""
        row_AW = np.zeros((len(self.memory_A), self.width), dtype=np.int64)
        row_AW[self.lines, self.slots] = np.arange(len(self.lines))
        return row_AW


def widened(attention_NX: Floats32, width: int) -> Floats32:
    """Gives attention the width of its batch, where the longest sentences have left the memory."""
    rows, narrow = attention_NX.shape
    if narrow == width:
        return attention_NX
    attention_NS = np.zeros((rows, width), dtype=np.float32)
    attention_NS[:, :narrow] = attention_NX
    return attention_NS
