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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from seq2seq.formats.document import Unit

SPACE = " \t\r\n\f"
"""What may stand for a space between words."""
Role = Literal["text", "open", "close", "empty", "word", "line", "break"]
Render = Callable[[Sequence["Piece"]], str]
"""Writes the pieces of a translation as they stand in a document."""

_MARKER = re.compile(r"(</?x\d+/?>)")
_TAG_LIKE = re.compile(r"(</?[A-Za-z][^<>]*>)")
_NAME = re.compile(r"([A-Za-z][\w:.-]*)")
_SPACES = re.compile(f"[{SPACE}]+")
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


@dataclass
class _Code:
    number: int
    opening: Piece
    closing: Piece | None = None
    is_half: bool = False
    inside: list[_Code] = field(default_factory=list)


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


def units(parts: Sequence[Part], render: Render, begin: int = 0) -> list[Unit]:
    """Finds what is translated among the parts of a document, the first of which is at a place."""
    found: list[Unit] = []
    group: list[Part] = []
    for part in [*parts, Part("", "break")]:
        group.append(part)
        if part.role == "break":
            for line in _lines(group[:-1]):
                unit = _unit(line, render, begin)
                found += [unit] if unit else []
                begin += sum(len(one.raw) for one in line)
            begin += len(part.raw)
            group = []
    return found


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


def _unit(parts: Sequence[Part], render: Render, begin: int) -> Unit | None:
    low, high = _core(parts, _pairs(parts))
    core = parts[low:high]
    if not any(part.role == "text" for part in core):
        return None
    segment, codes = _encoded(core)
    raw = "".join(part.raw for part in core)
    if codes is None or not any(map(str.isalpha, _MARKER.sub("", segment))):
        return None
    begin += sum(len(part.raw) for part in parts[:low])
    if core[0].role == "text":
        begin += len(raw) - len(raw.lstrip(SPACE))
        raw = raw.lstrip(SPACE)
    if core[-1].role == "text":
        raw = raw.rstrip(SPACE)

    def write(translations: Sequence[str]) -> str:
        (translation,) = translations
        return raw if translation == segment else render(_decoded(translation, codes))

    return Unit(begin, begin + len(raw), (segment,), write)


def _encoded(parts: Sequence[Part]) -> tuple[str, list[_Code] | None]:
    """A segment and its codes; None: they are too many within one another."""
    pairs = _pairs(parts)
    partners = {*pairs, *pairs.values()}
    written: list[str] = []
    texts: list[str] = []
    levels: list[list[_Code]] = [[]]
    opened: list[_Code] = []
    count = 0

    def add(piece: Piece, name: str, *, is_half: bool = False) -> _Code:
        nonlocal count
        count += 1
        written.append(name.format(count))
        levels[-1].append(_Code(count, piece, is_half=is_half))
        return levels[-1][-1]

    for number, part in enumerate([*parts, Part("", "break")]):
        if part.role == "text":
            texts.append(part.shown)
            continue
        for place, text in enumerate(_TAG_LIKE.split("".join(texts))):
            if place % 2:
                add(Piece(text, False), "<x{}/>")
            else:
                written.append(text)
        texts = []
        if number in pairs:
            opened.append(add(Piece(part.raw, True), "<x{}>"))
            levels.append(opened[-1].inside)
        elif number in partners:
            code = opened.pop()
            levels.pop()
            code.closing = Piece(part.raw, True)
            written.append(f"</x{code.number}>")
        elif number < len(parts):
            add(Piece(part.raw, True), "<x{}/>", is_half=part.role in ("open", "close"))
        if len(levels) > _DEEPEST:
            return "", None
    return _SPACES.sub(" ", "".join(written)).strip(" "), levels[0]


def _decoded(translation: str, codes: Sequence[_Code]) -> list[Piece]:
    """A translation in pieces, with each code once."""
    tokens = _MARKER.split(translation)
    found: dict[str, int] = {}
    for number, token in enumerate(tokens):
        if number % 2:
            found.setdefault(token, number)
    pieces: list[Piece] = []
    at = 0
    for place, code in _placed(codes, found, 0, len(tokens)):
        pieces += [Piece(text, False) for text in tokens[at:place:2] if text]
        at = max(at, place + place % 2)
        pieces.append(code)
    return [*pieces, *(Piece(text, False) for text in tokens[at::2] if text)]


def _placed(
    codes: Sequence[_Code], found: dict[str, int], low: int, high: int
) -> Iterator[tuple[int, Piece]]:
    """Where codes of one level and all within them stand, between two places; in order."""
    begins: list[int] = []
    for code in codes:
        name = f"x{code.number}"
        places = [found.get(f"<{name}{end}>") for end in ("/", "")] + [found.get(f"</{name}>")]
        known = [place for place in places if place is not None]
        begins.append(min(known, default=begins[-1] if begins else low))
    halves = [number for number, code in enumerate(codes) if code.is_half]
    for number, place in zip(halves, sorted(begins[one] for one in halves), strict=True):
        begins[number] = place  # their other halves come in the same order elsewhere
    for begin, code in sorted(zip(begins, codes, strict=True), key=lambda one: one[0]):
        low = min(max(begin, low), high)
        yield low, code.opening
        if code.closing is not None:
            opening, closing = f"<x{code.number}>", f"</x{code.number}>"
            end = min(max(found.get(opening, low), found.get(closing, low), low), high)
            yield from _placed(code.inside, found, low, end)
            yield end, code.closing
            low = end
