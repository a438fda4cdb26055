r"""Where pairs come from: one reader a kind of source, each in constant memory.

TSV and JSON Lines are read here rather than by the builders of ``datasets``, because a line must
end at ``\n`` and nowhere else, and because an error must name its line. Only the hub can touch the
network. Pairs of line-aligned files are read by ``read_blocks``, many at a time.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from seq2seq.data.reading.hub import read_hub
from seq2seq.data.reading.parquet import read_parquet
from seq2seq.data.reading.rows import FROM_START, Start, kind_of, numbered_lines, pair_at_keys
from seq2seq.data.reading.tsv import read_tsv
from seq2seq.errors import DataError
from seq2seq.recipe.data import (
    HubSource,
    JsonlSource,
    LinesSource,
    ParquetSource,
    Source,
    TsvSource,
)
from seq2seq.storage.encodings import invalid_text
from seq2seq.storage.lines import check_file, corpus_blocks
from seq2seq.text.cleaning import RawPair


def source_files(source: Source) -> tuple[str, ...]:
    """The paths of the local files that a source is read from; none for the hub."""
    if isinstance(source, LinesSource):
        return (source.source_path, source.target_path)
    return () if isinstance(source, HubSource) else (source.path,)


def encodings_of(source: Source) -> tuple[str | None, ...]:
    """The encoding of each of ``source_files``, where the recipe names one."""
    if isinstance(source, LinesSource):
        return source.encodings
    return () if isinstance(source, HubSource | ParquetSource) else (source.encoding,)


def invalid_text_error(source: Source) -> DataError | None:
    """Says which file of a source is in another encoding than it is read with, and in which."""
    for path, encoding in zip(source_files(source), encodings_of(source), strict=False):
        if fault := invalid_text(corpus_blocks(path, encoding=encoding), encoding):
            return DataError(f"{path}: {fault}")
    return None


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


def _jsonl(source: JsonlSource, start: Start) -> Iterator[RawPair]:
    for number, line in numbered_lines(source, start):
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
            raise DataError(f"{place}: expected a JSON object, {{...}}, not {kind_of(row)}")
        pair = pair_at_keys(number, row, source, place)
        if "\ufffd" in text and text.encode() != line:
            pair = pair._replace(invalid_utf8=True)
        yield pair


_READERS: dict[str, Callable[[Any, Start], Iterator[RawPair]]] = {
    "tsv": read_tsv,
    "jsonl": _jsonl,
    "parquet": read_parquet,
    "hub": read_hub,
}
