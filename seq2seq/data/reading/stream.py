"""Corpora that are read while training goes on: endless, in constant memory, from any place on.

What is read is cut into buffers, of which each holds the next rows of every corpus by its share; a
corpus that has come to its end begins anew. Shares are of the rows that are read, before cleaning:
so where a buffer begins does not depend on what is kept, and is known without reading it.

Where a buffer begins is remembered as plain values: of files that are not packed by their bytes, of
packed ones by their lines, of the hub by what ``datasets`` tells.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa

from seq2seq.data.mixture import NamedSource, shares, sources_of
from seq2seq.data.reading import blocks_of, read_blocks
from seq2seq.data.reading.corpus import encodings_of, source_files
from seq2seq.data.reading.hub import HubRows, hub_pair
from seq2seq.data.reading.rows import Start
from seq2seq.errors import DataError
from seq2seq.recipe import Data
from seq2seq.recipe.data import HubSource, JsonlSource, LinesSource, TsvSource
from seq2seq.storage.encodings import is_utf8
from seq2seq.storage.lines import is_packed, offset_after
from seq2seq.text.cleaning import RawPair

Mark = dict[str, Any]

_TURN = 4096  # rows in which the corpora have their shares, where nothing else is asked for


class _Reader:
    """Reads one corpus without end."""

    def __init__(self, named: NamedSource, mark: Mark | None = None) -> None:
        self.named = named
        self._source = named.source
        seekable = isinstance(self._source, LinesSource | TsvSource | JsonlSource) and all(
            map(is_utf8, encodings_of(self._source))
        )
        self._files = source_files(self._source) if seekable else ()
        mark = mark or {"passes": 0, "lines": 0, "offsets": None}
        self.passes: int = mark["passes"]
        self._lines: int = mark["lines"]
        offsets = mark["offsets"]
        self._offsets: tuple[int, ...] | None = None if offsets is None else tuple(offsets)
        self._left: pa.RecordBatch | None = None
        self._empty = False
        self._marked = self._lines  # the line that the offsets are of
        self._open(mark)

    def _open(self, mark: Mark) -> None:
        self._blocks = read_blocks(self._source, Start(self._lines, self._offsets))

    def take(self, count: int, *, to_end: bool = False) -> list[pa.RecordBatch]:
        """Reads the next rows; at the corpus's end it begins anew, or stops (``to_end``)."""
        found = []
        while count:
            block = self._next(count)
            if block is None:
                self._begin_anew()
                if to_end:
                    break
                continue
            found.append(block)
            count -= block.num_rows
            self._lines, self._empty = block.column("line")[-1].as_py(), False
        return found

    def _next(self, count: int) -> pa.RecordBatch | None:
        block = self._left if self._left is not None else next(self._blocks, None)
        if block is None or block.num_rows <= count:
            self._left = None
            return block
        self._left = block.slice(count)
        return block.slice(0, count)

    def _begin_anew(self) -> None:
        if self._empty:
            raise DataError(
                f"data.train ({self.named.name}): there are no pairs: leave it out, or name one "
                "that has some"
            )
        self.passes += 1
        self._lines, self._marked, self._offsets, self._empty = 0, 0, None, True
        self._open({})

    def mark(self) -> Mark:
        """Where the next row is."""
        if self._files and not any(map(is_packed, self._files)):
            before = self._offsets or (0,) * len(self._files)
            count = self._lines - self._marked
            self._offsets = tuple(
                offset_after(path, offset, count)
                for path, offset in zip(self._files, before, strict=True)
            )
            self._marked = self._lines
        offsets = None if self._offsets is None else list(self._offsets)
        return {"passes": self.passes, "lines": self._lines, "offsets": offsets}


class _HubReader(_Reader):
    """Reads a data set of the hub, never a row ahead: its mark would be wrong."""

    def _open(self, mark: Mark) -> None:
        assert isinstance(self._source, HubSource)
        self._rows = HubRows(self._source, mark.get("hub"))
        self._pairs = self._numbered(self._rows, self._source)

    def _numbered(self, rows: HubRows, source: HubSource) -> Iterator[RawPair]:
        for number, row in enumerate(rows, self._lines + 1):
            yield hub_pair(number, row, source)

    def _next(self, count: int) -> pa.RecordBatch | None:
        return next(blocks_of(islice(self._pairs, count)), None)

    def mark(self) -> Mark:
        return {**super().mark(), "hub": self._rows.mark()}


class Streams:
    """All training corpora of a recipe, a buffer at a time, from a mark of an earlier reading on.

    A buffer has nearly so many rows: each corpus's share of them is rounded.
    """

    def __init__(self, data: Data, buffer: int = _TURN, mark: Mark | None = None) -> None:
        self.named = sources_of(data, "train")
        self.buffer = buffer
        self.number: int = 0 if mark is None else mark["buffer"]
        self.shares = shares([one.weight for one in self.named], data.temperature)
        marks: Sequence[Mark | None] = mark["corpora"] if mark else [None] * len(self.named)
        self._first: list[str | None] = mark.get("first", []) if mark else []
        self._readers = [
            (_HubReader if isinstance(named.source, HubSource) else _Reader)(named, one)
            for named, one in zip(self.named, marks, strict=True)
        ]

    def quota(self, number: int) -> list[int]:
        """How many rows of each corpus a buffer has.

        Added up from the first buffer on (number 0) they are each corpus's share, rounded down:
        nothing is lost in the long run.
        """
        begin, end = (
            [math.floor(buffers * self.buffer * share) for share in self.shares]
            for buffers in (number, number + 1)
        )
        return [stop - start for start, stop in zip(begin, end, strict=True)]

    def mark(self) -> Mark:
        """Where the next buffer begins, in plain values for JSON."""
        return {"buffer": self.number, "corpora": [reader.mark() for reader in self._readers]}

    def read(self) -> list[tuple[int, pa.RecordBatch]]:
        """Reads the next buffer: batches of ``BLOCK_SCHEMA``, each with its corpus's number.

        It is a DataError if a corpus cannot be read, or if the first buffer is not what was there
        when its mark was made.
        """
        found = []
        for corpus, (reader, count) in enumerate(
            zip(self._readers, self.quota(self.number), strict=True)
        ):
            found += [(corpus, block) for block in reader.take(count)]
        self._check(found)
        self.number += 1
        return found

    def sample(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Reads buffers until each corpus has come to its end; some of them begin anew before."""
        while unfinished := {n for n, reader in enumerate(self._readers) if not reader.passes}:
            for corpus, count in enumerate(self.quota(self.number)):
                last = unfinished == {corpus}
                for block in self._readers[corpus].take(count, to_end=last):
                    yield corpus, block
            self.number += 1

    def _check(self, found: list[tuple[int, pa.RecordBatch]]) -> None:
        expected, self._first = self._first, []
        for corpus, (was, now) in enumerate(zip(expected, first_rows(found), strict=False)):
            if was is not None and was != now:
                block = next(block for number, block in found if number == corpus)
                raise DataError(
                    f"{self.named[corpus].name}, line {block.column('line')[0].as_py():,}: not "
                    "what it was when training was interrupted there: the corpus has changed; "
                    "put back what it was, or begin a new run"
                )


def first_rows(found: Sequence[tuple[int, pa.RecordBatch]]) -> list[str | None]:
    """Hashes the first row of each corpus in a buffer, to know it again; None: it has no row."""
    hashes: dict[int, str] = {}
    for corpus, block in found:
        if corpus not in hashes:
            texts = (block.column(side)[0].as_py() for side in ("source", "target"))
            digest = hashlib.blake2b(b"\n".join(texts), digest_size=8)
            hashes[corpus] = digest.hexdigest()
    return [hashes.get(corpus) for corpus in range(max(hashes, default=-1) + 1)]
