"""Problems with one answer, at the last step, on what stood far before it.

They are those of Hochreiter and Schmidhuber (1997) and of Martens and Sutskever (2011); what counts
stands where the latter, and Pascanu et al. (2013), put it.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from seq2seq.data.problems import Generators, Judged, Sequences, one_hot

CLOSE = 0.04
"""An answer that is a number is right if it is nearer than this (Martens and Sutskever 2011)."""


class _OneAnswer(Judged):
    @property
    def counted(self) -> slice:
        return slice(self.steps - 1, self.steps)

    def _two_places(self, random: Generators) -> NDArray[np.intp]:
        """Two steps of each sequence (B, 2): in its first tenth, and from there to its half."""
        tenth, half = self.length // 10, self.length // 2
        return np.array([(one.integers(tenth), one.integers(tenth, half)) for one in random])

    def _marked(self, values_BT: NDArray[Any], places_B2: NDArray[np.intp]) -> Sequences:
        """Values beside a mark that is 1 at two of them; their two values are the targets' part."""
        rows_B1 = np.arange(len(values_BT))[:, None]
        marks_BT = np.zeros_like(values_BT)
        marks_BT[rows_B1, places_B2] = 1.0
        inputs_BTE = np.stack([values_BT, marks_BT], axis=-1).astype(np.float32)
        return Sequences(inputs_BTE, self._answers(values_BT[rows_B1, places_B2]))

    def _answers(self, values_B2: NDArray[Any]) -> NDArray[Any]:
        """The targets, from the two marked values."""
        raise NotImplementedError


class Adding(_OneAnswer):
    """The sum of two marked numbers among numbers from 0 to 1."""

    inputs = 2
    outputs = 1
    criterion = f"fewer than 1 % wrong, by {CLOSE} or more"
    variance: ClassVar[float] = 1 / 6  # of the answers: 2 x 1/12

    @property
    def baseline(self) -> str:
        return f"loss {self.variance:.4f}"

    def _drawn(self, random: Generators) -> Sequences:
        places_B2 = self._two_places(random)
        return self._marked(np.stack([one.random(self.length) for one in random]), places_B2)

    def _answers(self, values_B2: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(values_B2.sum(1), np.float32)[:, None, None]

    def wrong(self, outputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Which answers (B,) are not close; one that is no number is not."""
        found: NDArray[np.bool_] = ~(np.abs(outputs - targets)[:, 0, 0] < CLOSE)
        return found


class Multiplication(Adding):
    """The product of two marked numbers among numbers from 0 to 1."""

    variance = 7 / 144  # 1/3 x 1/3 - 1/16

    def _answers(self, values_B2: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(values_B2.prod(1), np.float32)[:, None, None]


class Xor(_OneAnswer):
    """Whether two marked bits differ."""

    inputs = 2
    outputs = 2
    numbers = False

    @property
    def baseline(self) -> str:
        return f"loss {math.log(2):.4f}"

    def _drawn(self, random: Generators) -> Sequences:
        places_B2 = self._two_places(random)
        bits_BT = np.stack([one.integers(2, size=self.length) for one in random])
        return self._marked(bits_BT.astype(float), places_B2)

    def _answers(self, values_B2: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(values_B2[:, :1] != values_B2[:, 1:], np.int64)


class TemporalOrder(_OneAnswer):
    """Which of four orders two symbols, A or B each, came in, among four symbols of no meaning."""

    inputs = 6  # A, B and the four others
    outputs = 4
    numbers = False

    @property
    def baseline(self) -> str:
        return f"loss {math.log(4):.4f}"

    def _drawn(self, random: Generators) -> Sequences:
        length = self.length
        symbols_BT = np.stack([one.integers(2, 6, size=length) for one in random])
        windows = [(length * begin // 10, length * (begin + 1) // 10) for begin in (1, 5)]
        places_B2 = np.array([[one.integers(*bounds) for bounds in windows] for one in random])
        chosen_B2 = np.stack([one.integers(2, size=2) for one in random])
        symbols_BT[np.arange(len(random))[:, None], places_B2] = chosen_B2
        classes_B1: NDArray[Any] = (2 * chosen_B2[:, :1] + chosen_B2[:, 1:]).astype(np.int64)
        return Sequences(one_hot(symbols_BT, self.inputs), classes_B1)
