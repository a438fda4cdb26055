r"""Where pairs come from: one reader a kind of source, each in constant memory.

TSV and JSON Lines are read here rather than by the builders of ``datasets``, because a line must
end at ``\n`` and nowhere else, and because an error must name its line; Parquet is read by
pyarrow, which is what ``datasets`` reads it with. The hub is read through ``datasets`` itself, as a
stream: nothing is kept on the disk. Only the hub can touch the network. Pairs of line-aligned files
are read by ``read_blocks``, many at a time.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seq2seq.data.reading.naming import listed, remedy, text_keys
from seq2seq.data.reading.tsv import layout_of
from seq2seq.errors import DataError, MissingExtraError
from seq2seq.recipe.data import (
    HubSource,
    JsonlSource,
    LinesSource,
    ParquetSource,
    Source,
    TsvSource,
)
from seq2seq.storage.encodings import is_utf8, likely_encoding
from seq2seq.storage.lines import (
    LONGEST_LINE,
    check_file,
    corpus_blocks,
    encoding_advice,
    place_after,
    split_block,
)
from seq2seq.text import well_formed
from seq2seq.text.cleaning import COLUMNS, HEADER, RawPair

_MOST_ROWS = 1024
_BATCH_BYTES = 2**22
_ENOUGH_INVALID = 2**16  # bytes of lines to guess an encoding from


@dataclass(frozen=True)
class Start:
    """Where reading begins, if not at the beginning."""

    lines: int = 0  # lines (or rows) before it
    offsets: tuple[int, ...] | None = None  # bytes before it in each file; None: lines are counted

    def of(self, file: int) -> Start:
        """Where to begin in one of a source's files, counted from 0."""
        return Start(self.lines, self.offsets and (self.offsets[file],))


FROM_START = Start()


def line_blocks(
    path: str, start: Start = FROM_START, encoding: str | None = None
) -> Iterator[bytes]:
    """Reads whole lines by the megabyte (see ``corpus_blocks``), from a place on."""
    if start.offsets is not None:
        return corpus_blocks(
            path, offset=start.offsets[0], lines_before=start.lines, encoding=encoding
        )
    blocks = corpus_blocks(path, encoding=encoding)
    return _after(blocks, start.lines) if start.lines else blocks


def _after(blocks: Iterator[bytes], left: int) -> Iterator[bytes]:
    for block in blocks:
        count = block.count(b"\n") if left else 0
        if left < count or not left:
            yield block[place_after(block, left) :]
            left = 0
        else:
            left -= count


def _numbered_lines(source: TsvSource | JsonlSource, start: Start) -> Iterator[tuple[int, bytes]]:
    blocks = line_blocks(source.path, start, source.encoding)
    return enumerate(chain.from_iterable(map(split_block, blocks)), start.lines + 1)


def source_files(source: Source) -> tuple[str, ...]:
    """The paths of the local files that a source is read from; none for the hub."""
    if isinstance(source, LinesSource):
        return (source.source_path, source.target_path)
    return () if isinstance(source, HubSource) else (source.path,)


def encodings_of(source: Source) -> tuple[str | None, ...]:
    """The encoding of each of ``source_files``, where the recipe names one."""
    if isinstance(source, LinesSource):
        given = source.encoding
        return given if isinstance(given, tuple) else (given, given)
    return () if isinstance(source, HubSource | ParquetSource) else (source.encoding,)


def invalid_text_error(source: Source) -> DataError | None:
    """Says which file of a source is in another encoding than it is read with, and in which."""
    for path, encoding in zip(source_files(source), encodings_of(source), strict=False):
        total, count, first, sample = 0, 0, 0, b""
        for block in corpus_blocks(path, encoding=encoding):
            lines = split_block(block)
            wrong = [n for n, line in enumerate(lines, 1) if not _decodes(line)]
            if wrong and is_utf8(encoding) and len(sample) < _ENOUGH_INVALID:
                sample += b"".join(lines[n - 1] + b"\n" for n in wrong)
            first = first or (total + wrong[0] if wrong else 0)
            total, count = total + block.count(b"\n"), count + len(wrong)
        if count > MOST_INVALID * total:
            likely = likely_encoding(sample) if sample else None
            name = encoding or "UTF-8"
            advice = (
                f"probably {likely}: {encoding_advice(likely)}"
                if likely
                else 'give its table in the recipe the key encoding, such as "latin-1"'
            )
            return DataError(
                f"{path}: not {name}: {count:,} of {total:,} lines are no such text, first line "
                f"{first:,}; {advice}"
            )
    return None


MOST_INVALID = 0.02
"""The share of lines that may be invalid where nobody has named the encoding."""


def _decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


_OneByOne = TsvSource | JsonlSource | ParquetSource | HubSource


def read_pairs(source: _OneByOne, start: Start = FROM_START) -> Iterator[RawPair]:
    r"""Reads the pairs of a source, in order and in constant memory.

    Nothing is trimmed but a line's end: ``\n``, or ``\r\n``. Bytes that are not UTF-8 (and halves
    of surrogate pairs, which JSON can hold) become U+FFFD, and the pair is marked. Lines count from
    1; in Parquet and on the hub they are rows.

    A DataError names the file and the line where a file cannot be read, is no such text, or a pair
    is not where the recipe says. The hub needs ``datasets``, else it is a MissingExtraError.
    """
    for path in source_files(source):
        check_file(path)
    yield from _READERS[source.kind](source, start)


def _pair(number: int, source: bytes, target: bytes) -> RawPair:
    try:
        return RawPair(number, source.decode(), target.decode())
    except UnicodeDecodeError:
        return RawPair(
            number, source.decode("utf-8", "replace"), target.decode("utf-8", "replace"), True
        )


def _tsv(source: TsvSource, start: Start) -> Iterator[RawPair]:
    """Every line, those without the right columns marked; a DataError where they are most."""
    layout = layout_of(source)
    total = wrong = first = 0
    for number, line in _numbered_lines(source, start):
        columns = line.split(b"\t")
        if number == 1 and layout.header:
            yield RawPair(number, "", "", misread=HEADER)
            continue
        total += 1
        if len(columns) == layout.columns:
            yield _pair(number, columns[layout.source], columns[layout.target])
        else:
            wrong, first = wrong + 1, first or number
            yield RawPair(number, "", "", misread=COLUMNS)
    if wrong * 2 > total:
        raise DataError(
            f"{source.path}: {wrong:,} of {total:,} lines have other than {layout.columns} "
            f"columns, first line {first:,}: is it a file of pairs, separated by one tab each?"
        )


def _jsonl(source: JsonlSource, start: Start) -> Iterator[RawPair]:
    for number, line in _numbered_lines(source, start):
        if not line.strip():
            continue
        place = f"{source.path}, line {number}"
        text = line.decode("utf-8", "replace")
        try:
            row = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{place}: not JSON: {error.msg} at character {error.pos + 1}"
            ) from None
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: JSON that cannot be read: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"{place}: expected a JSON object, {{...}}, not {_kind(row)}")
        pair = _row_pair(number, row, source, place)
        if "\ufffd" in text and text.encode() != line:
            pair = pair._replace(invalid_utf8=True)
        yield pair


def _row_pair(
    number: int, row: Mapping[str, Any], keys: JsonlSource | HubSource, place: str
) -> RawPair:
    source, target = (_value(row, key, keys, place) for key in (keys.source, keys.target))
    texts = well_formed(source), well_formed(target)
    return RawPair(number, *texts, texts != (source, target))


def _value(row: Mapping[str, Any], key: str, keys: JsonlSource | HubSource, place: str) -> str:
    """Finds a text by its key; a key with dots that is not there as it stands is a path."""
    value: Any = row.get(key)
    if key not in row:
        value = row
        for step in key.split("."):
            if not isinstance(value, Mapping) or step not in value:
                names = list(value) if isinstance(value, Mapping) else []
                path = keys.path if isinstance(keys, JsonlSource) else None
                raise DataError(
                    f"{place}: no key {key!r}{listed(names, step)}{remedy(path, *text_keys(row))}"
                )
            value = value[step]
    if not isinstance(value, str):
        raise DataError(f"{place}: {key!r} must be text, not {_kind(value)}")
    if len(value) > LONGEST_LINE:
        raise DataError(f"{place}: {key!r} is {_TOO_LONG}")
    return value


_TOO_LONG = f"longer than {LONGEST_LINE:,} bytes: not a sentence"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")


def _parquet(source: ParquetSource, start: Start) -> Iterator[RawPair]:
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
            for batch in _parquet_batches(source.path, file, groups, names):
                columns = [_column(batch, path) for path in paths]
                for values in zip(*columns, strict=True):
                    number += 1
                    if number > start.lines:
                        yield _parquet_pair(number, values, source)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        what = (
            f"{source.path}, after row {number}: damaged"
            if number
            else (f"{source.path}: not Parquet, or damaged")
        )
        raise DataError(f"{what} ({reason})") from None


def _parquet_batches(
    path: str, file: pq.ParquetFile, groups: list[int], names: list[str]
) -> Iterator[pa.RecordBatch]:
    """Reads few rows at a time where they are long."""
    for group in groups:
        known = file.metadata.row_group(group)
        columns = map(known.column, range(known.num_columns))
        sizes = [one.total_uncompressed_size for one in columns if one.path_in_schema in names]
        size = sum(sizes)
        if max(sizes, default=0) > LONGEST_LINE * (known.num_rows + 1):  # known without reading
            raise DataError(f"{path}, row group {group}: a value is {_TOO_LONG}")
        rows = _BATCH_BYTES * known.num_rows // max(1, size)
        rows = max(1, min(rows, _MOST_ROWS))
        yield from file.iter_batches(rows, row_groups=[group], columns=names)


def _parquet_pair(number: int, values: tuple[bytes | None, ...], source: ParquetSource) -> RawPair:
    texts: list[bytes] = []
    for key, value in zip((source.source, source.target), values, strict=True):
        if value is None:
            raise DataError(f"{source.path}, row {number}: {key!r} must be text, not null")
        if len(value) > LONGEST_LINE:
            raise DataError(f"{source.path}, row {number}: {key!r} is {_TOO_LONG}")
        texts.append(value)
    return _pair(number, texts[0], texts[1])


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
    """The values of a column; those that are the same in the file are one object."""
    column = batch.column(path[0])
    for step in path[1:]:
        column = column.field(step)
    # As bytes, since Parquet does not promise that its strings are UTF-8.
    if not pa.types.is_dictionary(column.type):
        return list(column.cast(pa.large_binary(), safe=False).to_pylist())
    indices = column.indices
    used = indices.unique().drop_null()
    values = column.dictionary.take(used).cast(pa.large_binary(), safe=False).to_pylist()
    by_index: dict[int | None, bytes | None] = dict(zip(used.to_pylist(), values, strict=True))
    by_index[None] = None
    return [by_index[index] for index in indices.to_pylist()]


class HubRows:
    """The rows of a data set, in order, as a stream that can be taken up again.

    ``datasets`` can tell where a stream is and go on from there. What it tells was wrong in some of
    its releases once a stream had been taken up, so it is believed only where it moves; else the
    rows are passed over by their number. Reading begins at a mark of an earlier one, if any.
    """

    def __init__(self, source: HubSource, mark: Mapping[str, Any] | None = None) -> None:
        self._source = source
        self._state = None if mark is None else mark["state"]
        self._skip: int = 0 if mark is None else mark["skip"]
        self._before: int = 0 if mark is None else mark["rows"]
        self._read = 0
        self._data: Any = None
        self._first: Any = None

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            import datasets
        except ModuleNotFoundError as error:
            raise MissingExtraError("the hub", "train", "datasets") from error
        source = self._source
        name = _hub_name(source)
        _check_hub_name(source.name)
        try:
            self._data = datasets.load_dataset(
                source.name,
                name=source.config,
                split=source.split,
                revision=source.revision,
                streaming=True,
            )
            self._first = self._position()
            if self._state is not None:
                self._data.load_state_dict(self._state)
            left = self._skip
            for row in self._data:
                if left:
                    left -= 1
                    continue
                self._read += 1
                yield row
        except DataError:
            raise
        # What it raises is not documented, differs between releases, and nearly always is the
        # network, the name, the configuration or the split: all of them the user's to mend.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            rows = self._before + self._read
            place = f", after row {rows}" if rows else ""
            raise DataError(f"{name}{place}: cannot be read: {reason}") from None
        if not self._before + self._read:
            raise DataError(f"{name}: the split is empty")

    def _position(self) -> Any:
        """Where the stream is, as ``datasets`` tells it; None if it does not, or not for JSON."""
        try:
            return json.loads(json.dumps(self._data.state_dict()))
        except (AttributeError, TypeError):
            return None

    def mark(self) -> dict[str, Any]:
        """Where the next row is, in plain values for JSON, from which reading can go on."""
        position = self._position() if self._read else None
        rows = self._before + self._read
        if position is None or position == self._first:
            return {"state": self._state, "skip": self._skip + self._read, "rows": rows}
        return {"state": position, "skip": 0, "rows": rows}


def _hub(source: HubSource, start: Start) -> Iterator[RawPair]:
    rows = islice(HubRows(source), start.lines, None)
    for number, row in enumerate(rows, start.lines + 1):
        yield hub_pair(number, row, source)


def hub_pair(number: int, row: Mapping[str, Any], source: HubSource) -> RawPair:
    """Takes a pair from a row of a data set, which is numbered from 1."""
    return _row_pair(number, row, source, f"{_hub_name(source)}, row {number}")


def _check_hub_name(name: str) -> None:
    """Refuses names that ``datasets`` takes for something other than a data set of the hub."""
    from datasets import packaged_modules

    if name in getattr(packaged_modules, "_PACKAGED_DATASETS_MODULES", ()):
        raise DataError(
            f"data set {name!r}: reads files of a kind, those of the current folder, and is no "
            "data set of the hub: name one as OWNER/NAME, or give the files themselves"
        )
    if not Path(name).is_absolute() and Path(name).exists():
        raise DataError(
            f"data set {name!r}: there is a file or folder of this name here, which would be read "
            "instead of the hub: start from another folder"
        )


def _hub_name(source: HubSource) -> str:
    return f"data set {source.name!r}, split {source.split!r}"


_READERS: dict[str, Callable[[Any, Start], Iterator[RawPair]]] = {
    "tsv": _tsv,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "hub": _hub,
}
