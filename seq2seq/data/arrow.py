"""The Arrow files: what columns they have, how they are written and read in sequence.

Files are Arrow IPC files of record batches, each so small that 32-bit offsets never overflow. They
are read here with plain reads, not through a memory map: passing over a corpus then leaves nothing
behind in the process's memory, whatever its size.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

BATCH_PAIRS = 8192
BATCH_CHARACTERS = 2**24
"""What a batch has room for: so many pairs, or fewer where they have so many characters."""

BLOCK_SCHEMA = pa.schema(
    [
        pa.field("source", pa.binary(), nullable=False),
        pa.field("target", pa.binary(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("invalid", pa.bool_(), nullable=False),
    ]
)
"""Texts are bytes, which may be no UTF-8; where they are, ``invalid`` says that they once were not.
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
