"""Lines as a translator reads them: one segment each, or several if the model takes no such line.

Most models are trained on one sentence a line, and translate the first of several. So a line is
split at the ends of sentences (``seq2seq/text/sentences.py``); a sentence that is still too long at
commas and the like, then between words, and a word that is too long anywhere. Parts hold as much as
the model takes, so that it sees as much context as it can.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from seq2seq.inference.glossary import AppliedGlossary, Demand
from seq2seq.inference.plain import Plain, PlainReader
from seq2seq.inference.results import Note, shown
from seq2seq.inference.trained_on import NO_LIMITS, TrainedOn
from seq2seq.search import Constraints
from seq2seq.text import well_formed
from seq2seq.text.sentences import CLOSING, split_sentences
from seq2seq.text.spans import CLOSING_MARKS, LeftOut

Count = Callable[[Sequence[str]], list[int]]
"""How many pieces each text has."""

# Marks of scripts that write spaces divide only before a space.
_CUTS = (
    re.compile(rf"[,;:–—][{CLOSING}]*\s+|[，、：；][{CLOSING}]*\s*|[،]\s*"),
    re.compile(r"\s+"),
)
_FREE = Constraints()
_BYTES = 4  # the most pieces that a character unknown to the tokenizer becomes, one a byte


def split_line(
    line: str, limit: int, count: Count, trained_on: TrainedOn = NO_LIMITS, *, first: int = 1
) -> list[str]:
    """Splits a line into segments of at most ``limit`` pieces, none empty or all white space.

    A segment has at most as many sentences as the model was ``trained_on`` in a line, but the first
    one at least the ``first`` sentences, if there is room. Joined, with the white space that stood
    between them, the segments are the line.
    """
    sentences = split_sentences(line, trained_on.language)
    units = ["".join(sentences[:first]), *sentences[first:]] if sentences else []
    segments = _gathered(units, limit, count, 0, trained_on.sentences)
    return [one for one in (raw.strip() for raw in segments) if one]


def _split(text: str, limit: int, count: Count, level: int) -> list[str]:
    if level == len(_CUTS):
        size = max(1, limit // (_BYTES + 1))
        return [text[begin : begin + size] for begin in range(0, len(text), size)]
    return _gathered(_units(text, _CUTS[level]), limit, count, level + 1)


def _gathered(
    units: Sequence[str], limit: int, count: Count, level: int, most: int | None = None
) -> list[str]:
    """Joins units, up to ``most`` at a time, to parts that are not too long; ``level`` cuts one."""
    segments: list[str] = []
    gathered, size, number = "", 0, 0
    for unit, pieces in zip(units, count(units), strict=True):
        if gathered and (size + pieces > limit or number == most):
            segments.append(gathered)
            gathered, size, number = "", 0, 0
        if pieces > limit:
            *whole, last = _split(unit, limit, count, level)
            segments += whole
            unit, pieces = last, count([last])[0]  # noqa: PLW2901 - what is left to gather
        gathered, size, number = gathered + unit, size + pieces, number + 1
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
    """A part of a line that is translated by itself."""

    line: int  # its number, from 1
    tokens: list[int]  # without eos
    constraints: Constraints
    left_out: tuple[LeftOut, ...] = ()  # spans, which come into its translation again
    begins: tuple[int, ...] = ()  # how many tokens stand before each
    closed: tuple[bool, ...] = ()  # whether nothing but closing marks follows on each
    capitals: bool = False  # the translation shall be in capitals
    demands: tuple[Demand, ...] = ()  # of the glossary; those to be forced are constraints, too


@dataclass(frozen=True)
class Line:
    """What was read of a line: mostly one segment, none if it has no words.

    ``wordless`` is what is left of a line without words: its spans, or nothing.
    """

    segments: Sequence[Segment]
    notes: tuple[Note, ...] = ()
    wordless: str = ""


class Reader:
    """Reads lines, as segments that a model takes.

    ``long`` says what is done with a line that has more than it takes: "split", "truncate" or
    "keep". Only "split" looks at sentences. ``plain`` takes out what the model shall not read. Each
    segment is asked for the terms of the ``glossary`` that stand in it.
    """

    def __init__(
        self,
        plain: PlainReader,
        longest: int,
        trained_on: TrainedOn,
        long: str,
        glossary: AppliedGlossary | None = None,
    ) -> None:
        self._plain = plain
        self._glossary = glossary
        self._tokenizer = plain.tokenizer
        self._longest = longest
        self._trained_on = trained_on
        self._long = long

    def read(
        self,
        lines: Sequence[str],
        constraints: Sequence[Constraints] | None,
        numbers: Iterable[int],
    ) -> list[Line]:
        """Reads some lines, which have these numbers among all."""
        lines = [well_formed(line) for line in lines]  # spans of them are written as they are
        plain = self._plain.read(lines)
        constraints = constraints or [_FREE] * len(lines)
        return [
            self._line(number, *read)
            for number, read in zip(
                numbers, zip(lines, plain, constraints, strict=True), strict=False
            )
        ]

    def _line(self, number: int, line: str, plain: Plain, constraints: Constraints) -> Line:
        row = plain.row if plain.text.strip() else []
        notes = _notes(line, plain)
        if not row and not (constraints.prefix or constraints.forced):
            return Line([], notes if line.strip() else (), line.strip() if plain.left_out else "")
        whole = Segment(number, row, constraints, capitals=plain.capitals)
        why = "" if self._long == "keep" else self._too_much(plain.text, row)
        if not why:
            return Line([self._completed(whole, plain.text, plain.left_out, plain.written)], notes)
        segments, note = self._shortened(whole, plain, why)
        return Line(segments, (*notes, *note))

    def _completed(
        self, segment: Segment, text: str, left_out: Sequence[LeftOut], written: str
    ) -> Segment:
        """A segment with the spans that were left out of its text, and its terms.

        ``written`` is the text in the case in which it was written.
        """
        if self._glossary is not None and segment.tokens:
            read = text
            if self._long == "truncate" and len(segment.tokens) == self._longest:
                (read,) = self._tokenizer.decode([segment.tokens])  # the rest is not translated
            constraints, demands = self._glossary.constraints_on(
                read, segment.constraints, segment.line, written, loud=segment.capitals
            )
            segment = replace(segment, constraints=constraints, demands=demands)
        if not left_out:
            return segment
        before = self._count([text[: one.at] for one in left_out])
        begins = tuple(min(count, len(segment.tokens)) for count in before)
        rests = ["".join(text[one.at :].split()) for one in left_out]
        closed = tuple(bool(rest) and CLOSING_MARKS.issuperset(rest) for rest in rests)
        return replace(segment, left_out=tuple(left_out), begins=begins, closed=closed)

    def _too_much(self, line: str, row: Sequence[int]) -> str:
        """Why a line cannot be taken whole; empty if it can."""
        if len(row) > self._longest:
            return f"{len(row)} pieces, but the model takes at most {self._longest}"
        most = self._trained_on.sentences
        if self._long == "truncate" or most is None:
            return ""
        count = len(split_sentences(line, self._trained_on.language))
        return f"{count} sentences, but the model has seen {most} a line" if count > most else ""

    def _shortened(
        self, whole: Segment, plain: Plain, why: str
    ) -> tuple[list[Segment], list[Note]]:
        """What is made of a line that is too much at a time."""
        row, constraints, line = whole.tokens, whole.constraints, plain.text
        if self._long == "truncate":
            kept = replace(whole, tokens=row[: self._longest])
            kept = self._completed(kept, line, plain.left_out, plain.written)
            return [kept], [Note("truncated", f"{why}: the rest was left out")]
        if constraints.forced:  # there is no telling in which segment a phrase belongs
            text = f"{why}: it was not split, as its translation has to hold phrases"
            whole = self._completed(whole, line, plain.left_out, plain.written)
            return [whole], [Note("whole", text)]
        # A prefix of several sentences is the beginning of as many sentences' translation.
        begun = max(1, len(split_sentences(constraints.prefix)))
        texts = split_line(line, self._longest, self._count, self._trained_on, first=begun)
        rows = self._tokenizer.encode(texts)
        parts = [(row, text) for row, text in zip(rows, texts, strict=True) if row]
        begins = _begins(line, [text for _, text in parts])
        spans = _shared_out(begins, [text for _, text in parts], plain.left_out)
        rest = replace(constraints, prefix="")
        segments = [
            self._completed(
                replace(whole, tokens=row, constraints=rest if number else constraints),
                text,
                own,
                plain.written[begin : begin + len(text)],
            )
            for number, ((row, text), own, begin) in enumerate(
                zip(parts, spans, begins, strict=True)
            )
        ]
        if len(segments) == 1:
            return segments, []
        return segments, [Note("split", f"{why}: it was translated in {len(segments)} parts")]

    def _count(self, texts: Sequence[str]) -> list[int]:
        return [len(row) for row in self._tokenizer.encode(texts)]


def _begins(line: str, texts: Sequence[str]) -> list[int]:
    """Where in a line its parts begin."""
    begins, end = [], 0
    for text in texts:
        begins.append(line.index(text, end))
        end = begins[-1] + len(text)
    return begins


def _shared_out(
    begins: Sequence[int], texts: Sequence[str], left_out: Sequence[LeftOut]
) -> list[list[LeftOut]]:
    """The spans of each part of a line: those behind its begin, with their places in it."""
    found: list[list[LeftOut]] = [[] for _ in texts]
    for one in left_out:
        number = max(0, bisect(begins, one.at) - 1)
        at = min(max(one.at - begins[number], 0), len(texts[number]))
        found[number].append(replace(one, at=at))
    return found


def _notes(line: str, plain: Plain) -> tuple[Note, ...]:
    notes = []
    if plain.unknown:
        fate = "taken over as they are" if plain.left_out else "read as unknown"
        text = f"characters that the model does not know ({shown(plain.unknown)}) were {fate}"
        notes.append(Note("unknown", text, plain.unknown))
    if "\ufffd" in line:
        notes.append(Note("invalid", "it has U+FFFD in the place of what could not be read"))
    return tuple(notes)
