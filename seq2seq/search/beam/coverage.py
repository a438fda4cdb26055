"""How much of its source each hypothesis of a beam has attended to."""

from __future__ import annotations

import numpy as np

from seq2seq.search.model import Floats, Floats32, Ints
from seq2seq.search.scores import coverage_penalties


class Coverage:
    """Sums attention along the rows of a beam search.

    Args:
        weight: What penalties are multiplied by.
        lengths_L: Positions of each lane's source, eos counted.
    """

    def __init__(self, weight: float, lengths_L: Ints) -> None:
        self._weight = weight
        self._lengths_L = lengths_L
        self._length_N = lengths_L
        self._attended_NS: Floats | None = None

    def add(self, attention_NS: Floats32 | None, lane_N: Ints) -> None:
        """Counts a step.

        Args:
            attention_NS: What the model returned for it.
            lane_N: The lane of each row.
        """
        if attention_NS is None:
            return
        self._length_N = self._lengths_L[lane_N]
        before_NS = self._attended_NS
        self._attended_NS = attention_NS.astype(np.float64)
        if before_NS is not None:  # an engine may leave out columns that are padding in all rows
            self._attended_NS += before_NS[:, : attention_NS.shape[1]]

    def penalties(self) -> Floats:
        """The penalty of each row, should it end now, times the weight (N,)."""
        if self._attended_NS is None:
            return np.zeros(len(self._length_N))
        return self._weight * coverage_penalties(self._attended_NS, self._length_N)

    def advance(self, parent_N: Ints) -> None:
        """Goes on with other rows.

        Args:
            parent_N: The row that each goes on from.
        """
        if self._attended_NS is not None:
            self._attended_NS = self._attended_NS[parent_N]
