"""Lines as a translator reads them: one segment each, or several if the model takes no longer ones.

A line is split at the ends of sentences; a sentence that is still too long at commas, then between
words, and a word that is too long anywhere. Parts are as long as they may be, so that the model
sees as much context as it can.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from seq2seq.ids import UNK
from seq2seq.inference.results import Note
from seq2seq.search import Constraints
from seq2seq.text.tokenizer import Tokenizer

Count = Callable[[Sequence[str]], list[int]]
"""How many pieces each text has."""

_CLOSING = "\"'”’»›)\\]」』）】"
# Marks of scripts that write spaces end something only before a space: 3.5 and e.g. stay whole.
_CUTS = (
    re.compile(rf"[.!?;…][.!?;…{_CLOSING}]*\s+|[。！？；][。！？；{_CLOSING}]*\s*|[।۔؟]\s*"),
    re.compile(rf"[,:–—][{_CLOSING}]*\s+|[，、：][{_CLOSING}]*\s*|[،]\s*"),
    re.compile(r"\s+"),
)
_FREE = Constraints()
_BYTES = 4  # the most pieces that a character unknown to the tokenizer becomes, one a byte


def split_line(line: str, limit: int, count: Count) -> list[str]:
    """Splits a line into segments of at most ``limit`` pieces, none empty or all white space.

    Joined, with the white space that stood between them, they are the line.
    """
    return [one for one in (raw.strip() for raw in _split(line, limit, count, 0)) if one]


def _split(text: str, limit: int, count: Count, level: int) -> list[str]:
    if level == len(_CUTS):
        size = max(1, limit // (_BYTES + 1))
        return [text[begin : begin + size] for begin in range(0, len(text), size)]
    units = _units(text, _CUTS[level])
    sizes = count(units)
    segments: list[str] = []
    gathered, size = "", 0
    for unit, pieces in zip(units, sizes, strict=True):
        if gathered and size + pieces > limit:
            segments.append(gathered)
            gathered, size = "", 0
        if pieces > limit:
            *whole, last = _split(unit, limit, count, level + 1)
            segments += whole
            unit, pieces = last, count([last])[0]  # noqa: PLW2901 - what is left to gather
        gathered, size = gathered + unit, size + pieces
    return [*segments, gathered] if gathered else segments


def _units(text: str, cut: re.Pattern[str]) -> list[str]:
    places = [0, *(match.end() for match in cut.finditer(text)), len(text)]
    return [text[begin:end] for begin, end in pairwise(places) if begin < end]


def join_segments(segments: Sequence[str]) -> str:
    """Joins the translations of a line's segments."""
    joined = ""
    for segment in segments:
        spaced = joined and segment and not (_writes_no_spaces(joined[-1], segment[0]))
        joined += f" {segment}" if spaced else segment
    return joined


def _writes_no_spaces(before: str, after: str) -> bool:
    return all(
        unicodedata.east_asian_width(one) in "WF"
        and not unicodedata.name(one, "").startswith("HANGUL")
        for one in (before, after)
    )


@dataclass(frozen=True)
class Segment:
    """What is translated at once: of the line of a number, its pieces without eos."""

    line: int
    row: list[int]
    constraints: Constraints


@dataclass(frozen=True)
class Line:
    """What was read of a line: mostly one segment, none if it has no words."""

    segments: Sequence[Segment]
    notes: tuple[Note, ...] = ()


class Reader:
    """Reads lines, as segments of at most ``longest`` pieces.

    ``long`` says what is done with a line that has more: "split", "truncate" or "keep".
    """

    def __init__(self, tokenizer: Tokenizer, longest: int, long: str) -> None:
        self._tokenizer = tokenizer
        self._longest = longest
        self._long = long

    def read(
        self, lines: Sequence[str], constraints: Sequence[Constraints] | None, first: int
    ) -> list[Line]:
        """Reads some lines, the first of them with the number ``first``."""
        rows = self._tokenizer.encode(lines)
        constraints = constraints or [_FREE] * len(lines)
        return [
            self._line(number, *read)
            for number, read in enumerate(zip(lines, rows, constraints, strict=True), start=first)
        ]

    def _line(self, number: int, line: str, row: list[int], constraints: Constraints) -> Line:
        if not line.strip():
            row = []
        if not row and not (constraints.prefix or constraints.forced):
            return Line([])
        notes: list[Note] = []
        if UNK in row:
            notes.append(Note("unknown", "it has characters that the model does not know"))
        if "\ufffd" in line:
            notes.append(Note("invalid", "it has U+FFFD in the place of what could not be read"))
        if len(row) <= self._longest or self._long == "keep":
            return Line([Segment(number, row, constraints)], tuple(notes))
        segments, note = self._shortened(Segment(number, row, constraints), line)
        return Line(segments, (*notes, note))

    def _shortened(self, whole: Segment, line: str) -> tuple[list[Segment], Note]:
        """What is made of a line that is too long."""
        row, constraints = whole.row, whole.constraints
        why = f"{len(row)} pieces, but the model takes at most {self._longest}"
        if self._long == "truncate":
            kept = replace(whole, row=row[: self._longest])
            return [kept], Note("truncated", f"{why}: the rest was left out")
        if constraints.forced:  # there is no telling in which segment a phrase belongs
            text = f"{why}: it was not split, as its translation has to hold phrases"
            return [whole], Note("whole", text)
        rows = self._tokenizer.encode(split_line(line, self._longest, self._count))
        first, *others = [one for one in rows if one]
        rest = replace(constraints, prefix="")
        segments = [
            replace(whole, row=first),
            *(Segment(whole.line, other, rest) for other in others),
        ]
        return segments, Note("split", f"{why}: it was translated in {len(segments)} parts")

    def _count(self, texts: Sequence[str]) -> list[int]:
        return [len(row) for row in self._tokenizer.encode(texts)]
