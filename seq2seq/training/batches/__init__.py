"""Batches: what each update of a training learns from, and a process's part of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from seq2seq.data.batching import Bounds, IndexBatch, Ints, Place
from seq2seq.data.dataset import PreparedData, Ragged
from seq2seq.recipe import Recipe
from seq2seq.tasks import PaddedBatch

_SHOWN = 20  # lines of a batch, in messages

Collate = Callable[[Ragged, Ragged], PaddedBatch]
"""Makes a batch of the ids of some pairs; see ``Task.collate``."""

Exchange = Callable[[bytes], list[bytes]]
"""Gives every process's bytes to every process, by rank. It is called in a thread, as often and in
the same order in each process."""


@dataclass(frozen=True)
class Share:
    """A process's part of an update, by its rank and the number of processes.

    The batches themselves are divided among the processes where their number allows it, else each
    process takes every ``world``-th pair of each batch; a batch is sorted by length, so that all
    parts are about as long.
    """

    rank: int = 0
    world: int = 1

    def divides(self, batches: int) -> bool:
        """Whether an update of so many batches is divided into whole batches."""
        return batches % self.world == 0

    def of(self, batches: list[IndexBatch]) -> list[IndexBatch]:
        """This process's part of an update's batches.

        Where no pair is left for it (``is_empty``), it gets one that it does not learn from.
        """
        if self.divides(len(batches)):
            return batches[self.rank :: self.world]
        parts = [batch[self.rank :: self.world] for batch in batches]
        return [part for part in parts if len(part)] or [batches[0][:1]]

    def is_empty(self, batches: list[IndexBatch]) -> bool:
        """Whether no pair is left for this process, which the others wait for all the same."""
        return not self.divides(len(batches)) and max(map(len, batches)) <= self.rank

    def largest(self, batch: IndexBatch, accumulate: int) -> IndexBatch:
        """This process's part of a batch, in an update of ``accumulate`` batches."""
        return batch if self.divides(accumulate) else self.of([batch])[0]


@dataclass(frozen=True)
class UpdateBatches:
    """The batches of one update."""

    all_indices: list[Ints]  # of each batch's pairs (B,), of all processes
    own_indices: list[Ints]  # those in this process's part
    batches: list[PaddedBatch]  # of ``own_indices``; without targets where no pair was left
    place: Place  # after the update
    notes: dict[str, Any] | None = None  # what ``metrics.jsonl`` is to keep of a stream here


class Batches(ABC):
    """The batches of a training, in an order that is a function of (seed, place).

    The same place gives the same batches, whatever was read before; the number and order of updates
    are the same for all processes. What an index means is each subclass's own affair; training
    hands it back to ``provenance`` and ``sizes``. ``share`` None: this process trains alone.
    """

    unit: ClassVar[str]
    """What ``len`` counts the pairs of: "epoch" or "buffer"."""

    def __init__(
        self, prepared: PreparedData, recipe: Recipe, collate: Collate, share: Share | None = None
    ) -> None:
        options = recipe.training
        self._recipe, self._collate, self._share = recipe, collate, share or Share()
        self._tokenizers, self._accumulate = prepared.tokenizers, options.accumulate
        pieces = None if recipe.data.kind is not None else options.max_pieces
        self._bounds = Bounds(options.batch_tokens, options.batch_pairs, pieces)

    @abstractmethod
    def __len__(self) -> int:
        """Counts pairs, also those that are too long to be trained on."""

    @abstractmethod
    def per_epoch(self) -> int | None:
        """Counts the updates of an epoch, about; None where there are no epochs."""

    @abstractmethod
    def left_out(self) -> int:
        """Counts the pairs that are too long to be trained on, as far as that is known."""

    @abstractmethod
    def provenance(self, indices: Ints) -> Provenance:
        """Tells where pairs come from; those of a stream must be in use."""

    @abstractmethod
    def sizes(self, index: int) -> tuple[int, int]:
        """Counts the pieces of a pair's source and target."""

    @abstractmethod
    def updates(self, place: Place) -> Generator[UpdateBatches]:
        """The batches of each update from a place on, without end, prefetched in a thread."""

    def largest(self) -> Iterator[tuple[Ints, PaddedBatch]]:
        """This process's part of the batches that need the most memory, with their indices."""
        for batch in self._largest():
            own = self._share.largest(batch, self._accumulate)
            yield own.indices, self._padded(own)

    @abstractmethod
    def _largest(self) -> Sequence[IndexBatch]:
        """The batches of all processes that need the most memory."""

    @abstractmethod
    def _padded(self, batch: IndexBatch) -> PaddedBatch:
        """The matrices of a batch."""

    def _update(
        self, batches: list[IndexBatch], after: Place, notes: dict[str, Any] | None = None
    ) -> UpdateBatches:
        """Makes this process's part of an update, which ends at ``after``."""
        own = self._share.of(batches)
        made = [self._padded(batch) for batch in own]
        if self._share.is_empty(batches):
            made = [one.without_targets() for one in made]
        return UpdateBatches(
            [one.indices for one in batches], [one.indices for one in own], made, after, notes
        )


@dataclass(frozen=True)
class Provenance:
    """Where pairs come from: lines of the training text."""

    numbers: Ints  # line numbers (B,), from 1, in their corpora
    corpora: list[str] | None = None  # the corpus of each; None where there is but one

    def in_words(self, row: str = "line", of: str = "the training text") -> str:
        """Such as "lines 3, 4 of the training text" or "line 3 of news; line 4 of talks"."""
        if self.corpora is None:
            return f"{_some(self.numbers, _SHOWN, row)} of {of}"
        names = list(dict.fromkeys(self.corpora))
        shown = max(1, _SHOWN // len(names))
        where = np.array([names.index(corpus) for corpus in self.corpora])
        return "; ".join(
            f"{_some(self.numbers[where == number], shown)} of {name}"
            for number, name in enumerate(names)
        )

    def record(self) -> dict[str, list[int] | list[str]]:
        """The lines as ``metrics.jsonl`` has them, sorted."""
        if self.corpora is None:
            return {"lines": np.sort(self.numbers).tolist()}
        both = sorted(zip(self.corpora, self.numbers.tolist(), strict=True))
        return {"lines": [line for _, line in both], "corpora": [corpus for corpus, _ in both]}


def _some(lines: Ints, most: int, row: str = "line") -> str:
    if len(lines) == 1:
        return f"{row} {lines[0]}"
    shown = ", ".join(str(line) for line in np.sort(lines)[:most])
    more = f" and {len(lines) - most} more" if len(lines) > most else ""
    return f"{row}s {shown}{more}"
