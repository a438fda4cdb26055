"""Parquet, read by pyarrow, which is what ``datasets`` reads it with: few rows at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from seq2seq.data.reading.rows import TOO_LONG, Start, listed, pair_of_bytes, remedy
from seq2seq.errors import DataError
from seq2seq.recipe.data import ParquetSource
from seq2seq.storage.lines import LONGEST_LINE
from seq2seq.text.cleaning import RawPair

_MOST_ROWS = 1024
_BATCH_BYTES = 2**22
_LONG = b"too long"  # stands for a value of which no more copies are made


def read_parquet(source: ParquetSource, start: Start) -> Iterator[RawPair]:
    """Reads the rows of a file."""
    number = 0
    try:
        with pq.ParquetFile(source.path) as file:
            paths = [
                _column_path(file.schema_arrow, key, source)
                for key in (source.source, source.target)
            ]
        names = [".".join(path) for path in paths]
        # What a file holds once, and names many times, is in memory once, too.
        with pq.ParquetFile(source.path, read_dictionary=names) as file:
            groups, number = _groups_after(file, start.lines)
            for batch in _batches(source.path, file, groups, names):
                columns = [_column(batch, path) for path in paths]
                for values in zip(*columns, strict=True):
                    number += 1
                    if number > start.lines:
                        yield _pair(number, values, source)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        what = (
            f"{source.path}, after row {number}: damaged"
            if number
            else (f"{source.path}: not Parquet, or damaged")
        )
        raise DataError(f"{what} ({reason})") from None


def _batches(
    path: str, file: pq.ParquetFile, groups: list[int], names: list[str]
) -> Iterator[pa.RecordBatch]:
    """Reads few rows at a time where they are long."""
    for group in groups:
        known = file.metadata.row_group(group)
        columns = map(known.column, range(known.num_columns))
        sizes = [one.total_uncompressed_size for one in columns if one.path_in_schema in names]
        size = sum(sizes)
        if max(sizes, default=0) > LONGEST_LINE * (known.num_rows + 1):  # known without reading
            raise DataError(f"{path}, row group {group}: a value is {TOO_LONG}")
        rows = _BATCH_BYTES * known.num_rows // max(1, size)
        rows = max(1, min(rows, _MOST_ROWS))
        yield from file.iter_batches(rows, row_groups=[group], columns=names)


def _pair(number: int, values: tuple[bytes | None, ...], source: ParquetSource) -> RawPair:
    texts: list[bytes] = []
    for key, value in zip((source.source, source.target), values, strict=True):
        if value is None:
            raise DataError(f"{source.path}, row {number}: {key!r} must be text, not null")
        if value is _LONG or len(value) > LONGEST_LINE:
            raise DataError(f"{source.path}, row {number}: {key!r} is {TOO_LONG}")
        texts.append(value)
    return pair_of_bytes(number, texts[0], texts[1])


def _groups_after(file: pq.ParquetFile, rows: int) -> tuple[list[int], int]:
    """The row groups with the rows after the first so many, and the number of rows before them."""
    before = 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if before + size > rows:
            return list(range(group, file.num_row_groups)), before
        before += size
    return [], before


def _column_path(schema: pa.Schema, key: str, source: ParquetSource) -> list[str]:
    """Finds a column of text: its name, or the names that lead to it through structs."""
    path = source.path
    steps = [key] if key in schema.names else key.split(".")
    names, found = list(schema.names), None
    for step in steps:
        if step not in names:
            texts = islice(_text_columns(schema, ""), 2)
            raise DataError(f"{path}: no column {key!r}{listed(names, step)}{remedy(path, *texts)}")
        if names.count(step) > 1:
            raise DataError(f"{path}: more than one column is called {key!r}: rename one of them")
        found = schema.field(step) if found is None else found.type.field(step)
        names = [field.name for field in found.type] if pa.types.is_struct(found.type) else []
    assert found is not None  # a split string has at least one part
    if not _is_text(found.type):
        raise DataError(f"{path}: column {key!r} holds {found.type}, not text")
    return steps


def _is_text(kind: pa.DataType) -> bool:
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _text_columns(fields: Iterable[pa.Field], prefix: str) -> Iterator[str]:
    for field in fields:
        if pa.types.is_struct(field.type):
            yield from _text_columns(field.type, f"{prefix}{field.name}.")
        elif _is_text(field.type):
            yield prefix + field.name


def _column(batch: pa.RecordBatch, path: list[str]) -> list[bytes | None]:
    """The values of a column, ``_LONG`` for long ones; what the file has once is one object."""
    column = batch.column(path[0])
    for step in path[1:]:
        column = column.field(step)
    # As bytes, since Parquet does not promise that its strings are UTF-8.
    if not pa.types.is_dictionary(column.type):
        return list(column.cast(pa.large_binary(), safe=False).to_pylist())
    indices, texts = column.indices, column.dictionary
    used = indices.unique().drop_null()
    short = used.filter(pc.less_equal(pc.binary_length(texts), LONGEST_LINE).take(used))
    values = texts.take(short).cast(pa.large_binary(), safe=False).to_pylist()
    by_index: dict[int | None, bytes | None] = dict.fromkeys(used.to_pylist(), _LONG)
    by_index.update(zip(short.to_pylist(), values, strict=True))
    by_index[None] = None
    return [by_index[index] for index in indices.to_pylist()]
