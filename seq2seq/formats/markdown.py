"""Markdown (CommonMark, with tables and strikethrough): prose is translated, its marks are codes.

``markdown-it-py`` finds the blocks, and where in a line a construct begins and ends; everything is
cut out of the original text. What is written is parsed again, and escaped if it reads otherwise;
what cannot be written so that it reads as it shall stays untranslated.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, cast

from seq2seq.errors import MissingExtraError
from seq2seq.formats.document import Document, Unit
from seq2seq.formats.markup import SPACE, Part, Piece, Role, Segment, segments

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_LINE = re.compile(r"\r\n?|\n")
_FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\r?\n(?:[^\n]*\n)*?(?:\1|\.\.\.)[ \t]*(?:\r?\n|\Z)")
_TASK = re.compile(r"\[[ xX]\][ \t]")
_KEPT_TEXT = re.compile(r"(\[\^[^\[\]\s]+\]:?|&[A-Za-z][A-Za-z0-9]*;)")  # [^1], unknown entities
_SPECIAL = re.compile(r"([\\`*_\[\]<>&~|!#])")
_BLOCK = re.compile(r"(\d{0,9})([.)](?=\s|$)|[-+*](?=\s|$)|#{1,6}(?=\s|$)|[>=|]|~~~|```)")
_NEW_LINE = re.compile(r"\r?\n[ \t>]*")
_VOID = re.compile(r"<(?:br|hr|img|input|wbr)\b|<[!?]|.*/>$", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?([A-Za-z][\w-]*)")

# A page on which a text is what it is in the document, and of what it consists then.
_PAGES = {
    "paragraph": ("{}", "paragraph_open inline paragraph_close"),
    "heading": ("# {}", "heading_open inline heading_close"),
    "underlined": ("{}\n===", "heading_open inline heading_close"),
    "cell": (
        "a|\n-|\n{}|",
        "table_open thead_open tr_open th_open inline th_close tr_close thead_close "
        "tbody_open tr_open td_open inline td_close tr_close tbody_close table_close",
    ),
}
_KEPT = (
    "left without a translation, which would read as other marks than the source's: {}; translate "
    "by hand"
)

_Chunk = tuple[int, int, "list[Token]"]
"""What a rule of the parser read: from where to where, and the tokens that it made."""


def _parser() -> MarkdownIt:
    """A parser of blocks that notes where its inline rules begin and end."""
    try:
        from markdown_it import MarkdownIt
        from markdown_it.parser_inline import ParserInline
        from markdown_it.rules_inline import StateInline
    except ModuleNotFoundError:
        raise MissingExtraError("reading Markdown", "formats", "markdown-it-py") from None

    class Noting(ParserInline):
        def tokenize(self, state: StateInline) -> None:
            found: list[_Chunk] = state.__dict__.setdefault("found", [])
            rules = self.ruler.getRules("")
            while state.pos < state.posMax:
                begin, waits, size = state.pos, bool(state.pending), len(state.tokens)
                if not (
                    state.level < state.md.options["maxNesting"]
                    and any(rule(state, False) for rule in rules)
                ):
                    state.append_pending(state.src[state.pos])
                    state.pos += 1
                made = state.tokens[size:]
                # What waited as text came first, if anything else came.
                found.append((begin, state.pos, made[1:] if waits and len(made) > 1 else made))
            if state.pending:
                state.pushPending()

        def parse(self, src: str, md: MarkdownIt, env: Any, tokens: list[Token]) -> list[Token]:
            state = StateInline(src, md, env, tokens)
            self.tokenize(state)
            for rule in self.ruler2.getRules(""):
                rule(state)
            env["found"] = state.__dict__["found"]
            return state.tokens

    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    parser.core.ruler.enableOnly(["normalize", "block"])
    parser.inline.ruler2.disable("fragments_join")
    noting = Noting()
    noting.ruler, noting.ruler2 = parser.inline.ruler, parser.inline.ruler2
    parser.inline = noting
    return parser


def read(text: str) -> Document:
    """Reads a page."""
    parser = _parser()
    env: dict[str, Any] = {}
    front = _FRONT_MATTER.match(text)
    begin = front.end() if front else 0
    body = text[begin:]
    tokens = parser.parse(body, env)
    found = [
        unit
        for kind, content, places in _contents(tokens, body, begin)
        for unit in _units(parser, env, text, kind, content, places)
    ]
    found.sort(key=lambda unit: unit.begin)
    structure = _structure(tokens, env)

    def is_sound(written: str) -> bool:
        env: dict[str, Any] = {}
        return _structure(parser.parse(written[begin:], env), env) == structure

    return Document(text, found, kept=_KEPT, is_sound=is_sound)


def _structure(tokens: Sequence[Token], env: dict[str, Any]) -> bytes:
    """What the blocks of a page are, but for their texts, and what its links refer to."""
    digest = hashlib.sha256()
    for token in tokens:
        content = "" if token.type == "inline" else token.content
        one = token.type, token.tag, token.markup, token.info, token.attrs, token.hidden, content
        digest.update(repr(one).encode())
    links = env.get("references", {}).items()
    digest.update(repr([(name, one["href"], one["title"]) for name, one in links]).encode())
    return digest.digest()


class _Places:
    """Where in the document the characters of an inline content stand, which has several lines."""

    def __init__(self) -> None:
        self._lines: list[tuple[int, int, int]] = []  # where it begins, its indent, its place
        self._end = 0

    def add(self, line: str, place: int) -> None:
        """Adds a line, whose words begin at a place."""
        self._lines.append((self._end, len(line) - len(line.lstrip(SPACE)), place))
        self._end += len(line) + 1

    def __getitem__(self, at: int) -> int:
        begin, indent, place = self._lines[bisect(self._lines, at, key=lambda one: one[0]) - 1]
        return place + max(0, at - begin - indent)


def _contents(tokens: Sequence[Token], body: str, begin: int) -> Iterator[tuple[str, str, _Places]]:
    """The inline contents of a page, as one of ``_PAGES``, content, and where that stands."""
    begins = [begin, *(begin + line.end() for line in _LINE.finditer(body))]
    lines = _LINE.split(body.replace("\0", "\ufffd"))
    cells: dict[int, int] = {}  # how far the cells of a row were found
    for before, token in pairwise(tokens):
        if token.type != "inline" or not token.map:
            continue
        kind, content = "paragraph", token.content
        if before.type in ("th_open", "td_open"):
            kind, content = "cell", content.replace("|", r"\|")
        elif before.type == "heading_open":
            kind = "heading" if before.markup.startswith("#") else "underlined"
        places = _Places()
        for number, line in enumerate(content.split("\n"), start=token.map[0]):
            if kind == "cell":
                place = lines[number].find(line, cells.get(number, 0))
                cells[number] = max(place + len(line), cells.get(number, 0))
            elif kind == "heading":
                hashes = lines[number].find(before.markup) + len(before.markup)
                place = lines[number].find(line, hashes)
            else:
                place = _suffix(lines[number], line)
            if place < 0:
                break
            places.add(line, begins[number] + place)
        else:
            yield kind, content, places


def _suffix(whole: str, line: str) -> int:
    """Where a line's words begin in the line of the document that ends with them."""
    stripped, whole = line.strip(SPACE), whole.rstrip(SPACE)
    return len(whole) - len(stripped) if whole.endswith(stripped) else -1


def _units(
    parser: MarkdownIt, env: dict[str, Any], text: str, kind: str, content: str, places: _Places
) -> Iterator[Unit]:
    """What is replaced of an inline content: from its first segment to its last, as all is one."""
    task = _TASK.match(content)
    begin = task.end() if task else 0
    first = places[begin]
    parts = [
        Part(text[places[begin + low] : places[begin + high]], role, shown)
        for low, high, role, shown in _inline(parser, env, content[begin:])
    ]
    found = tuple(segments(parts, first))
    if found:
        ends = (places[0], first, places[len(content)])
        block = _Block(parser, env, text, kind, ends, found, _gaps(parts, found, first))
        shown = tuple(segment.text for segment in found)
        yield Unit(found[0].begin, found[-1].end, shown, block, stays=True)


def _gaps(
    parts: Sequence[Part], found: Sequence[Segment], begin: int
) -> tuple[Sequence[Piece], ...]:
    """What stands before the first of some segments, between them, and after the last."""
    gaps: list[list[Piece]] = [[] for _ in range(len(found) + 1)]
    number = 0
    for part in parts:
        end = begin + len(part.raw)
        while number < len(found) and found[number].end <= begin:
            number += 1
        if number == len(found) or end <= found[number].begin:
            is_code = part.role != "text"
            gaps[number].append(Piece(part.raw if is_code else part.shown, is_code))
        begin = end
    return tuple(gap or () for gap in gaps)


_Found = tuple[int, int, Role, str]


def _inline(parser: MarkdownIt, env: dict[str, Any], content: str) -> list[_Found]:
    """The parts of an inline content, as where they begin and end, role and what is shown."""
    parser.inline.parse(content, parser, env, [])
    found: list[_Found] = []
    for begin, end, tokens in env.pop("found"):
        kind = tokens[0].type if tokens else ""
        raw = content[begin:end]
        if kind == "link_open" and tokens[0].info != "auto":
            first = bisect(found, begin, key=lambda one: one[0])
            inner = found[-1][1] if first < len(found) else begin + 1
            found.insert(first, (begin, begin + 1, "open", f"link{begin}"))
            found.append((inner, end, "close", f"link{begin}"))
        elif kind in ("link_open", "image", "code_inline"):
            found.append((begin, end, "word", ""))
        elif kind == "html_inline":
            name = _TAG.match(raw)
            kind = "empty" if _VOID.match(raw) else "close" if raw[1] == "/" else "open"
            found.append((begin, end, cast(Role, kind), f"<{name[1].lower()}" if name else ""))
        elif kind == "hardbreak":
            place = begin
            while raw[0] == "\n" and content[place - 1 : place] == " ":
                place -= 1
            if found:
                first, last, role, shown = found[-1]
                found[-1] = (first, min(last, place), role, shown.rstrip(" "))
            found.append((place, end, "line", ""))
        elif kind == "softbreak":
            found.append((begin, end, "text", " "))
        elif kind == "text_special":
            found.append((begin, end, "text", tokens[0].content))
        elif kind == "":
            found.append((begin, end, "text", raw))
        else:
            found += _marks(begin, raw, tokens)
    return [part for part in _joined(found, content) if part[0] < part[1]]


def _joined(found: Sequence[_Found], content: str) -> Iterator[_Found]:
    """Parts, with texts that stand in the content as they are read in one, but for what is kept."""
    plain = end = -1  # a text goes on from where to where
    last: _Found = (-1, -1, "empty", "")
    for one in [*found, last]:
        is_plain = one[2] == "text" and one[3] == content[one[0] : one[1]]
        if is_plain and one[0] == end:
            end = one[1]
            continue
        if plain >= 0:
            for number, text in enumerate(_KEPT_TEXT.split(content[plain:end])):
                kept: Role = "word" if text.startswith("&") else "empty"
                yield plain, plain + len(text), kept if number % 2 else "text", text
                plain += len(text)
        plain, end = one[:2] if is_plain else (-1, -1)
        if not is_plain:
            yield one


def _marks(begin: int, raw: str, tokens: Sequence[Token]) -> Iterator[_Found]:
    """The parts of a run of marks, such as ``***``: those of pairs, and those that are text."""
    width = 2 if raw[0] == "~" else 1
    end = begin
    for number, token in enumerate(tokens):
        place = end
        end += 1 if number == 0 and len(raw) % width else width
        if token.type == "text" and token.content:
            yield place, end, "text", token.content
        elif token.nesting > 0:  # a double mark is a token without content, and one with the role
            yield end - len(token.markup), end, "open", token.type.removesuffix("_open")
        elif token.nesting < 0:
            name = token.type.removesuffix("_close")
            yield place, place + len(token.markup), "close", name


@dataclass(frozen=True, slots=True)
class _Block:
    """Writes an inline content with as few escapes as it needs to be read as what it is.

    ``ends`` are where the box of a task, the content behind it and what is behind all begin.
    """

    parser: MarkdownIt
    env: dict[str, Any]
    text: str
    kind: str
    ends: tuple[int, int, int]
    segments: Sequence[Segment]
    gaps: Sequence[Sequence[Piece]]

    def __call__(self, translations: Sequence[str]) -> str | None:
        task, begin, end = self.ends
        given = [one.pieces(own) for one, own in zip(self.segments, translations, strict=True)]
        wanted = list(self.gaps[0])
        for pieces, gap in zip(given, self.gaps[1:], strict=True):
            wanted += [*pieces, *gap]
        before = self.text[begin : self.segments[0].begin]
        after = self.text[self.segments[-1].end : end]
        for level in range(3):
            written = self._written(translations, given, level)
            content = _NEW_LINE.sub("\n", f"{before}{written}{after}").strip(SPACE)
            found = (
                Piece(shown, False) if role == "text" else Piece(content[low:high], True)
                for low, high, role, shown in _inline(self.parser, self.env, content)
            )
            if _signature(wanted) == _signature(found) and self._is_block(
                f"{self.text[task:begin]}{content}"
            ):
                return written
        return None

    def _written(
        self, translations: Sequence[str], given: Sequence[Sequence[Piece]], level: int
    ) -> str:
        """From the first segment to the last, with some level of escapes."""
        written, at = "", self.ends[1]
        for segment, translation, pieces in zip(self.segments, translations, given, strict=True):
            before, at = self.text[at : segment.begin], segment.end
            text = self.text[segment.begin : segment.end]
            if translation != segment.text:
                text = _escaped(pieces, level, self.kind == "cell").strip(SPACE)
                if not _NEW_LINE.sub("\n", before).strip(" ") or _NEW_LINE.search(before):
                    text = _BLOCK.sub(r"\1\\\2", text, count=1) if _BLOCK.match(text) else text
            written += text if segment is self.segments[0] else f"{before}{text}"
        return written

    def _is_block(self, content: str) -> bool:
        """Whether a content is the one block that it was, and has no part in another."""
        page, types = _PAGES[self.kind]
        tokens = self.parser.parse(page.format(content), {})
        if " ".join(token.type for token in tokens) != types:
            return False
        found = [token.content for token in tokens if token.type == "inline"][-1]
        if self.kind == "cell":
            content = content.replace(r"\|", "|")
        return found.split() == content.split()


def _escaped(pieces: Sequence[Piece], level: int, in_table: bool) -> str:
    """Pieces with characters escaped that would be read as marks: few, all, or spaced."""
    found = []
    for text, is_code in pieces:
        if is_code or (level == 0 and not in_table):
            found.append(Piece(text, is_code))
        elif level == 0:
            found.append(Piece(text.replace("|", r"\|"), False))
        else:
            found.append(Piece(_SPECIAL.sub(r"\\\1", text), False))
    return "".join(one.text for one in (_spaced(found) if level == 2 else found))


def _signature(pieces: Iterable[Piece]) -> list[list[str]]:
    """What pieces are to a reader: the words of texts and codes in turn."""
    found: list[list[str]] = [[]]
    for text, is_code in pieces:
        if is_code:
            found += [[_NEW_LINE.sub("\n", text)], []]
        else:
            found[-1].append(text)
    return ["".join(texts).split() for texts in found]


def _spaced(pieces: Sequence[Piece]) -> list[Piece]:
    """Pieces with spaces around pairs of marks rather than within, where they are always marks."""
    found = [""]
    opened: list[str] = []
    opens = False
    for text, is_code in pieces:
        if not is_code:
            found[-1] += text.lstrip() if opens else text
        elif text.strip("*_~"):
            found += [text, ""]
        elif opened[-1:] == [text]:
            found += [found.pop().rstrip() + opened.pop() + " ", ""]
        else:
            opened.append(text)
            found += [f"{found.pop().rstrip()} ", text, ""]
        opens = is_code and opened[-1:] == [text]
    return [Piece("".join(found).strip(), True)]
