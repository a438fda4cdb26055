"""Pairs as they are read, in columns: what is handed from the reader to the processes that work.

Where a source is two files of lines, their bytes become columns without a Python object a pair; the
other sources are read pair by pair.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from seq2seq.data import storage
from seq2seq.data.corpus import read_pairs, unequal
from seq2seq.data.files import check_file, line_blocks
from seq2seq.recipe.data import LinesSource, Source
from seq2seq.text.cleaning import RawPair

_BYTES_A_CHARACTER = 4  # at most, of UTF-8


def read_blocks(source: Source) -> Iterator[pa.RecordBatch]:
    """Reads the pairs of a source, in order and in constant memory, many at a time.

    Args:
        source: The recipe's table.

    Yields:
        Batches of ``storage.BLOCK_SCHEMA``, of at most ``storage.BATCH_PAIRS`` pairs, and fewer
        where they are very long.

    Raises:
        DataError: As ``read_pairs`` does.
        MissingExtraError: As ``read_pairs`` does.
    """
    if isinstance(source, LinesSource):
        yield from _line_blocks(source.source_path, source.target_path)
    else:
        yield from map(_block, _cut(read_pairs(source)))


def _cut(pairs: Iterable[RawPair]) -> Iterator[list[RawPair]]:
    block: list[RawPair] = []
    room = storage.BATCH_CHARACTERS
    for pair in pairs:
        block.append(pair)
        room -= len(pair.source) + len(pair.target)
        if len(block) == storage.BATCH_PAIRS or room <= 0:
            yield block
            block, room = [], storage.BATCH_CHARACTERS
    if block:
        yield block


def _block(pairs: list[RawPair]) -> pa.RecordBatch:
    lines, sources, targets, invalid = zip(*pairs, strict=True)
    return pa.record_batch(
        [
            pa.array(sources, pa.string()).cast(pa.binary()),
            pa.array(targets, pa.string()).cast(pa.binary()),
            pa.array(lines, pa.int64()),
            pa.array(invalid, pa.bool_()),
        ],
        schema=storage.BLOCK_SCHEMA,
    )


class _Side:
    """The lines of one file that were read and not yet taken."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lines: list[bytes] = []
        self.size = 0  # bytes
        self._blocks = line_blocks(path)

    def fill(self) -> None:
        """Reads on until there are lines for a batch, were all their characters of one byte."""
        enough = _BYTES_A_CHARACTER * storage.BATCH_CHARACTERS
        while len(self.lines) < storage.BATCH_PAIRS and self.size < enough:
            block = next(self._blocks, None)
            if block is None:
                return
            self.lines += block
            self.size += sum(map(len, block))

    def take(self, count: int) -> list[bytes]:
        """Takes the next lines."""
        taken, self.lines = self.lines[:count], self.lines[count:]
        self.size -= sum(map(len, taken))
        return taken

    def rest(self) -> int:
        """Counts the lines that were not taken, to the file's end."""
        return len(self.lines) + sum(map(len, self._blocks))


def _line_blocks(source_path: str, target_path: str) -> Iterator[pa.RecordBatch]:
    for path in (source_path, target_path):
        check_file(path)
    source, target = _Side(source_path), _Side(target_path)
    first = 1
    while True:
        source.fill()
        target.fill()
        count = min(len(source.lines), len(target.lines), storage.BATCH_PAIRS)
        if not count:
            break
        if source.size + target.size >= storage.BATCH_CHARACTERS:
            count = _fitting(source.lines, target.lines, count)
        yield pa.record_batch(
            [
                pa.array(source.take(count), pa.binary()),
                pa.array(target.take(count), pa.binary()),
                pa.array(range(first, first + count), pa.int64()),
                pa.array([False] * count, pa.bool_()),
            ],
            schema=storage.BLOCK_SCHEMA,
        )
        first += count
    if source.lines or target.lines:
        raise unequal(
            source_path, first - 1 + source.rest(), target_path, first - 1 + target.rest()
        )


def _fitting(sources: list[bytes], targets: list[bytes], count: int) -> int:
    """How many of the next pairs one batch has room for."""
    room = storage.BATCH_CHARACTERS
    for n in range(count):
        room -= _characters(sources[n]) + _characters(targets[n])
        if room <= 0:
            return n + 1
    return count


def _characters(text: bytes) -> int:
    return len(text) if text.isascii() else len(text.decode("utf-8", "replace"))
