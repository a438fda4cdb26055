"""Lines longer than a model was trained on: split into parts that it can translate.

A line is split at the ends of sentences; a sentence that is still too long at commas, then between
words, and a word that is too long anywhere. Parts are as long as they may be, so that the model
sees as much context as it can.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise

Count = Callable[[Sequence[str]], list[int]]
"""How many pieces each text has."""

_CLOSING = "\"'”’»›)\\]」』）】"
# Marks of scripts that write spaces end something only before a space: 3.5 and e.g. stay whole.
_CUTS = (
    re.compile(rf"[.!?;…][.!?;…{_CLOSING}]*\s+|[。！？；][。！？；{_CLOSING}]*\s*|[।۔؟]\s*"),
    re.compile(rf"[,:–—][{_CLOSING}]*\s+|[，、：][{_CLOSING}]*\s*|[،]\s*"),
    re.compile(r"\s+"),
)
_BYTES = 4  # a character that the tokenizer does not know may become so many pieces


def split_line(line: str, limit: int, count: Count) -> list[str]:
    """Splits a line into parts of at most so many pieces.

    Args:
        line: The line.
        limit: The most pieces of a part.
        count: Counts the pieces of texts.

    Returns:
        The parts, in order, none empty or all white space; joined, with the white space that stood
        between them, they are the line.
    """
    return [part for part in (raw.strip() for raw in _split(line, limit, count, 0)) if part]


def _split(text: str, limit: int, count: Count, level: int) -> list[str]:
    if level == len(_CUTS):
        size = max(1, limit // (_BYTES + 1))
        return [text[begin : begin + size] for begin in range(0, len(text), size)]
    units = _units(text, _CUTS[level])
    sizes = count(units)
    parts: list[str] = []
    gathered, size = "", 0
    for unit, pieces in zip(units, sizes, strict=True):
        if gathered and size + pieces > limit:
            parts.append(gathered)
            gathered, size = "", 0
        if pieces > limit:
            *whole, last = _split(unit, limit, count, level + 1)
            parts += whole
            unit, pieces = last, count([last])[0]  # noqa: PLW2901 - what is left to gather
        gathered, size = gathered + unit, size + pieces
    return [*parts, gathered] if gathered else parts


def _units(text: str, cut: re.Pattern[str]) -> list[str]:
    places = [0, *(match.end() for match in cut.finditer(text)), len(text)]
    return [text[begin:end] for begin, end in pairwise(places) if begin < end]


def join_parts(parts: Sequence[str]) -> str:
    """Joins the translations of a line's parts.

    Args:
        parts: The translations.

    Returns:
        One line: with spaces between parts, but for scripts that write none.
    """
    joined = ""
    for part in parts:
        spaced = joined and part and not (_writes_no_spaces(joined[-1], part[0]))
        joined += f" {part}" if spaced else part
    return joined


def _writes_no_spaces(before: str, after: str) -> bool:
    return all(
        unicodedata.east_asian_width(one) in "WF"
        and not unicodedata.name(one, "").startswith("HANGUL")
        for one in (before, after)
    )
