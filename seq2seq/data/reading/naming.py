"""What is said where a corpus has other names for its texts than the recipe: bounded, and a remedy.

Names come from the corpus: there may be a million, as long as they like, with control characters.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from itertools import islice
from typing import Any

from seq2seq.text import shown

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
    """How the recipe's table names the texts, by two of the names that there are."""
    if len(names) < 2:
        return ""
    values = [json.dumps(name, ensure_ascii=False) for name in names[:2]]
    begin = "" if path is None else f"path = {json.dumps(shown(path, 200), ensure_ascii=False)}, "
    return f": say it in the recipe, such as {{{begin}source = {values[0]}, target = {values[1]}}}"


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
