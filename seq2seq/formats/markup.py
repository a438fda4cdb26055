"""Text with codes in it, as segments: a code, such as a tag, travels as a tag with a unique name.

``a <b>red</b> car`` is the segment ``a <x1>red</x1> car``, of which ``text/spans.py`` leaves the
tags out and puts them into the translation again. What a reader reads is unescaped in a segment. As
every text in it that looks like a tag (``&lt;b&gt;``) travels as a code, too, whatever has the name
of a code is one.

In a translation the codes that stand at the same level of the source stay at it, and none is lost
or doubled, whatever the translation did to them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, NamedTuple

from seq2seq.formats.document import Unit
from seq2seq.text.spans import Finder

SPACE = " \t\r\n\f"
"""What may stand for a space between words."""
Role = Literal["text", "open", "close", "empty", "word", "line", "break"]
Render = Callable[[Sequence["Piece"]], str]
"""Writes the pieces of a translation as they stand in a document."""

_MARKER = re.compile(r"(</?x\d+/?>)")
_TAG_LIKE = re.compile(r"(</?[A-Za-z][^<>]*>)")
_NAME = re.compile(r"([A-Za-z][\w:.-]*)")
_SPACES = re.compile(f"[{SPACE}]+")
_UNUSUAL = re.compile(rf"[\t\r\n\f]|[{SPACE}]{{2}}")
_NEW_LINES = re.compile(r"[\r\n\f]+")
_PLACEHOLDERS = Finder(("placeholder",))
_DEEPEST = 32  # codes within codes, in one segment


class Part(NamedTuple):
    """A part of a document.

    Attributes:
        raw: How it stands there.
        role: "text"; "open" or "close", which make a pair; "empty", a code of nothing to read;
            "word", a code that is read within a sentence; "line", which divides segments outside
            of pairs; "break", which always does.
        shown: What a reader reads of a text; of a pair, what its halves have in common.
    """

    raw: str
    role: Role
    shown: str = ""


class Piece(NamedTuple):
    """A part of a translation: a text to be escaped, or a code as it stands."""

    text: str
    is_code: bool


@dataclass(slots=True)
class _Code:
    """A code of a segment; ``kind`` is "half" of a pair, "line", "text" to be escaped, or ""."""

    number: int
    opening: str
    kind: str = ""
    closing: str | None = None
    inside: Sequence[_Code] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """What is translated of a document in one go, where it stands, and its codes."""

    begin: int
    end: int
    text: str
    codes: Sequence[_Code]

    def pieces(self, translation: str) -> list[Piece]:
        """A translation in pieces, with each code once."""
        return _decoded(translation, self.codes)


@dataclass(frozen=True, slots=True)
class _Writer:
    segment: Segment
    render: Render

    def __call__(self, translations: Sequence[str]) -> str:
        (translation,) = translations
        return self.render(self.segment.pieces(translation))


def escaping(escape: Callable[[str], str]) -> Render:
    """Writes pieces by escaping each text by itself."""
    return lambda pieces: "".join(one.text if one.is_code else escape(one.text) for one in pieces)


def tagged(text: str) -> Iterator[Part]:
    """The parts of a text in which only tags are codes, and nothing is escaped."""
    for number, one in enumerate(_TAG_LIKE.split(text)):
        if number % 2:
            role: Role = "close" if one[1] == "/" else "empty" if one[-2] == "/" else "open"
            yield Part(one, role, _NAME.split(one)[1].lower())
        elif one:
            yield Part(one, "text", one)


def units(parts: Iterable[Part], render: Render, begin: int = 0) -> list[Unit]:
    """Finds what is translated among the parts of a document, the first of which is at a place."""
    return [
        Unit(one.begin, one.end, (one.text,), _Writer(one, render), stays=True)
        for one in segments(parts, begin)
    ]


def segments(parts: Iterable[Part], begin: int = 0) -> Iterator[Segment]:
    """What is translated among the parts of a document, the first of which is at a place."""
    group: list[Part] = []
    same: dict[str, str] = {}  # one string for each code, however often it is there
    for part in chain(parts, [Part("", "break")]):
        if part.role != "break":
            group.append(part)
            continue
        for line in _lines(group):
            if (segment := _segment(line, begin, same)) is not None:
                yield segment
            begin += sum(len(one.raw) for one in line)
        begin += len(part.raw)
        group = []


def _lines(parts: list[Part]) -> Iterator[list[Part]]:
    """Divides parts behind those lines that end outside of pairs."""
    pairs, begin, inside = _pairs(parts), 0, -1
    for number, part in enumerate(parts):
        inside = max(inside, pairs.get(number, -1))
        if part.role == "line" and number > inside:
            yield parts[begin : number + 1]
            begin = number + 1
    yield parts[begin:]


def _pairs(parts: Sequence[Part]) -> dict[int, int]:
    """Which part closes which, by their numbers."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    waiting: dict[str, int] = {}
    for number, part in enumerate(parts):
        if part.role == "open":
            opened.append(number)
            waiting[part.shown] = waiting.get(part.shown, 0) + 1
        elif part.role == "close" and waiting.get(part.shown):
            while True:
                last = opened.pop()
                waiting[parts[last].shown] -= 1
                if parts[last].shown == part.shown:
                    break
            pairs[last] = number
    return pairs


def _core(parts: Sequence[Part], pairs: dict[int, int]) -> tuple[int, int]:
    """Where parts begin and end without the codes and spaces that are around all words."""
    closed = {close: number for number, close in pairs.items()}
    words = [0]
    for part in parts:
        is_word = part.role == "word" or (part.role == "text" and not part.shown.isspace())
        words.append(words[-1] + is_word)
    low, high = 0, len(parts)
    while low < high:
        close, opened = pairs.get(low, low), closed.get(high - 1, high - 1)
        if words[close + 1] == words[low]:
            low = close + 1
        elif words[high] == words[opened]:
            high = opened
        elif close == high - 1 and close != low:
            low, high = low + 1, high - 1
        else:
            break
    return low, high


def _segment(parts: Sequence[Part], begin: int, same: dict[str, str]) -> Segment | None:
    low, high = _core(parts, _pairs(parts))
    core = parts[low:high]
    if not any(part.role == "text" for part in core):
        return None
    text, codes = _encoded(_with_spaces(core), same)
    if codes is None or not any(map(str.isalpha, _MARKER.sub("", text))):
        return None
    begin += sum(len(part.raw) for part in parts[:low])
    end = begin + sum(len(part.raw) for part in core)
    if core[0].role == "text":
        begin += len(core[0].raw) - len(core[0].raw.lstrip(SPACE))
    if core[-1].role == "text":
        end -= len(core[-1].raw) - len(core[-1].raw.rstrip(SPACE))
    return Segment(begin, end, text, codes)


def _with_spaces(parts: Sequence[Part]) -> Sequence[Part]:
    """Parts in which the spaces around the end of a line belong to it, and so stay."""
    if not any(part.role == "line" for part in parts):
        return parts
    found: list[Part] = []
    for part in parts:
        raw, last = part.raw, found[-1] if found else part
        if part.role == "line" and last.role == "text":
            text = last.raw.rstrip(SPACE)
            found[-1] = Part(text, "text", last.shown.rstrip(SPACE))
            found.append(Part(f"{last.raw[len(text) :]}{raw}", "line"))
        elif part.role == "text" and last.role == "line":
            text = raw.lstrip(SPACE)
            found[-1] = Part(f"{last.raw}{raw[: len(raw) - len(text)]}", "line")
            found.append(Part(text, "text", part.shown.lstrip(SPACE)))
        else:
            found.append(part)
    return found


def _encoded(parts: Sequence[Part], same: dict[str, str]) -> tuple[str, Sequence[_Code] | None]:
    """A segment and its codes; None: they are too many within one another."""
    pairs = _pairs(parts)
    partners = {*pairs, *pairs.values()}
    written: list[str] = []
    texts: list[str] = []
    levels: list[list[_Code]] = [[]]
    opened: list[_Code] = []
    count = 0

    def add(raw: str, name: str, kind: str = "") -> _Code:
        nonlocal count
        count += 1
        written.append(name.format(count))
        levels[-1].append(_Code(count, same.setdefault(raw, raw), kind))
        return levels[-1][-1]

    for number, part in enumerate([*parts, Part("", "break")]):
        if part.role == "text":
            texts.append(part.shown)
            continue
        for place, text in enumerate(_TAG_LIKE.split("".join(texts))):
            if place % 2:
                add(text, "<x{}/>", "text")
            else:
                written.append(text)
        texts = []
        if number in pairs:
            opened.append(add(part.raw, "<x{}>"))
            levels.append([])
        elif number in partners:
            code = opened.pop()
            code.inside = levels.pop() or ()
            code.closing = same.setdefault(part.raw, part.raw)
            written.append(f"</x{code.number}>")
        elif part.role == "line":  # a reader reads a space, and a network shall
            add(part.raw, " <x{}/> ", "line")
        elif number < len(parts):
            add(part.raw, "<x{}/>", "half" if part.role in ("open", "close") else "")
        if len(levels) > _DEEPEST:
            return "", None
    return _collapsed("".join(written)), levels[0] or ()


def _collapsed(text: str) -> str:
    """A text with one space for each white space, but for those within placeholders."""
    if not _UNUSUAL.search(text):
        return text.strip(" ")
    written, at = [], 0
    for span in _PLACEHOLDERS.spans(text):
        written += [_SPACES.sub(" ", text[at : span.begin]), _NEW_LINES.sub(" ", span.text)]
        at = span.end
    return "".join([*written, _SPACES.sub(" ", text[at:])]).strip(" ")


def _decoded(translation: str, codes: Sequence[_Code]) -> list[Piece]:
    """A translation in pieces, with each code once."""
    tokens = _MARKER.split(translation)
    found: dict[str, int] = {}
    for number, token in enumerate(tokens):
        if number % 2:
            found.setdefault(token, number)
    pieces: list[Piece] = []
    at, begins_line = 0, False
    for place, piece, is_line in chain(
        _placed(codes, found, 0, len(tokens)), [(len(tokens) + 1, Piece("", False), False)]
    ):
        texts = [text for text in tokens[at:place:2] if text]
        if texts and begins_line:
            texts[0] = texts[0].lstrip(SPACE)
        if texts and is_line:
            texts[-1] = texts[-1].rstrip(SPACE)
        pieces += [Piece(text, False) for text in texts if text]
        at = max(at, place + place % 2)
        pieces += [piece] if piece.text else []
        begins_line = is_line
    return pieces


def _placed(
    codes: Sequence[_Code], found: dict[str, int], low: int, high: int
) -> Iterator[tuple[int, Piece, bool]]:
    """Where codes of one level and all within them stand, between two places; in order.

    With each comes whether it ends a line.
    """
    begins: list[int] = []
    for code in codes:
        name = f"x{code.number}"
        places = [found.get(f"<{name}{end}>") for end in ("/", "")] + [found.get(f"</{name}>")]
        known = [place for place in places if place is not None]
        begins.append(min(known, default=begins[-1] if begins else low))
    halves = [number for number, code in enumerate(codes) if code.kind == "half"]
    for number, place in zip(halves, sorted(begins[one] for one in halves), strict=True):
        begins[number] = place  # their other halves come in the same order elsewhere
    for begin, code in sorted(zip(begins, codes, strict=True), key=lambda one: one[0]):
        low = min(max(begin, low), high)
        yield low, Piece(code.opening, code.kind != "text"), code.kind == "line"
        if code.closing is not None:
            opening, closing = f"<x{code.number}>", f"</x{code.number}>"
            end = min(max(found.get(opening, low), found.get(closing, low), low), high)
            yield from _placed(code.inside, found, low, end)
            yield end, Piece(code.closing, True), False
            low = end
