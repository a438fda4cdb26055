"""The batches of a stream: pairs are read, cleaned and tokenized while training goes on.

A buffer of pairs is shuffled and cut into batches as a pool of stored pairs is; the next one is
made meanwhile, by processes beside this one. What a buffer holds is a function of the sources and
its number, and its order one of (seed, number): a place names a buffer and says where it begins,
so that a resumed run reads it, and nothing before it, again.

Where several processes train together, all of them read the same rows, which costs little. If they
can exchange what they have made, each cleans and tokenizes its part of the batches; else each does
all of it. Either way the buffer is the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any

import numpy as np
import pyarrow as pa

from seq2seq.data.arrow import SCHEMA, flat_ids
from seq2seq.data.batching import (
    IndexBatch,
    Ints,
    Place,
    padded_tokens,
    planned,
    prefetched,
    sampled,
    widest,
)
from seq2seq.data.dataset import PreparedData, Ragged
from seq2seq.data.preparing.worker import Notes, Result, Work
from seq2seq.data.preparing.workers import WORTH_A_PROCESS, TokenizingPool
from seq2seq.data.reading.stream import Mark, Streams, first_rows
from seq2seq.errors import DataError
from seq2seq.processors import usable_processors
from seq2seq.recipe import Recipe
from seq2seq.tasks import PaddedBatch
from seq2seq.training.batches import (
    Batches,
    Collate,
    Exchange,
    Provenance,
    Share,
    UpdateBatches,
)
from seq2seq.training.precision import SAMPLING, stream_seed

_ROWS = 2**32  # more than a buffer has: an index says the buffer and the row in it
_KEPT = 3  # buffers: the one that is learned from, the next, which is prefetched, and the last
_HELPERS = 4
_PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class Buffer:
    """Some pairs of a stream."""

    number: int
    mark: Mark  # where it begins in the sources, and what was counted before
    after: Mark  # the same of the next one
    split: tuple[Ragged, Ragged]  # source and target ids
    provenance: Provenance
    plan: list[IndexBatch] = field(default_factory=list)  # its batches in their final order

    def lengths(self) -> tuple[Ints, Ints]:
        """The pieces (n,) of each source and target."""
        source, target = (np.diff(side.offsets) for side in self.split)
        return source, target


class StreamedBatches(Batches):
    """The batches of a stream. No update spans two buffers; the seed decides their order.

    Of ``prepared`` only the tokenizers are used. ``exchange`` None: each process tokenizes all.
    """

    unit = "buffer"

    def __init__(
        self,
        prepared: PreparedData,
        recipe: Recipe,
        collate: Collate,
        share: Share | None = None,
        exchange: Exchange | None = None,
    ) -> None:
        super().__init__(prepared, recipe, collate, share)
        assert recipe.data.stream is not None
        self._folder, self._size = prepared.folder, recipe.data.stream.buffer
        self._exchange = exchange if self._share.world > 1 else None
        self._buffers: dict[int, Buffer] = {}
        self._workers: TokenizingPool | None = None
        self._working = Lock()  # held while a buffer is read and tokenized
        self._ended = False

    def __len__(self) -> int:
        """Pairs of a buffer, dropped ones included."""
        return self._size

    def per_epoch(self) -> None:
        return None

    def left_out(self) -> int:
        """0, since nobody knows yet: pairs that are too long are counted as each buffer is made."""
        return 0

    def _largest(self) -> tuple[IndexBatch, IndexBatch]:
        """Those of the first buffer."""
        try:
            buffer = next(self._buffers_from(Place(), alone=True))
        except BaseException:  # a signal, too
            self._dismiss()
            raise
        self._buffers[0] = buffer
        sources, targets = buffer.lengths()
        lengths = np.maximum(sources, targets)
        rows = np.flatnonzero(lengths <= self._recipe.training.max_pieces)
        longest = rows[widest(lengths[rows] + 1, self._bounds)]
        fullest = max(buffer.plan, key=lambda one: padded_tokens(*one.ids()))
        return IndexBatch(longest, longest, buffer.split), fullest

    def provenance(self, indices: Ints) -> Provenance:
        found = [(self._buffers[n // _ROWS].provenance, n % _ROWS) for n in indices.tolist()]
        numbers = np.array([lines.numbers[row] for lines, row in found], dtype=np.int64)
        corpora = [lines.corpora[row] for lines, row in found if lines.corpora is not None]
        return Provenance(numbers, corpora or None)

    def sizes(self, index: int) -> tuple[int, int]:
        source, target = self._buffers[index // _ROWS].split
        return len(source[index % _ROWS]), len(target[index % _ROWS])

    def updates(self, place: Place) -> Generator[UpdateBatches]:
        """The batches of each update from a place on; the next buffer is prefetched, too."""
        self._ended = False
        if place.pool:
            self._buffers.clear()  # the first one was made for ``largest``
        try:
            yield from prefetched(self._updates(place), "batches")
        finally:
            # A buffer that is being made is finished first, if others wait for a part of it.
            waited = self._exchange is not None and self._working.acquire(timeout=_PATIENCE)
            self._ended = True
            if waited:
                self._working.release()
            self._dismiss()

    def _dismiss(self) -> None:
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def _updates(self, place: Place) -> Iterator[UpdateBatches]:
        pairs = place.pairs
        for buffer in prefetched(self._buffers_from(place), "buffer"):
            self._buffers[buffer.number] = buffer
            self._buffers.pop(buffer.number - _KEPT, None)
            plan = buffer.plan
            first = place.batch if buffer.number == place.pool else 0
            notes: dict[str, Any] | None = None if first else self._notes(buffer)
            for begin in range(first, len(plan), self._accumulate):
                batches = plan[begin : begin + self._accumulate]
                pairs += sum(map(len, batches))
                after = Place(0, buffer.number, begin + len(batches), pairs, buffer.mark)
                if after.batch == len(plan):
                    after = Place(0, buffer.number + 1, 0, pairs, buffer.after)
                yield self._update(batches, after, notes)
                notes = None

    def _padded(self, batch: IndexBatch) -> PaddedBatch:
        return self._collate(*batch.ids())

    def _plan(self, buffer: Buffer) -> list[IndexBatch]:
        """The batches of a buffer, in their final order."""
        sources, targets = buffer.lengths()
        rows = np.flatnonzero(np.maximum(sources, targets) <= self._recipe.training.max_pieces)
        if not len(rows):
            raise self._nothing(buffer)
        split = buffer.split[0].take(rows), buffer.split[1].take(rows)
        sampling = self._recipe.tokenizer.sampling
        if sampling is not None:
            seed = stream_seed(self._recipe.seed, SAMPLING, buffer.number)
            split = sampled(*split, self._tokenizers, sampling, seed)
        lengths = np.diff(split[0].offsets), np.diff(split[1].offsets)
        chance = (self._recipe.seed, 0, buffer.number)
        return planned(buffer.number * _ROWS + rows, lengths, split, self._bounds, chance)

    def _nothing(self, buffer: Buffer) -> DataError:
        marks = zip(self._streams(None).named, buffer.mark["corpora"], strict=True)
        where = ", ".join(f"line {mark['lines'] + 1:,} of {one.name}" for one, mark in marks)
        counts = Counter[str](buffer.after["counts"]) - Counter[str](buffer.mark["counts"])
        dropped = ", ".join(f"{rule} {count:,}" for rule, count in counts.items())
        return DataError(
            f"nothing is left to train on of the buffer that begins at {where} ({dropped}): look "
            "at the text and at the recipe's cleaning and training.max_pieces"
        )

    def _notes(self, buffer: Buffer) -> dict[str, Any]:
        passes = {
            one.name: mark["passes"]
            for one, mark in zip(self._streams(None).named, buffer.after["corpora"], strict=True)
        }
        return {"buffer": buffer.number, "counts": buffer.after["counts"], "passes": passes}

    # -- making buffers ---------------------------------------------------------------------

    def _streams(self, mark: Mark | None) -> Streams:
        return Streams(self._recipe.data, self._size, mark)

    def _buffers_from(self, place: Place, *, alone: bool = False) -> Iterator[Buffer]:
        """The buffers from a place on, without end; ``alone``: without the other processes."""
        mark = place.mark
        first = self._buffers.get(0) if place.pool == 0 else None  # it was made for ``largest``
        if first is not None and (mark is None or mark.get("first") == first.mark["first"]):
            yield first
            mark = first.after
        streams = self._streams(mark)
        counts = Counter[str]() if mark is None else Counter(mark["counts"])
        while True:
            number, begin = streams.number, {**streams.mark(), "counts": dict(counts)}
            with self._working:
                if self._ended:
                    return
                found = streams.read()
                if self._ended:  # meanwhile: nobody is left to tokenize for
                    return
                results = self._results(found, alone=alone)
            split = tuple(_joined([one.batch.column(n) for one in results]) for n in (0, 1))
            self._count(counts, results, split)
            buffer = Buffer(
                number,
                {**begin, "first": first_rows(found)},
                {**streams.mark(), "counts": dict(counts)},
                (split[0], split[1]),
                _provenance(streams, [corpus for corpus, _ in found], results),
            )
            yield replace(buffer, plan=self._plan(buffer))

    def _count(
        self, counts: Counter[str], results: list[Result], split: tuple[Ragged, ...]
    ) -> None:
        for result in results:
            counts["read"] += result.notes.read
            for one in result.notes.dropped:
                counts[one.rule] += one.count
        longest = np.maximum(*(np.diff(side.offsets) for side in split))
        if long := int(np.count_nonzero(longest > self._recipe.training.max_pieces)):
            counts["max_pieces"] += long

    def _results(self, found: list[tuple[int, pa.RecordBatch]], *, alone: bool) -> list[Result]:
        blocks = [block for _, block in found]
        if self._workers is None:
            work = Work(self._recipe.cleaning, self._tokenizers)
            helpers = (
                min(_HELPERS, usable_processors() // 2) if self._size >= WORTH_A_PROCESS else 0
            )
            self._workers = TokenizingPool.of_helpers(work, self._folder, helpers)
        if self._exchange is None or alone:
            return self._workers(blocks)
        rank, world = self._share.rank, self._share.world
        read = [len(blocks), *first_rows(found)]
        own = _packed(self._workers(blocks[rank::world]), read)
        everyone = [_unpacked(one) for one in self._exchange(own)]
        for other, (theirs, _) in enumerate(everyone):
            if theirs != everyone[0][0]:
                raise DataError(
                    f"process {other} of {world} reads other training text than process 0: the "
                    "files that data.train names must be the same on all machines, and a data set "
                    "of the hub needs a revision if it changes"
                )
        return [everyone[n % world][1][n // world] for n in range(len(blocks))]


def _joined(columns: list[pa.ListArray]) -> Ragged:
    flat = [flat_ids(column) for column in columns]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate([one for _, one in flat]))])
    return Ragged(np.concatenate([values for values, _ in flat]), offsets.astype(np.int64))


def _provenance(streams: Streams, corpora: list[int], results: list[Result]) -> Provenance:
    numbers = np.concatenate([one.batch.column("line").to_numpy() for one in results])
    if len(streams.named) == 1:
        return Provenance(numbers)
    names = [streams.named[corpus].name for corpus in corpora]
    both = zip(names, results, strict=True)
    return Provenance(numbers, [name for name, one in both for _ in range(one.batch.num_rows)])


def _packed(results: list[Result], read: list[Any]) -> bytes:
    """Packs results without their texts, and which rows were read, to be sent."""
    sink = pa.BufferOutputStream()
    fields = [SCHEMA.field(name) for name in ("source_ids", "target_ids", "line")]
    ids = pa.schema(fields, metadata={"read": json.dumps(read)})
    with pa.ipc.new_stream(sink, ids) as stream:
        for batch, notes in results:
            stream.write_batch(batch.select(ids.names), custom_metadata=notes.to_metadata())
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def _unpacked(packed: bytes) -> tuple[bytes, list[Result]]:
    """Unpacks what ``_packed`` gave: which rows were read, and the results."""
    with pa.ipc.open_stream(packed) as stream:
        return stream.schema.metadata[b"read"], [
            Result(batch, Notes.from_metadata(metadata))
            for batch, metadata in stream.iter_batches_with_custom_metadata()
        ]
