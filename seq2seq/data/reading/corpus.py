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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from seq2seq.errors import DataError, MissingExtraError
from seq2seq.recipe.data import (
    HubSource,
    JsonlSource,
    LinesSource,
    ParquetSource,
    Source,
    TsvSource,
)
from seq2seq.storage.lines import check_file, corpus_blocks, place_after, split_block
from seq2seq.text import well_formed
from seq2seq.text.cleaning import RawPair

_ROWS = 8192


@dataclass(frozen=True)
class Start:
    """Where reading begins, if not at the beginning."""

    lines: int = 0  # lines (or rows) before it
    offsets: tuple[int, ...] | None = None  # bytes before it in each file; None: lines are counted

    def of(self, file: int) -> Start:
        """Where to begin in one of a source's files, counted from 0."""
        return Start(self.lines, self.offsets and (self.offsets[file],))


FROM_START = Start()


def line_blocks(path: str, start: Start = FROM_START) -> Iterator[bytes]:
    """Reads whole lines by the megabyte (see ``corpus_blocks``), from a place on."""
    if start.offsets is not None:
        return corpus_blocks(path, offset=start.offsets[0], lines_before=start.lines)
    blocks = corpus_blocks(path)
    return _after(blocks, start.lines) if start.lines else blocks


def _after(blocks: Iterator[bytes], left: int) -> Iterator[bytes]:
    for block in blocks:
        count = block.count(b"\n") if left else 0
        if left < count or not left:
            yield block[place_after(block, left) :]
            left = 0
        else:
            left -= count


def _numbered_lines(path: str, start: Start) -> Iterator[tuple[int, bytes]]:
    lines = chain.from_iterable(map(split_block, line_blocks(path, start)))
    return enumerate(lines, start.lines + 1)


def source_files(source: Source) -> tuple[str, ...]:
    """The paths of the local files that a source is read from; none for the hub."""
    if isinstance(source, LinesSource):
        return (source.source_path, source.target_path)
    return () if isinstance(source, HubSource) else (source.path,)


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
    needed = 1 + max(source.source, source.target)
    for number, line in _numbered_lines(source.path, start):
        columns = line.split(b"\t")
        if len(columns) < needed:
            raise DataError(
                f"{source.path}, line {number}: {len(columns)} column"
                f"{'s' if len(columns) > 1 else ''}, but source = {source.source} and "
                f"target = {source.target} (counted from 0) need {needed}, separated by tabs"
            )
        yield _pair(number, columns[source.source], columns[source.target])


def _jsonl(source: JsonlSource, start: Start) -> Iterator[RawPair]:
    for number, line in _numbered_lines(source.path, start):
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
    source, target = _value(row, keys.source, place), _value(row, keys.target, place)
    texts = well_formed(source), well_formed(target)
    return RawPair(number, *texts, texts != (source, target))


def _value(row: Mapping[str, Any], key: str, place: str) -> str:
    """Finds a text by its key; a key with dots that is not there as it stands is a path."""
    value: Any = row.get(key)
    if key not in row:
        value = row
        for step in key.split("."):
            if not isinstance(value, Mapping) or step not in value:
                names = list(value) if isinstance(value, Mapping) else []
                raise DataError(f"{place}: no key {key!r}{_hint(step, names)}")
            value = value[step]
    if not isinstance(value, str):
        raise DataError(f"{place}: {key!r} must be text, not {_kind(value)}")
    return value


def _hint(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, n=1)
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    return f"{guess}; there is: {', '.join(names)}" if names else guess


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")


def _parquet(source: ParquetSource, start: Start) -> Iterator[RawPair]:
    try:
        file = pq.ParquetFile(source.path)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{source.path}: not Parquet, or damaged ({reason})") from None
    with file:
        paths = [
            _column_path(file.schema_arrow, key, source.path)
            for key in (source.source, source.target)
        ]
        groups, number = _groups_after(file, start.lines)
        names = [".".join(path) for path in paths]
        try:
            for batch in file.iter_batches(_ROWS, row_groups=groups, columns=names):
                if number + batch.num_rows <= start.lines:
                    number += batch.num_rows
                    continue
                columns = [_column(batch, path) for path in paths]
                for values in zip(*columns, strict=True):
                    number += 1
                    if number <= start.lines:
                        continue
                    if None in values:
                        key = (source.source, source.target)[values.index(None)]
                        raise DataError(
                            f"{source.path}, row {number}: {key!r} must be text, not null"
                        )
                    yield _pair(number, values[0], values[1])
        except (pa.ArrowException, OSError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{source.path}, after row {number}: damaged ({reason})") from None


def _groups_after(file: pq.ParquetFile, rows: int) -> tuple[list[int], int]:
    """The row groups with the rows after the first so many, and the number of rows before them."""
    before = 0
    for group in range(file.num_row_groups):
        size = file.metadata.row_group(group).num_rows
        if before + size > rows:
            return list(range(group, file.num_row_groups)), before
        before += size
    return [], before


def _column_path(schema: pa.Schema, key: str, path: str) -> list[str]:
    """Finds a column of text: its name, or the names that lead to it through structs."""
    steps = [key] if key in schema.names else key.split(".")
    names, found = list(schema.names), None
    for step in steps:
        if step not in names:
            raise DataError(f"{path}: no column {key!r}{_hint(step, names)}")
        found = schema.field(step) if found is None else found.type.field(step)
        names = [field.name for field in found.type] if pa.types.is_struct(found.type) else []
    assert found is not None  # a split string has at least one part
    kind = found.type.value_type if pa.types.is_dictionary(found.type) else found.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DataError(f"{path}: column {key!r} holds {found.type}, not text")
    return steps


def _column(batch: pa.RecordBatch, path: list[str]) -> list[bytes | None]:
    column = batch.column(path[0])
    for step in path[1:]:
        column = column.field(step)
    # As bytes, since Parquet does not promise that its strings are UTF-8.
    values: list[bytes | None] = column.cast(pa.large_binary(), safe=False).to_pylist()
    return values


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


def _hub_name(source: HubSource) -> str:
    return f"data set {source.name!r}, split {source.split!r}"


_READERS: dict[str, Callable[[Any, Start], Iterator[RawPair]]] = {
    "tsv": _tsv,
    "jsonl": _jsonl,
    "parquet": _parquet,
    "hub": _hub,
}
