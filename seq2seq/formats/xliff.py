"""XLIFF 1.2 and 2: sources without a target get one; targets that are there stay.

The standard library's expat finds the elements. It reads no other file, and a document type, which
could define entities, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import escape

from seq2seq.formats.document import DamagedError, Document, Unit, check_encoding
from seq2seq.formats.markup import Part, Role, escaping, units

_NO_LANGUAGE = (
    "the targets that were added are not valid without the language that they are in: add trgLang "
    'to the outermost element, as in <xliff version="{}" trgLang="de" ...>'
)
_DEEPEST = 200  # elements within elements
_SPACE = "xml:space"
_STATE = {"1": "needs-review-translation", "2": "translated"}
_NEW = {"1": ' state="needs-review-translation" state-qualifier="leveraged-mt"', "2": ""}
# Elements within a source whose content is not translated.
_ROLES: dict[str, Role] = {
    "x": "word", "ph": "word", "it": "empty", "cp": "word",
    "bx": "open", "bpt": "open", "sc": "open", "sm": "open",
    "ex": "close", "ept": "close", "ec": "close", "em": "close",
}  # fmt: skip
_ATTRIBUTE = re.compile(r"([\w:.-]+)\s*=\s*(\"[^\"]*\"|'[^']*')")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Event(NamedTuple):
    """Something that the parser found: a kind, where it begins, and of a text what it says."""

    kind: str
    begin: int
    shown: str = ""


@dataclass(slots=True)
class _Element:
    """An element, with the numbers of the events at which it begins and ends, and its places."""

    name: str
    prefix: str
    attributes: dict[str, str]
    translates: bool
    keeps_spaces: bool
    first: int
    last: int = 0
    begin: int = 0
    inner: int = 0  # where its content begins
    end: int = 0
    inside: list[_Element] = field(default_factory=list)

    @property
    def is_segment(self) -> bool:
        """Whether it is what a tool divided a source, or its target, into."""
        return self.name == "mrk" and self.attributes.get("mtype") == "seg"

    def segments(self) -> Iterator[_Element]:
        """What a tool divided it into."""
        for one in self.inside:
            if one.is_segment:
                yield one
            else:
                yield from one.segments()


class _Reader:
    """Reads the elements of a document, and everything in its order."""

    def __init__(self, text: str) -> None:
        self._parser = expat.ParserCreate("utf-8")
        self._data = text.encode()
        self._bytes = self._places = 0  # how far bytes were counted as characters
        self.root: _Element | None = None
        self._open: list[_Element] = []
        self.events: list[_Event] = []
        self.starts: dict[int, _Element] = {}
        parser = self._parser
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._started
        parser.EndElementHandler = self._ended
        parser.CharacterDataHandler = lambda data: self._add("text", data)
        parser.CommentHandler = lambda _: self._add("code")
        parser.ProcessingInstructionHandler = lambda *_: self._add("code")
        parser.StartCdataSectionHandler = lambda: self._add("cdata")
        parser.EndCdataSectionHandler = lambda: self._add("cdata")
        parser.DefaultHandler = lambda _: self._add("code")
        try:
            parser.Parse(self._data, True)
        except expat.ExpatError as error:
            raise DamagedError(error.lineno, f"not XML: {expat.ErrorString(error.code)}") from None
        self._add("end")
        for element in self.starts.values():
            element.begin = self.events[element.first].begin
            element.inner = self.events[element.first + 1].begin
            element.end = self.events[element.last + 1].begin

    def _add(self, kind: str, shown: str = "") -> None:
        at = len(self._data) if kind == "end" else self._parser.CurrentByteIndex
        self._places += len(self._data[self._bytes : at].decode())
        self._bytes = at
        self.events.append(_Event(kind, self._places, shown))

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        check_encoding(encoding, "", 0)  # it is at the beginning
        self._add("code")

    def _doctype(self, *_: object) -> None:
        raise DamagedError(
            self._parser.CurrentLineNumber,
            "has a DOCTYPE, which could define entities and which XLIFF does without: remove it",
        )

    def _started(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) >= _DEEPEST:
            raise DamagedError(
                self._parser.CurrentLineNumber, f"elements are nested deeper than {_DEEPEST}"
            )
        outer = self._open[-1] if self._open else None
        prefix, _, local = name.rpartition(":")
        translates = outer is None or outer.translates
        spaces = attributes.get(_SPACE)
        element = _Element(
            local,
            f"{prefix}:" if prefix else "",
            attributes,
            {"no": False, "yes": True}.get(attributes.get("translate", ""), translates),
            (outer is not None and outer.keeps_spaces) if spaces is None else spaces == "preserve",
            len(self.events),
        )
        if outer is None:
            self.root = element
        else:
            outer.inside.append(element)
        self.starts[len(self.events)] = element
        self._open.append(element)
        self._add("start")

    def _ended(self, _: str) -> None:
        self._open.pop().last = len(self.events)
        self._add("stop")


def read(text: str) -> Document:
    """Reads a document."""
    reader = _Reader(text)
    root = reader.root
    version = "" if root is None else root.attributes.get("version", "")
    if root is None or root.name != "xliff" or version[:2] not in ("1.", "2."):
        raise DamagedError(
            1 + text.count("\n", 0, root.begin if root else 0),
            'not XLIFF: the outermost element must be <xliff version="1.2"> or "2.0"',
        )
    found: list[Unit] = []
    outer = "trans-unit" if version[0] == "1" else "segment"
    for element in reader.starts.values():
        if element.name == outer and element.translates:
            found += _units(element, version[0], reader, text)
    found.sort(key=lambda unit: (unit.begin, unit.end))
    lacks = found and version[0] == "2" and "trgLang" not in root.attributes
    return Document(text, found, warnings=[_NO_LANGUAGE.format(version)] if lacks else [])


def _units(element: _Element, version: str, reader: _Reader, text: str) -> Iterator[Unit]:
    """What is written for a source without a target, or with one that is empty, or partly so."""
    named = {one.name: one for one in reversed(element.inside)}
    source, target, divided = (named.get(name) for name in ("source", "target", "seg-source"))
    if source is None or source.inner == source.end:
        return
    if divided is not None and any(divided.segments()):
        source = divided
    own = {one.attributes.get("mid"): one for one in source.segments()}
    places = [] if target is None else list(target.segments())
    if target is not None and _has_text(target, reader):
        for place in places:
            given = own.get(place.attributes.get("mid"))
            if given is not None and not _has_text(place, reader):
                content = _content(given, reader, text)
                if content.units:
                    around = _start(place, text), f"</{place.prefix}{place.name}>"
                    yield _filled(place.begin, place.end, around, content)
        return
    content = _content(source, reader, text)
    if not content.text.strip() or (target and target.inside and not content.units):
        return
    if target is None:
        begin = end = max(one.end for one in (named["source"], divided) if one)
        before = text[max(0, source.begin - 200) : source.begin]
        start = f"{before[len(before.rstrip()) :]}<{source.prefix}target{_NEW[version]}>"
        stop = f"</{source.prefix}target>"
    else:
        begin, end = target.begin, target.end
        start, stop = _start(target, text), f"</{target.prefix}target>"
        start = _with_state(start, _STATE[version]) if version == "1" else start
        start += _comments(target, reader, text)
        if len(places) == 1 and not own:  # what was not divided is one segment
            start += _start(places[0], text)
            stop = f"</{places[0].prefix}mrk>{stop}"
    if version == "2" and element.attributes.get("state", "initial") == "initial":
        tag = _with_state(text[element.begin : element.inner], _STATE[version])
        yield Unit(element.begin, element.inner, (), lambda _: tag)
    yield _filled(begin, end, (start, stop), content)


def _content(element: _Element, reader: _Reader, text: str) -> Document:
    """The content of an element, as a document of its own."""
    parts = list(_parts(element, reader, text))
    render = escaping(lambda one: escape(_NOT_XML.sub("", one)))
    return Document("".join(part.raw for part in parts), units(parts, render))


def _filled(begin: int, end: int, around: tuple[str, str], content: Document) -> Unit:
    """What replaces a part of a document: a content, translated, between two tags."""

    def write(translations: Sequence[str]) -> str:
        return content.written(translations).join(around)

    return Unit(begin, end, tuple(content.segments), write)


def _has_text(element: _Element, reader: _Reader) -> bool:
    """Whether there is text in an element, but for that of codes."""
    number = element.first + 1
    while number < element.last:
        inner = reader.starts.get(number)
        if inner is not None and inner.name in _ROLES:
            number = inner.last
        elif reader.events[number].shown.strip():
            return True
        number += 1
    return False


def _comments(element: _Element, reader: _Reader, text: str) -> str:
    """The comments in an element, and the like."""
    events = reader.events[element.first + 1 : element.last + 1]
    return "".join(
        text[one.begin : following.begin]
        for one, following in pairwise(events)
        if one.kind == "code"
    )


def _start(element: _Element, text: str) -> str:
    """The start tag of an element, which may have been empty."""
    tag = text[element.begin : element.inner]
    return tag.removesuffix("/>").removesuffix(">").rstrip() + ">"


def _with_state(tag: str, state: str) -> str:
    """A start tag with another state, or with one."""
    for found in _ATTRIBUTE.finditer(tag):
        if found[1] == "state":
            return f'{tag[: found.start(2)]}"{state}"{tag[found.end() :]}'
    return f'{tag[:-1]} state="{state}">'


def _parts(source: _Element, reader: _Reader, text: str) -> Iterator[Part]:
    """The parts of a source's content."""
    number, in_cdata = source.first + 1, False
    ends: set[int] = set()  # of segments
    closing: dict[int, str] = {}
    while number < source.last:
        event, element = reader.events[number], reader.starts.get(number)
        end, name = reader.events[number + 1].begin, closing.get(number, "")
        role: Role = "close" if name else "text" if event.kind == "text" else "empty"
        if element is not None:
            is_read = element.translates and element.attributes.get("mtype") != "protected"
            if element.is_segment and is_read:
                role = "break"
                ends.add(element.last)
            elif element.name not in _ROLES and is_read:
                role, name = "open", str(number)
                closing[element.last] = name
            else:
                role, end = _ROLES.get(element.name, "word"), element.end
                name = element.name[-1:] + _number_of(element)  # bpt and ept, sc and ec ...
                number = element.last
        elif number in ends:
            role = "break"
        elif event.kind == "cdata":  # its text is escaped like any other
            role, in_cdata = "text", not in_cdata
        elif source.keeps_spaces and event.shown == "\n" and not in_cdata:
            role = "line"
        yield Part(text[event.begin : end], role, event.shown or name)
        number += 1


def _number_of(element: _Element) -> str:
    """What the two halves of a pair have in common."""
    names = (element.attributes.get(name) for name in ("startRef", "rid", "id"))
    return next((name for name in names if name), "")
