"""The Arrow files: what columns they have, how they are written and read in sequence.

Files are Arrow IPC files of record batches, each so small that 32-bit offsets never overflow. They
are read here with plain reads, not through a memory map: passing over a corpus then leaves nothing
behind in the process's memory, whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seq2seq.text.cleaning import RawPair

BATCH_PAIRS = 8192
_BATCH_CHARACTERS = 2**24

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


def cut(pairs: Iterable[RawPair]) -> Iterator[list[RawPair]]:
    """Cuts a stream of pairs into batches of bounded size.

    Args:
        pairs: The pairs.

    Yields:
        Lists of at most ``BATCH_PAIRS`` pairs, fewer where they are very long.
    """
    block: list[RawPair] = []
    room = _BATCH_CHARACTERS
    for pair in pairs:
        block.append(pair)
        room -= len(pair.source) + len(pair.target)
        if len(block) == BATCH_PAIRS or room <= 0:
            yield block
            block, room = [], _BATCH_CHARACTERS
    if block:
        yield block


def raw_batch(pairs: list[RawPair]) -> pa.RecordBatch:
    """Stores pairs as a record batch, before tokenizing.

    Args:
        pairs: The pairs.

    Returns:
        A batch of ``RAW_SCHEMA``.
    """
    return pa.record_batch(
        [
            pa.array([pair.source for pair in pairs], pa.string()),
            pa.array([pair.target for pair in pairs], pa.string()),
            pa.array([pair.line for pair in pairs], pa.int64()),
        ],
        schema=RAW_SCHEMA,
    )


def id_column(rows: list[list[int]]) -> pa.ListArray:
    """Stores ids as a column.

    Args:
        rows: The ids of each text.

    Returns:
        A column of lists of 32-bit integers.
    """
    offsets = np.zeros(len(rows) + 1, dtype=np.int32)
    np.cumsum(np.fromiter(map(len, rows), np.int32, len(rows)), out=offsets[1:])
    values = np.fromiter(chain.from_iterable(rows), np.int32, offsets[-1])
    return pa.ListArray.from_arrays(offsets, values, type=SCHEMA.field("source_ids").type)


@contextmanager
def writer(path: Path, schema: pa.Schema) -> Iterator[pa.ipc.RecordBatchFileWriter]:
    """Opens an Arrow file to write batches to.

    Args:
        path: The file.
        schema: Its columns.

    Yields:
        The writer.
    """
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as batches:
        yield batches


def read_batches(path: Path, first: int = 0, stride: int = 1) -> Iterator[pa.RecordBatch]:
    """Reads an Arrow file batch by batch.

    Args:
        path: The file.
        first: The batch to begin with.
        stride: Every how many batches one is read.

    Yields:
        The batches.
    """
    with pa.OSFile(str(path), "rb") as file, pa.ipc.open_file(file) as reader:
        for number in range(first, reader.num_record_batches, stride):
            yield reader.get_batch(number)


class Column:
    """One text column of an Arrow file, to be iterated over as often as one likes.

    Args:
        path: The file.
        name: The column.
        rows: How many rows the file has.
    """

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
    """Opens a column of ids as arrays.

    Args:
        column: The column.

    Returns:
        All ids in order, and the number of ids in each list.
    """
    offsets = column.offsets.to_numpy()
    return column.values.to_numpy()[offsets[0] : offsets[-1]], np.diff(offsets)
