"""SubRip: the text of a cue is one segment, and its translation fills as many lines.

A cue of which each line is another speaker's, and begins with a dash, is a segment a line. Dashes
at the beginning stay.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect, bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from seq2seq.formats.document import DamagedError, Document, Unit, line_end, line_of
from seq2seq.formats.markup import Part, Piece, tagged, units
from seq2seq.text.spans import Finder

_TIME = r"\d+:\d\d?:\d\d?(?:[,.]\d+)?"
_CUE = re.compile(
    rf"^[ \t]*(?:\d+[ \t]*\r?\n[ \t]*)?{_TIME}[ \t]*-->[ \t]*{_TIME}(?:[ \t][^\r\n]*)?\r?$",
    re.MULTILINE,
)
_CODE = re.compile(r"(\{\\[^{}\n]*\})")
_LINE_OR_CODE = re.compile(r"(\{\\[^{}\n]*\}|\n)")
_BLANK = re.compile(r"((?:^[ \t]*\r?\n)+)", re.MULTILINE)
_DASH = re.compile(r"\s*[-–—]+(?![-–—]|[.,]?\d)\s*")
_DOUBTFUL = re.compile(r"\d\s*-->|-->\s*\d")  # may be the line of times of a cue
_SPANS = Finder()
_SPEAKERS = re.compile(r"(?:\s*(?:<[^<>]*>|\{[^{}]*\})*[-–—][^\n]*(?:\n|$)){2,}")


@dataclass
class _Wrapping:
    """Writes a translation in so many lines."""

    line_end: str
    lines: int = 1

    def __call__(self, pieces: Sequence[Piece]) -> str:
        text = "".join(piece.text for piece in pieces if not piece.is_code)
        places, at = set(_breaks(text, self.lines)), 0
        written: list[str] = []
        for piece in pieces:
            if piece.is_code:
                written.append(piece.text)
                continue
            for letter in piece.text:
                if at in places:
                    written.append(self.line_end)
                if at not in places or letter != " ":
                    written.append(letter)
                at += 1
        return "".join(written)


def _breaks(text: str, lines: int) -> Iterator[int]:
    """Where lines of about the same length begin: at spaces, or between wide letters.

    No address, placeholder or the like is divided.
    """
    if lines == 1:
        return
    inside = {place for span in _SPANS.spans(text) for place in range(span.begin + 1, span.end)}
    free = [place for place in range(1, len(text) - 1) if place not in inside]
    allowed = [place for place in free if text[place] == " "]
    if len(allowed) < lines - 1:
        allowed = [place for place in free if text[place] == " " or _is_between(text, place)]
    low = 0  # of those that are left
    for number in range(1, lines):
        if low == len(allowed):
            return
        ideal = number * len(text) / lines
        after = bisect_left(allowed, ideal, low)
        best = min(allowed[max(low, after - 1) : after + 1], key=lambda place: abs(place - ideal))
        yield best
        low = bisect(allowed, best)


def _is_between(text: str, place: int) -> bool:
    """Whether the letters before and at a place are wide: lines are broken between them."""
    wide = (unicodedata.east_asian_width(letter) in "WF" for letter in text[place - 1 : place + 1])
    return all(wide) and unicodedata.category(text[place])[0] != "P"


def read(text: str) -> Document:
    """Reads subtitles."""
    cues = list(_CUE.finditer(text))
    begins = [cue.start() for cue in cues] + [len(text)]
    first = re.search(r"\S", text[: begins[0]])
    texts = [(cue.end(), end) for cue, end in zip(cues, begins[1:], strict=True)]
    doubtful = (_DOUBTFUL.search(text, begin, end) for begin, end in texts)
    fault = first or next((one for one in doubtful if one), None)
    if fault is not None:
        place = fault.start() if fault is first else text.index("-->", fault.start())
        raise DamagedError(
            line_of(text, place),
            "not SubRip: a cue begins with its number and a line of times, such as "
            "00:00:01,000 --> 00:00:02,500",
        )
    end = line_end(text)
    return Document(text, [unit for place in texts for unit in _units(text, *place, end)])


def _units(text: str, begin: int, end: int, ends_with: str) -> Iterator[Unit]:
    """What is translated of a cue's text."""
    for paragraph in _BLANK.split(text[begin:end]):
        speakers = _SPEAKERS.fullmatch(paragraph.strip())
        parts: list[Part] = []
        begins = True  # a line, or the whole text
        for number, one in enumerate((_LINE_OR_CODE if speakers else _CODE).split(paragraph)):
            if number % 2:
                parts.append(Part(one, "line" if one == "\n" else "empty"))
                begins = begins or one == "\n"
                continue
            for part in tagged(one):
                if begins and part.role == "text":
                    parts += _without_dash(part.raw)
                    begins = not part.raw.strip()
                else:
                    parts.append(part)
        render = _Wrapping(ends_with)
        for unit in units(parts, render, begin):
            if not speakers:
                render.lines = text.count("\n", unit.begin, unit.end) + 1
            yield unit
        begin += len(paragraph)


def _without_dash(text: str) -> list[Part]:
    """A text at the beginning of a line, with the speaker's dash by itself."""
    dash = _DASH.match(text)
    end = dash.end() if dash else 0
    rest = text[end:]
    found = [Part(text[:end], "empty"), Part(rest, "text", rest)]
    return [part for part in found if part.raw]
