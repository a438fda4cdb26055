"""Problems in which a message must be said again after a long silence.

The message's symbols stand at the first steps, then blanks, and a cue at the last of them; after
it the message is due. Every step counts: until then the right answer is a blank.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from seq2seq.data.problems import Generators, Judged, Sequences, one_hot


class _Recall(Judged):
    alphabet: ClassVar[int]  # symbols of messages; after them come the blank and the cue
    message: ClassVar[int]  # symbols of one message
    numbers = False

    @property
    def steps(self) -> int:
        return self.length + 2 * self.message

    @property
    def counted(self) -> slice:
        return slice(0, self.steps)

    @property
    def baseline(self) -> str:
        """Blanks where they are due, and any symbol for each of the message."""
        return f"loss {self.message * math.log(self.alphabet) / self.steps:.4f}"

    def _drawn(self, random: Generators) -> Sequences:
        said_BM = np.stack([one.integers(self.alphabet, size=self.message) for one in random])
        blank, cue = self.alphabet, self.alphabet + 1
        read_BT = np.full((len(random), self.steps), blank)
        read_BT[:, : self.message] = said_BM
        read_BT[:, self.steps - self.message - 1] = cue
        due_BT = np.full((len(random), self.steps), blank)
        due_BT[:, self.steps - self.message :] = said_BM
        return Sequences(one_hot(read_BT, self.inputs), due_BT.astype(np.int64))


class Copy(_Recall):
    """Ten symbols of eight, as Arjovsky et al. (2016) have it; first in Hochreiter and Schmidhuber.

    A network that only counts scores 10 ln 8 / (T + 20).
    """

    alphabet = 8
    message = 10
    inputs = 10
    outputs = 9


class Memorization(_Recall):
    """Five bits: the noiseless memorization of Martens and Sutskever (2011)."""

    alphabet = 2
    message = 5
    inputs = 4
    outputs = 3
