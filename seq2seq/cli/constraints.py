"""Files of constraints: what the translation of each line has to look like."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any

from seq2seq.cli import lines
from seq2seq.errors import Seq2SeqError

if TYPE_CHECKING:
    from seq2seq.search import Wish

_LISTS = {"force": "forced", "avoid": "avoided"}
_KEYS = ("prefix", *_LISTS)


def read_constraints(constraints: str | None, prefix: str | None) -> Iterator[Wish]:
    """Reads constraints line by line.

    Args:
        constraints: A file of JSON Lines: an object a line with "prefix", "force" and "avoid";
            None: there is none.
        prefix: A text file with a prefix a line; None: there is none.

    Yields:
        The constraint on each line.

    Raises:
        Seq2SeqError: If a line is wrong.
    """
    from seq2seq.search import Wish

    objects = repeat("") if constraints is None else lines.read_lines(constraints)
    prefixes = repeat("") if prefix is None else lines.read_lines(prefix)
    for number, (line, begin) in enumerate(zip(objects, prefixes, strict=False), start=1):
        found = _object(f"{constraints}, line {number}", line) if line.strip() else {}
        if begin and found.get("prefix"):
            raise Seq2SeqError(
                f"{constraints}, line {number}: has a prefix, but {prefix} has one for the same "
                "line: remove one of them"
            )
        yield Wish(
            prefix=begin or found.get("prefix", ""),
            forced=tuple(found.get("force", ())),
            avoided=tuple(found.get("avoid", ())),
        )


def _object(where: str, line: str) -> dict[str, Any]:
    """One line, checked."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        for key in keys:
            if keys.count(key) > 1:
                raise Seq2SeqError(f"{where}: has the key {key!r} twice")
        return dict(pairs)

    try:
        found = json.loads(line, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        reason = str(error).partition(":")[0]
        raise Seq2SeqError(
            f"{where}: not JSON: {reason}: write {{}} for a line without constraints"
        ) from None
    if not isinstance(found, dict):
        raise Seq2SeqError(
            f'{where}: not an object: write {{"prefix": "...", "force": ["..."], '
            f'"avoid": ["..."]}}, or {{}} for a line without constraints'
        )
    for key, value in found.items():
        if key not in _KEYS:
            from seq2seq.errors import unknown_name

            raise Seq2SeqError(f"{where}: {unknown_name(key, _KEYS)}")
        if key == "prefix" and not isinstance(value, str):
            raise Seq2SeqError(f"{where}: prefix must be a string, not {json.dumps(value)}")
        if key in _LISTS and not (
            isinstance(value, list) and all(isinstance(one, str) and one.strip() for one in value)
        ):
            raise Seq2SeqError(
                f"{where}: {key} must be a list of phrases that are not empty, not "
                f"{json.dumps(value, ensure_ascii=False)}"
            )
    return found
