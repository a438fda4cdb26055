"""Markdown (CommonMark, with tables and strikethrough): prose is translated, its marks are codes.

``markdown-it-py`` finds the blocks, and where in a line a construct begins and ends; everything is
cut out of the original text. What is written is parsed again, and escaped if it reads otherwise.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from seq2seq.errors import MissingExtraError
from seq2seq.formats.document import Document, Unit
from seq2seq.formats.markup import SPACE, Part, Piece, Role, units

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

_LINE = re.compile(r"\r\n?|\n")
_FRONT_MATTER = re.compile(r"(---|\+\+\+)[ \t]*\r?\n(?:[^\n]*\n)*?(?:\1|\.\.\.)[ \t]*(?:\r?\n|\Z)")
_TASK = re.compile(r"\[[ xX]\][ \t]")
_FOOTNOTE = re.compile(r"(\[\^[^\]\s]+\]:?)")
_SPECIAL = re.compile(r"([\\`*_\[\]<>&~|!])")
_BLOCK = re.compile(r"(\d{0,9})([.)](?=\s|$)|[-+*](?=\s|$)|#{1,6}(?=\s|$)|[>=|]|~~~|```)")
_NEW_LINE = re.compile(r"\r?\n[ \t>]*")
_VOID = re.compile(r"<(?:br|hr|img|input|wbr)\b|<[!?]|.*/>$", re.IGNORECASE | re.DOTALL)
_TAG = re.compile(r"</?([A-Za-z][\w-]*)")

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
    begins = [begin, *(begin + line.end() for line in _LINE.finditer(body))]
    lines = _LINE.split(body.replace("\0", "\ufffd"))
    found: list[Unit] = []
    cells: dict[int, int] = {}  # how far the cells of a row were found
    before = None
    for token in parser.parse(body, env):
        if token.type == "inline" and token.map and before is not None:
            in_table = before.type in ("th_open", "td_open")
            content = token.content.replace("|", r"\|") if in_table else token.content
            places: list[int] = []
            for number, line in enumerate(content.split("\n"), start=token.map[0]):
                if in_table:
                    place = lines[number].find(line, cells.get(number, 0))
                    cells[number] = max(place + len(line), cells.get(number, 0))
                elif before.markup.startswith("#"):
                    hashes = lines[number].find(before.markup) + len(before.markup)
                    place = lines[number].find(line, hashes)
                else:
                    place = _suffix(lines[number], line)
                if place < 0:
                    break
                indent = len(line) - len(line.lstrip(SPACE))
                place += begins[number]
                places += [place + max(0, n - indent) for n in range(len(line) + 1)]
            else:
                render = partial(_rendered, parser, env, in_table)
                found += units(_parts(parser, env, text, content, places), render, places[0])
        before = token
    return Document(text, sorted(found, key=lambda unit: unit.begin))


def _suffix(whole: str, line: str) -> int:
    """Where a line's words begin in the line of the document that ends with them."""
    stripped, whole = line.strip(SPACE), whole.rstrip(SPACE)
    return len(whole) - len(stripped) if whole.endswith(stripped) else -1


def _parts(
    parser: MarkdownIt, env: dict[str, Any], text: str, content: str, places: Sequence[int]
) -> list[Part]:
    """The parts of an inline content, whose characters have places in the text."""
    task = _TASK.match(content)
    begin = task.end() if task else 0
    return [
        Part(text[places[0] : places[begin]], "empty"),
        *(
            Part(text[places[begin + low] : places[begin + high]], role, shown)
            for low, high, role, shown in _inline(parser, env, content[begin:])
        ),
    ]


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
            place = len(content[:begin].rstrip(" ")) if raw[0] == "\n" else begin
            if found:
                first, last, role, shown = found[-1]
                found[-1] = (first, min(last, place), role, shown.rstrip(" "))
            found.append((place, end, "line", ""))
        elif kind == "softbreak":
            found.append((begin, end, "text", " "))
        elif kind == "text_special":
            found.append((begin, end, "text", tokens[0].content))
        elif kind == "":
            joins = found and found[-1][3] == content[found[-1][0] : begin]
            place = found.pop()[0] if joins else begin
            found.append((place, end, "text", content[place:end]))
        else:
            found += _marks(begin, raw, tokens)
    return [part for one in found for part in _without_footnotes(*one) if part[0] < part[1]]


def _without_footnotes(begin: int, end: int, role: Role, shown: str) -> Iterator[_Found]:
    """A part, or several if it is a text with marks of footnotes."""
    if role != "text" or len(shown) != end - begin:
        yield begin, end, role, shown
        return
    for number, one in enumerate(_FOOTNOTE.split(shown)):
        yield begin, begin + len(one), "empty" if number % 2 else "text", one
        begin += len(one)


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


def _rendered(
    parser: MarkdownIt, env: dict[str, Any], in_table: bool, pieces: Sequence[Piece]
) -> str:
    """Writes a translation with as few escapes as it needs to be read as what it is."""
    wanted = _signature(pieces)
    bars = [one if one.is_code else Piece(one.text.replace("|", r"\|"), False) for one in pieces]
    escaped = [
        one if one.is_code else Piece(_SPECIAL.sub(r"\\\1", one.text), False) for one in pieces
    ]
    for candidate in (bars if in_table else pieces, escaped, _spaced(escaped)):
        written = "".join(one.text for one in candidate)
        written = _BLOCK.sub(r"\1\\\2", written, count=1) if _BLOCK.match(written) else written
        content = _NEW_LINE.sub("\n", written)
        found = _inline(parser, env, content)
        if wanted == _signature(
            Piece(shown, False) if role == "text" else Piece(content[begin:end], True)
            for begin, end, role, shown in found
        ):
            break
    return written


def _signature(pieces: Iterable[Piece]) -> list[str]:
    """What pieces are to a reader: texts and codes in turn."""
    found = [""]
    for text, is_code in pieces:
        if is_code:
            found += [_NEW_LINE.sub("\n", text), ""]
        else:
            found[-1] += text
    return [" ".join(text.split()) for text in found]


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
