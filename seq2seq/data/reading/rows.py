"""From a row of a corpus, of any kind, to a pair of texts; and what is said where it has none.

Names of columns and keys come from the corpus: there may be a million, as long as they like, with
control characters. Messages list a few of them, and the remedy.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, islice
from typing import Any

from seq2seq.errors import DataError
from seq2seq.recipe.data import HubSource, JsonlSource, TsvSource
from seq2seq.storage.lines import LONGEST_LINE, corpus_blocks, place_after, split_block
from seq2seq.text import shown, well_formed
from seq2seq.text.cleaning import RawPair

TOO_LONG = f"longer than {LONGEST_LINE:,} bytes: not a sentence"

_MOST = 10
_LONGEST = 40


def listed(names: Iterable[str], wanted: str = "") -> str:
    """Which names there are, the first of them, and perhaps which of them was meant."""
    known = list(islice(names, 10_000))
    near = get_close_matches(wanted, (name for name in known if len(name) <= _LONGEST), n=1)
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    if not known:
        return guess
    more = f" and {len(known) - _MOST:,} more" if len(known) > _MOST else ""
    return f"{guess}; there is: {', '.join(shown(one, _LONGEST) for one in known[:_MOST])}{more}"


def remedy(path: str | None, *names: str | int) -> str:
    """How the recipe's table, or the command line, names the texts: by two names that there are."""
    if len(names) < 2:
        return ""
    values = [json.dumps(name, ensure_ascii=False) for name in names[:2]]
    said = f"source = {values[0]}, target = {values[1]}"
    if path is None:
        return f": say it in the recipe, such as {{{said}}}"
    keys = zip(("source", "target"), values, strict=True)
    typed = [f"--set {shlex.quote(f'data.train.{key}={value}')}" for key, value in keys]
    begin = f"path = {json.dumps(shown(path, 200), ensure_ascii=False)}, "
    return (
        f": say it in the recipe, such as {{{begin}{said}}}, or {' '.join(typed)} (of "
        "validation pairs data.val)"
    )


def text_keys(row: Mapping[str, Any]) -> list[str]:
    """The first two keys of texts in an object, dotted where they lie deeper."""
    return list(islice(_text_keys(row, "", 3), 2))


def _text_keys(row: Mapping[str, Any], prefix: str, depth: int) -> Iterator[str]:
    for key, value in islice(row.items(), 100):
        if len(key) > _LONGEST or not key.isprintable():
            continue
        if isinstance(value, str):
            yield prefix + key
        elif isinstance(value, Mapping) and depth:
            yield from _text_keys(value, f"{prefix}{key}.", depth - 1)


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


def numbered_lines(source: TsvSource | JsonlSource, start: Start) -> Iterator[tuple[int, bytes]]:
    """Reads the lines of a file, with their numbers from 1."""
    blocks = line_blocks(source.path, start, source.encoding)
    return enumerate(chain.from_iterable(map(split_block, blocks)), start.lines + 1)


def pair_of_bytes(number: int, source: bytes, target: bytes) -> RawPair:
    """Decodes a pair, and marks it where its bytes are not UTF-8."""
    try:
        return RawPair(number, source.decode(), target.decode())
    except UnicodeDecodeError:
        return RawPair(
            number, source.decode("utf-8", "replace"), target.decode("utf-8", "replace"), True
        )


def pair_at_keys(
    number: int, row: Mapping[str, Any], keys: JsonlSource | HubSource, place: str
) -> RawPair:
    """Takes a pair from an object by the keys of a source's table; ``place`` is for messages."""
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
        raise DataError(f"{place}: {key!r} must be text, not {kind_of(value)}")
    if len(value) > LONGEST_LINE:
        raise DataError(f"{place}: {key!r} is {TOO_LONG}")
    return value


def kind_of(value: Any) -> str:
    """Names the kind of a JSON value."""
    if value is None:
        return "null"
    names = {bool: "true or false", int: "a number", float: "a number", str: "text"}
    return names.get(type(value), "a list" if isinstance(value, list) else "an object")
