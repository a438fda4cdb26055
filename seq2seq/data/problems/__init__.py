"""Standard problems for recurrent networks: what each draws, what is scored, when it is solved.

A sequence is a pure function of a seed and its number, so that none is stored, and the sequences of
training are as many as one likes. ``problem_of`` makes what a recipe's table ``data`` describes.
The problems stand in ``one_answer`` (an answer at the end), ``recall`` (a message to be said
again) and ``streams`` (a target at every step).

Shapes: B sequences, T steps, E inputs, C steps that count, K outputs, S statistics.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from seq2seq.recipe import Data

Floats = NDArray[np.float64]
Rows = NDArray[np.integer]
Generators = Sequence[np.random.Generator]

VALIDATION = 2**30
"""The number of the first validation sequence; those for training are counted from 0."""


class Figure(NamedTuple):
    """A figure of the predictions: its key, its label, the title of its curve, its digits."""

    key: str
    label: str
    title: str
    digits: int = 2


@dataclass(frozen=True)
class Sequences:
    """Sequences of a problem, with their targets at the steps that count."""

    inputs_BTE: NDArray[np.float32]
    targets: NDArray[Any]  # numbers (B, C, K), float32; or classes (B, C), int64


class Problem(ABC):
    """A problem of some length; see the module.

    ``first`` is the first step that counts, of a stream.
    """

    inputs: ClassVar[int]  # E
    outputs: ClassVar[int]  # K: numbers, or classes
    numbers: ClassVar[bool] = True  # targets are numbers, with the mean squared error; else classes
    criterion: ClassVar[str]  # when it is solved, in words; empty: there is no such point
    figures: ClassVar[tuple[Figure, ...]]

    def __init__(self, length: int, first: int = 0) -> None:
        self.length = length
        self.first = first

    @property
    def steps(self) -> int:
        """T: how many steps a sequence has."""
        return self.length

    @property
    @abstractmethod
    def counted(self) -> slice:
        """The steps at which there are targets."""

    @property
    @abstractmethod
    def baseline(self) -> str:
        """What the best guess without looking at the inputs scores, in words."""

    def draw(self, seed: int, rows: Rows) -> Sequences:
        """The sequences of some numbers (B,); each is a function of the seed and its number."""
        return self._drawn([np.random.default_rng((seed, int(row))) for row in rows])

    @abstractmethod
    def _drawn(self, random: Generators) -> Sequences:
        """A sequence from each of some random generators."""

    @abstractmethod
    def statistics(self, outputs: NDArray[Any], targets: NDArray[Any]) -> Floats:
        """Of outputs (B, C, K) and their targets, what ``measure`` needs of each sequence (B, S).

        They are such that it needs no more than their sums over sequences.
        """

    @abstractmethod
    def measure(self, sums_S: Floats) -> dict[str, float]:
        """The figures by their keys, from the summed statistics."""

    def is_solved(self, measured: Mapping[str, float | None]) -> bool | None:
        """Whether figures are good enough; None: nobody says what is."""
        return None


class Judged(Problem):
    """A problem in which each sequence is answered rightly or wrongly.

    It is solved where fewer than 1 % are wrong (Martens and Sutskever 2011).
    """

    criterion = "fewer than 1 % wrong"
    figures = (Figure("wrong", "% wrong", "Sequences answered wrongly, in a hundred"),)

    def statistics(self, outputs: NDArray[Any], targets: NDArray[Any]) -> Floats:
        wrong_B = self.wrong(outputs, targets)
        return np.stack([np.ones(len(wrong_B)), wrong_B], axis=1)

    def wrong(self, outputs: NDArray[Any], targets: NDArray[Any]) -> NDArray[np.bool_]:
        """Which sequences (B,) have a wrong class at any step that counts."""
        found: NDArray[np.bool_] = (outputs.argmax(-1) != targets).any(axis=1)
        return found

    def measure(self, sums_S: Floats) -> dict[str, float]:
        count, wrong = sums_S
        return {"wrong": 100.0 * float(wrong / count)}

    def is_solved(self, measured: Mapping[str, float | None]) -> bool | None:
        wrong = measured.get("wrong")
        return wrong is not None and wrong < 1.0


def one_hot(symbols: Rows, size: int) -> NDArray[np.float32]:
    """Symbols (...) as vectors (..., size) with a single one."""
    return np.eye(size, dtype=np.float32)[symbols]


def problem_of(data: Data) -> Problem:
    """The problem that a recipe's table describes."""
    from seq2seq.data.problems import one_answer, recall, streams

    kinds: dict[str, type[Problem]] = {
        "adding": one_answer.Adding,
        "multiplication": one_answer.Multiplication,
        "xor": one_answer.Xor,
        "temporal_order": one_answer.TemporalOrder,
        "copy": recall.Copy,
        "memorization": recall.Memorization,
        "narma10": streams.Narma10,
        "mackey_glass": streams.MackeyGlass,
        "memory": streams.Memory,
    }
    assert data.problem is not None  # the recipe is checked for both
    assert data.length is not None
    return kinds[data.problem](data.length, data.first_step)
