"""HTML: the text of its elements is translated; what is in attributes, scripts and code is not.

The standard library's parser finds the tags, and everything is cut out of the original text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape, unescape
from html.parser import HTMLParser
from itertools import pairwise
from typing import NamedTuple

from seq2seq.formats.document import DamagedError, Document, check_encoding, line_of
from seq2seq.formats.markup import Part, Role, escaping, units

_INLINE = frozenset(
    "a abbr acronym b bdi bdo big cite code data del dfn em font i img input ins kbd label map "
    "mark math meter nobr noscript object output progress q rb rp rt ruby s samp script small span "
    "strike strong style sub sup svg time tt u var wbr".split()
)
_EMPTY = frozenset("area base br col embed hr img input link meta param source track wbr".split())
# What an element is to the text around it, if nothing in it is translated.
_UNREAD: dict[str, Role] = dict.fromkeys(
    "pre textarea select xmp iframe noembed noframes plaintext audio video canvas".split(), "break"
)
_UNREAD |= dict.fromkeys("code kbd math samp var".split(), "word")
_UNREAD |= dict.fromkeys("script style svg".split(), "empty")
_BLOCKS = frozenset(
    "address article aside blockquote details div dl fieldset figure footer form h1 h2 h3 h4 h5 h6 "
    "header hr main menu nav ol p pre section table ul".split()
)
# What ends an element whose end tag was left out, as it may be.
_ENDED_BY = {
    "p": _BLOCKS,
    "li": {"li"},
    "dt": {"dt", "dd"},
    "dd": {"dt", "dd"},
    "tr": {"tr", "tbody", "tfoot"},
    "td": {"td", "th", "tr", "tbody", "tfoot"},
    "th": {"td", "th", "tr", "tbody", "tfoot"},
}
# What is in them is text, or not for people, but no tags; of some the parser knows.
_RAW = frozenset("script style title textarea xmp iframe noembed noframes".split())
_DEEPEST = 500  # elements within one that an end tag is looked for
_NOT_TEXT = re.compile(r"(<[/!?A-Za-z][^<>]*>?)")  # the parser passes over it without a word
_SPACES = " \t\r\n\f\u00a0"
_LONG = re.compile(r"&(?=#[0-9]{8,})")  # no character has a number of so many digits
_ZEROS = re.compile(r"&#0+(?=[0-9])")
_NO_CHARACTER = re.compile(r"&#[0-9]{8,};?")
_NAMED = re.compile(r"&[A-Za-z][A-Za-z0-9]*;")
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.IGNORECASE)
_XML_ENCODING = re.compile(r"xml\s.*encoding\s*=\s*[\"']([^\"']*)", re.DOTALL)


class _Element(NamedTuple):
    """An element that is open; ``unread`` is its ``Role`` if it is not translated."""

    name: str
    unread: Role | None
    begin: int  # of the outermost that is not translated


class _Reader(HTMLParser):
    """Divides a page into parts, as ``(begin, role, shown)``; each goes on to where the next is."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self._text = text
        self._open: list[_Element] = []
        self._before = self._place = 0
        self._inside = -1  # where the part began that is not translated and goes on, or -1
        self.found: list[tuple[int, Role, str]] = [(0, "empty", "")]
        end = text.rfind(">") + 1  # the parser would look for one behind every "<" that is left
        try:
            self.feed(_LONG.sub("_", text[:end]))
            self._before, self._place = end - len(self.rawdata), 0
            self.close()
        except AssertionError as error:  # it has no other for a declaration that is none
            raise DamagedError(line_of(text, self._at), f"not HTML: {error}") from None
        self._before, self._place = end, 0
        if self.cdata_elem is None and end < len(text):
            self._add("text")

    def updatepos(self, i: int, j: int) -> int:
        """Notes where the parser is; ``super`` would count lines."""
        self._place = j
        return j

    @property
    def _at(self) -> int:
        return self._before + self._place

    def _add(self, role: Role, shown: str = "", element: _Element | None = None) -> None:
        """Begins a part here, unless it belongs to an element that is not translated."""
        if element is None and self._open:
            element = self._open[-1]
        if element is None or element.unread is None:
            self._inside = -1
        elif element.begin == self._inside:
            return
        else:
            role, self._inside = element.unread, element.begin
        self.found.append((self._at, role, shown))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        while self._open and tag in _ENDED_BY.get(self._open[-1].name, ()):
            self._open.pop()
        if tag == "meta":
            named = {name: value or "" for name, value in attrs}
            charset = _CHARSET.search(named.get("content", ""))
            check_encoding(
                named.get("charset") or (charset[1] if charset else None),
                self._text,
                self._at,
            )
        role: Role = "open" if tag in _INLINE else "break"
        if tag in _EMPTY:
            role = "line" if tag == "br" else "break" if tag in ("hr", "col") else "empty"
            self._add(role)
            return
        outer = self._open[-1] if self._open else None
        if outer is not None and outer.unread:
            element = _Element(tag, outer.unread, outer.begin)
        else:
            element = _Element(tag, _unread(tag, attrs), self._at)
        self._open.append(element)
        self._add(role, tag)
        if tag in _RAW:
            self.set_cdata_mode(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _EMPTY:
            self.handle_starttag(tag, attrs)
        else:
            self._add("empty" if tag in _INLINE else "break")

    def handle_endtag(self, tag: str) -> None:
        element = None
        for number in range(len(self._open) - 1, max(-1, len(self._open) - _DEEPEST), -1):
            if self._open[number].name == tag:
                element = self._open[number]
                del self._open[number:]
                break
            if tag in _INLINE and self._open[number].name not in _INLINE:
                break
        if tag == "br":
            self._add("line")
        else:
            self._add("close" if tag in _INLINE else "break", tag, element)

    def handle_data(self, data: str) -> None:
        self._add("text")

    def handle_comment(self, data: str) -> None:
        self._add("empty")

    def handle_decl(self, decl: str) -> None:
        self._add("break")

    def handle_pi(self, data: str) -> None:
        if declared := _XML_ENCODING.match(data):
            check_encoding(declared[1], self._text, self._at)
        self._add("empty")

    def unknown_decl(self, data: str) -> None:
        self._add("empty")


def _unread(tag: str, attrs: list[tuple[str, str | None]]) -> Role | None:
    """What an element is to the text around it, if it is not translated."""
    named = {name: value or "" for name, value in attrs}
    if tag in _UNREAD:
        return _UNREAD[tag]
    is_no = named.get("translate", "").lower() == "no"
    if is_no or "notranslate" in named.get("class", "").split():
        return "word" if tag in _INLINE else "break"
    return None


def _parts(text: str) -> Iterator[Part]:
    """A page in parts."""
    found = _Reader(text).found
    found.append((len(text), "empty", ""))
    for (begin, role, shown), (end, *_) in pairwise(found):
        raw = text[begin:end]
        if role != "text":
            yield Part(raw, role, shown)
            continue
        for number, one in enumerate(_NOT_TEXT.split(raw)):
            if number % 2:
                yield Part(one, "empty")
            else:
                yield from _text_parts(one)


def _text_parts(raw: str) -> Iterator[Part]:
    """A text, with the spaces around it apart: those that cannot be broken stay what they are."""
    begin, end = 0, len(raw)
    while raw.startswith(("&nbsp;", *_SPACES), begin):
        begin += 6 if raw[begin] == "&" else 1
    while raw.endswith(("&nbsp;", *_SPACES), begin, end):
        end -= 6 if raw[end - 1] == ";" else 1
    for one in (raw[:begin], raw[begin:end], raw[end:]):
        at = 0
        for name in _NAMED.finditer(one):
            if unescape(name[0]) == name[0]:  # there is none of the name: it stays as it is
                yield from _text(one[at : name.start()])
                yield Part(name[0], "word")
                at = name.end()
        yield from _text(one[at:])


def _text(raw: str) -> Iterator[Part]:
    """A text with what a reader reads of it."""
    if raw:
        shown = unescape(_NO_CHARACTER.sub("\ufffd", _ZEROS.sub("&#", raw)))
        yield Part(raw, "text", shown if "&" in raw else raw)


def read(text: str) -> Document:
    """Reads a page, or a part of one."""
    return Document(text, units(_parts(text), escaping(lambda one: escape(one, quote=False))))
