"""Arrow files of pairs: their columns, how they are written, and two ways to read them.

Files are Arrow IPC files of record batches, each so small that 32-bit offsets never overflow. What
passes over a file once (``read_batches``) uses plain reads, not a memory map: it then leaves
nothing behind in the process's memory, whatever the file's size.

``PairDataset`` maps the file and fetches any pairs. They are gathered by arithmetic on the whole
file, not batch by batch: Arrow's buffers lie in the file as they lie in memory, so the map is also
one long array of 32-bit integers, in which each record batch's offsets and values begin at known
places. One gather then fetches any pairs, from any number of record batches, without a loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from seq2seq.errors import DataError, MissingExtraError

try:
    import pyarrow as pa
except ModuleNotFoundError as error:
    raise MissingExtraError("preparing and reading a corpus", "train", "pyarrow") from error

Indices = npt.NDArray[np.integer]
_Int64s = npt.NDArray[np.int64]
_Int32s = npt.NDArray[np.int32]

BATCH_PAIRS = 8192
BATCH_CHARACTERS = 2**24
"""What a batch has room for: so many pairs, or fewer where they have so many characters."""

BLOCK_SCHEMA = pa.schema(
    [
        pa.field("source", pa.binary(), nullable=False),
        pa.field("target", pa.binary(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("invalid", pa.bool_(), nullable=False),
        pa.field("misread", pa.string(), nullable=False),
    ]
)
"""Texts as bytes, perhaps not UTF-8; where they are, ``invalid`` says that they once were not.

Where there is no pair in a line, ``misread`` says why: the name of a rule that drops it.
"""

RAW_SCHEMA = pa.schema(
    [
        pa.field("source", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("source_ids", pa.list_(pa.field("item", pa.int32(), nullable=False)), False),
        pa.field("target_ids", pa.list_(pa.field("item", pa.int32(), nullable=False)), False),
        *RAW_SCHEMA,
    ]
)


def id_column(rows: list[list[int]]) -> pa.ListArray:
    """Makes a column of lists of 32-bit integers from the ids of each text."""
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(np.fromiter(map(len, rows), np.int32, len(rows)), out=offsets[1:])
    values = np.fromiter(chain.from_iterable(rows), np.int32, offsets[-1])
    return pa.ListArray.from_arrays(offsets, values, type=SCHEMA.field("source_ids").type)


@contextmanager
def writer(path: Path, schema: pa.Schema) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    """Opens an Arrow file to write batches to."""
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as batches:
        yield batches


def read_batches(path: Path) -> Iterator[pa.RecordBatch]:
    """Reads an Arrow file batch by batch."""
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as reader:
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


class Column:
    """One text column of an Arrow file of so many rows, to be iterated over again and again."""

    def __init__(self, path: Path, name: str, rows: int) -> None:
        self._path = path
        self._name = name
        self._rows = rows

    def __len__(self) -> int:
        return self._rows

    def __iter__(self) -> Iterator[str]:
        for batch in read_batches(self._path):
            yield from batch.column(self._name).to_pylist()


def flat_ids(column: pa.ListArray) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Returns all ids of a column in order, and the number of ids in each of its lists."""
    offsets = column.offsets.to_numpy()
    return column.values.to_numpy()[offsets[0] : offsets[-1]], np.diff(offsets)


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, one after another."""

    values: _Int32s  # all rows' values
    offsets: _Int64s  # n + 1 places; row i is ``values[offsets[i] : offsets[i + 1]]``

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Ragged:
        """Rows of numbers, one after another."""
        values = [number for row in rows for number in row]
        offsets = np.cumsum([0, *map(len, rows)])
        return cls(np.array(values, dtype=np.int32), offsets.astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> _Int32s:
        if not -len(self) <= row < len(self):
            raise IndexError(f"row {row} of {len(self)}")
        row %= len(self)
        return self.values[self.offsets[row] : self.offsets[row + 1]]

    def take(self, rows: Indices) -> Ragged:
        """Chooses rows (n,), in any order and as often as one likes."""
        begins = self.offsets[rows]
        return gathered(self.values, begins, self.offsets[np.asarray(rows) + 1] - begins)

    def backwards(self) -> Ragged:
        """The same rows, each from its last value to its first."""
        turned = Ragged(self.values[::-1], len(self.values) - self.offsets[::-1])
        return turned.take(np.arange(len(self))[::-1])


def gathered(values: _Int32s, begins: _Int64s, lengths: _Int64s) -> Ragged:
    """Gathers n stretches of an array as rows: where each begins (n,), and how long it is (n,)."""
    offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    # Item k of the result, in row i, comes from begins[i] + (k - offsets[i]).
    place = np.arange(offsets[-1], dtype=np.int64)
    place += np.repeat(begins - offsets[:-1], lengths)
    return Ragged(values[place], offsets)


class Dataset(Protocol):
    """Rows of a split, by their places: what batches and validation ask for."""

    @property
    def path(self) -> Path:
        """The file, or what messages call it."""

    def __len__(self) -> int: ...

    def lengths(self, start: int, stop: int) -> tuple[_Int32s, ...]:
        """Counts the pieces of neighbouring rows' sources and targets, without bos and eos."""

    def ids(self, indices: Indices) -> tuple[Ragged, Ragged]:
        """Fetches the pieces of the sources and of the targets, without bos and eos."""

    def texts(self, indices: Indices) -> tuple[list[str], list[str]]:
        """Fetches the sources and the targets, as they were read."""

    def lines(self, indices: Indices) -> _Int64s:
        """Fetches the line numbers, from 1, that rows had in the original input."""


@dataclass(frozen=True)
class _Places:
    """Where a column of lists or strings has its buffers, a place for each record batch.

    Places of offsets count 32-bit integers from the file's beginning; places of values count their
    own items (integers, or bytes for strings).
    """

    offsets: _Int64s
    values: _Int64s


class PairDataset:
    """The pairs of one split; see ``open``.

    Opening takes time by the record batch, not by the pair. Pickling carries the path alone.
    """

    def __init__(self, path: Path, buffer: pa.Buffer) -> None:
        self.path = path
        self._buffer = buffer
        self._bytes = np.frombuffer(buffer, dtype=np.uint8)
        self._int32s = np.frombuffer(buffer.slice(0, buffer.size // 4 * 4), dtype=np.int32)
        self._int64s = np.frombuffer(buffer.slice(0, buffer.size // 8 * 8), dtype=np.int64)
        reader = pa.ipc.open_file(buffer)
        batches = [reader.get_batch(n) for n in range(reader.num_record_batches)]
        counts = [batch.num_rows for batch in batches]
        nulls = (column.null_count for batch in batches for column in batch.columns)
        if reader.schema != SCHEMA or not any(counts) or any(nulls):
            raise DataError(f"{path}: not a file of prepared pairs: prepare it again")
        self._starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        columns = [[batch.column(n) for batch in batches] for n in range(len(SCHEMA))]
        # A list's buffers: two of validity at 0 and 2, offsets, values; a string's: one at 0.
        self._source_ids, self._target_ids = (self._places(c, 3, 4) for c in columns[:2])
        self._source_texts, self._target_texts = (self._places(c, 2, 1) for c in columns[2:4])
        self._lines = np.array([self._place(c.buffers()[1], 8) for c in columns[4]], dtype=np.int64)

    @classmethod
    def open(cls, path: Path) -> PairDataset:
        """Maps a prepared file; a DataError if it is missing, damaged or something else."""
        try:
            with pa.memory_map(str(path)) as file:
                return cls(Path(path), file.read_buffer())
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except (pa.ArrowInvalid, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{path}: damaged ({reason}): prepare it again") from None

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return PairDataset.open, (self.path,)

    def check(self, source_size: int, target_size: int) -> None:
        """Reads all; a DataError if it is not as Arrow wants it, or has other than so many pieces.

        Nothing else that reads pairs looks whether their places are in the file, or a piece is one.
        """
        for batch in read_batches(self.path):
            try:
                batch.validate(full=True)
                sides = [flat_ids(column)[0] for column in batch.columns[:2]]
            except pa.ArrowInvalid as error:
                reason = str(error).splitlines()[0]
                raise DataError(f"{self.path}: damaged ({reason}): prepare it again") from None
            for ids, size in zip(sides, (source_size, target_size), strict=True):
                if ids.size and not 0 <= ids.min() <= ids.max() < size:
                    raise DataError(
                        f"{self.path}: damaged (there are pieces that the tokenizer, with its "
                        f"{size:,}, does not have): prepare it again"
                    )

    def _place(self, buffer: pa.Buffer | None, width: int) -> int:
        # A batch whose texts are all empty may have no buffer; nothing is ever fetched from it.
        if buffer is None or buffer.size == 0:
            return 0
        place = int(buffer.address - self._buffer.address)
        if place % width or not 0 <= place <= self._buffer.size - buffer.size:  # packed
            raise DataError(f"{self.path}: not a file of prepared pairs: prepare it again")
        return place // width

    def _places(self, columns: Sequence[pa.Array], values: int, width: int) -> _Places:
        return _Places(
            np.array([self._place(c.buffers()[1], 4) for c in columns], dtype=np.int64),
            np.array([self._place(c.buffers()[values], width) for c in columns], dtype=np.int64),
        )

    def __len__(self) -> int:
        return int(self._starts[-1])

    def lengths(self, start: int, stop: int) -> tuple[_Int32s, _Int32s]:
        """Counts the pieces of neighbouring pairs' sources and targets, without bos and eos."""
        if not 0 <= start <= stop <= len(self):
            raise IndexError(f"pairs {start} to {stop} of {len(self)} in {self.path}")
        counts = np.empty((2, stop - start), dtype=np.int32)
        first = int(np.searchsorted(self._starts, start, side="right")) - 1
        done = start
        while done < stop:
            begin, end = int(self._starts[first]), min(stop, int(self._starts[first + 1]))
            for side, places in enumerate((self._source_ids, self._target_ids)):
                place = int(places.offsets[first])
                offsets = self._int32s[place + done - begin : place + end - begin + 1]
                np.subtract(offsets[1:], offsets[:-1], out=counts[side, done - start : end - start])
            first, done = first + 1, end
        return counts[0], counts[1]

    def ids(self, indices: Indices) -> tuple[Ragged, Ragged]:
        """Fetches the pieces of the sources and of the targets, without bos and eos.

        The pairs (n,) may be in any order and come as often as one likes.
        """
        at = self._locate(indices)
        source = gathered(self._int32s, *self._bounds(self._source_ids, *at))
        return source, gathered(self._int32s, *self._bounds(self._target_ids, *at))

    def _bounds(self, places: _Places, batch: _Int64s, row: _Int64s) -> tuple[_Int64s, _Int64s]:
        """Finds where rows begin, in items of their values, and how long they are."""
        place = places.offsets[batch] + row
        begin = self._int32s[place].astype(np.int64)
        return places.values[batch] + begin, self._int32s[place + 1] - begin

    def _locate(self, indices: Indices) -> tuple[_Int64s, _Int64s]:
        """Finds each pair's record batch and its row in it; an IndexError if there is no such."""
        indices = np.asarray(indices, dtype=np.int64)
        if indices.size and (indices.min() < 0 or indices.max() >= len(self)):
            wrong = indices[(indices < 0) | (indices >= len(self))][0]
            raise IndexError(f"pair {wrong} of {len(self)} in {self.path}")
        batch = np.searchsorted(self._starts, indices, side="right") - 1
        return batch, indices - self._starts[batch]

    def texts(self, indices: Indices) -> tuple[list[str], list[str]]:
        """Fetches the sources and the targets of pairs (n,), as they were read."""
        at = self._locate(indices)
        return self._strings(self._source_texts, *at), self._strings(self._target_texts, *at)

    def _strings(self, places: _Places, batch: _Int64s, row: _Int64s) -> list[str]:
        begin, length = self._bounds(places, batch, row)
        bounds = zip(begin.tolist(), (begin + length).tolist(), strict=True)
        return [self._bytes[start:stop].tobytes().decode() for start, stop in bounds]

    def lines(self, indices: Indices) -> _Int64s:
        """Fetches the line numbers, from 1, that pairs (n,) had in the original input."""
        batch, row = self._locate(indices)
        lines: _Int64s = self._int64s[self._lines[batch] + row]
        return lines
