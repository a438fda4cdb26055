"""Reading: files, TSV, JSON Lines, Parquet and the hub become columns of pairs, a batch at a time.

Where a source is two files of lines, their bytes become columns without a Python object a pair; the
other sources are read pair by pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from seq2seq.data import arrow as storage
from seq2seq.data.reading.corpus import encodings_of, read_pairs, source_files
from seq2seq.data.reading.rows import FROM_START, Start, line_blocks
from seq2seq.errors import DataError
from seq2seq.recipe.data import LinesSource, Source
from seq2seq.storage.lines import check_file
from seq2seq.text.cleaning import RawPair

_BYTES_A_CHARACTER = 4  # at most, of UTF-8
_LINE_END = ord("\n")
_NO_LINES = np.zeros(0, dtype=np.int64)


def read_blocks(source: Source, start: Start = FROM_START) -> Iterator[pa.RecordBatch]:
    """Reads the pairs of a source, in order and in constant memory, many at a time.

    They come in batches of ``storage.BLOCK_SCHEMA``, of at most ``storage.BATCH_PAIRS`` pairs, and
    fewer where they are very long. Errors are those of ``read_pairs``.
    """
    if isinstance(source, LinesSource):
        yield from _line_blocks(source, start)
    else:
        yield from blocks_of(read_pairs(source, start))


def blocks_of(pairs: Iterable[RawPair]) -> Iterator[pa.RecordBatch]:
    """Puts pairs together as ``read_blocks`` does; no more are read ahead than one batch has."""
    block: list[RawPair] = []
    room = storage.BATCH_CHARACTERS
    for pair in pairs:
        block.append(pair)
        room -= len(pair.source) + len(pair.target)
        if len(block) == storage.BATCH_PAIRS or room <= 0:
            yield _batch(block)
            block, room = [], storage.BATCH_CHARACTERS
    if block:
        yield _batch(block)


def _batch(pairs: list[RawPair]) -> pa.RecordBatch:
    lines, sources, targets, invalid, misread = zip(*pairs, strict=True)
    return pa.record_batch(
        [
            pa.array(sources, pa.string()).view(pa.binary()),
            pa.array(targets, pa.string()).view(pa.binary()),
            pa.array(lines, pa.int64()),
            pa.array(invalid, pa.bool_()),
            pa.array(misread, pa.string()),
        ],
        schema=storage.BLOCK_SCHEMA,
    )


class _Side:
    """The lines of one file that were read and not yet taken."""

    def __init__(self, path: str, start: Start, encoding: str | None) -> None:
        self._blocks = line_blocks(path, start, encoding)
        self._data = b""
        self._ends = _NO_LINES  # of each line: where its end, one byte, lies

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def size(self) -> int:
        """Their bytes."""
        return len(self._data)

    def fill(self) -> None:
        """Reads on until there are enough lines, or bytes, for a batch."""
        enough = _BYTES_A_CHARACTER * storage.BATCH_CHARACTERS
        while len(self) < storage.BATCH_PAIRS and self.size < enough:
            block = next(self._blocks, None)
            if block is None:
                return
            ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _LINE_END)
            self._ends = np.concatenate([self._ends, ends + len(self._data)])
            self._data += block

    def characters(self, count: int) -> list[int]:
        """Counts the characters of each of the next lines."""
        lines = self._data[: self._ends[count - 1]].split(b"\n")
        return [len(line.decode("utf-8", "replace")) for line in lines]

    def take(self, count: int) -> pa.BinaryArray:
        """Takes the next lines."""
        ends = self._ends[:count]
        size = int(ends[-1]) + 1
        bounds = np.zeros(count + 1, dtype=np.int32)
        bounds[1:] = ends - np.arange(count)  # without the line ends that come before
        text = self._data[:size].replace(b"\n", b"")
        self._data = self._data[size:]
        self._ends = self._ends[count:] - size
        buffers = [None, pa.py_buffer(bounds), pa.py_buffer(text)]
        return pa.Array.from_buffers(pa.binary(), count, buffers)

    def rest(self) -> int:
        """Counts the lines that were not taken, to the file's end."""
        return len(self) + sum(block.count(b"\n") for block in self._blocks)


def _line_blocks(files: LinesSource, start: Start) -> Iterator[pa.RecordBatch]:
    paths = source_files(files)
    for path in paths:
        check_file(path)
    source, target = (
        _Side(path, start.of(n), encoding)
        for n, (path, encoding) in enumerate(zip(paths, encodings_of(files), strict=True))
    )
    first = start.lines + 1
    while True:
        source.fill()
        target.fill()
        count = min(len(source), len(target), storage.BATCH_PAIRS)
        if not count:
            break
        if source.size + target.size >= storage.BATCH_CHARACTERS:
            count = _fitting(source.characters(count), target.characters(count))
        yield pa.record_batch(
            [
                source.take(count),
                target.take(count),
                pa.array(np.arange(first, first + count)),
                pa.array(np.zeros(count, dtype=np.bool_)),
                pa.array([""] * count, pa.string()),
            ],
            schema=storage.BLOCK_SCHEMA,
        )
        first += count
    if len(source) or len(target):
        counts = (first - 1 + side.rest() for side in (source, target))
        raise DataError(
            f"{paths[0]} has {next(counts):,} lines but {paths[1]} has {next(counts):,}: "
            "line n of one must be the translation of line n of the other"
        )


def _fitting(sources: list[int], targets: list[int]) -> int:
    """How many of the next pairs, of so many characters, one batch has room for."""
    room = storage.BATCH_CHARACTERS
    for n, (source, target) in enumerate(zip(sources, targets, strict=True), 1):
        room -= source + target
        if room <= 0:
            return n
    return len(sources)
