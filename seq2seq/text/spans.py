"""Spans that a translation takes over letter for letter: addresses, placeholders, tags, emoji.

They are left out of what the network reads, so that any model can translate the rest as if they
were not there, and are put into its translation again (``seq2seq/inference/placement.py``).
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, groupby

KINDS = ("url", "email", "placeholder", "tag", "number", "emoji")
"""What is found without patterns of the user's own, in the order in which it is looked for."""

_NAME = r"[A-Za-z_][\w.-]*"
_PLACEHOLDER = "|".join(
    (
        r"\{\{[^{}\n]{1,80}\}\}",  # {{ price }}
        r"\{%[^{}%\n]{1,80}%\}",  # {% if price %}
        r"\{[#.][A-Za-z][\w-]*\}",  # {#heading}
        rf"(?<![\w%])%%{_NAME}%%(?![\w%])",  # %%NAME%%
        r"(?<!%)(?:%%)+",  # a program's format has it for a per cent sign
        rf"[$#%]\{{(?:{_NAME}|\d+)\}}",  # ${x} #{x}
        r"%\([\w.-]{1,80}\)[-#0 +]{0,5}\d{0,4}(?:\.\d{1,4})?[a-zA-Z]",  # %(count)d
        rf"\{{(?:{_NAME}|\d+)?(?:![rsa])?(?::[^{{}}\n]{{0,20}})?\}}",  # {} {0} {x:.2f}
        r"%(?:\d{1,2}\$)?[-#0+]{0,5}\d{0,4}(?:\.\d{1,4})?(?:hh|ll|[hlLqjzt])?"
        r"[diouxXeEfFgGcrsaA@](?![A-Za-z])",
        r"(?<![\w%])%\d{1,2}(?![\w%]|[.,]\d)",  # %1
        rf"(?<!\w)%{_NAME}%(?!\w)",  # %NAME%
        r"(?<!\w)__[A-Za-z][A-Za-z0-9]*(?:_[A-Za-z0-9]+)*__(?!\w)",  # __NAME__
        rf"(?<![\w$])\$(?:{_NAME}|\d+\$\w)(?<![.-])",  # $HOME
    )
)
_UNITS = (
    r"°[CF]?|(?:%%)+|(?:[%‰€£¥₹₽₩₺]|\$)(?![\w({\d])|(?:km/h|m/s|mph|kWh|[kMGTµmcdn](?:m[²³]?|g|l|L|s|W|V|A|Hz|Pa|J|B|bit)|"
    r"[KMGT]i?B|m[²³]?|g|l|W|V|Hz|min|px|pt|dB|EUR|USD|GBP|CHF|JPY)(?![\w&'’])"
)
_DIGITS = r"\d+(?:[.,'’ \u00a0\u202f]\d{3}(?!\d)){0,8}(?:[.,]\d+)?"
_NUMBER = "|".join(
    (
        r"(?<![\w.,:/-])\d{1,2}:\d{2}(?::\d{2})?(?![\w:])",  # 10:45
        r"(?<![\w.,:/-])\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
        r"(?:Z|[+-]\d\d:?\d\d)?(?![\w:])",  # 2024-01-31T10:45:00Z
        r"(?<![\w.,:/-])\d{1,4}(?P<mark>[./-])\d{1,2}(?P=mark)\d{1,4}(?![\w/-]|\.\d)",  # 2024-01-31
        rf"(?<![\w.,])[€$£¥₹₽₩₺][ \u00a0]?{_DIGITS}(?!\w)",  # $5.20
        rf"(?<![\w.,])[-+±−]?{_DIGITS}[ \u00a0\u202f]?(?:{_UNITS})",  # 3,14 €
        r"(?<![\w.])v?\d+(?:\.\d+){2,}(?::\d{1,5}|/\d{1,2})?(?!\w)",  # 1.2.3 127.0.0.1:8080
        rf"(?<![\w.,])[-+±−]?(?=\d+[.,'’]\d){_DIGITS}(?![\w]|[.,]\d)",  # 1,234.5
    )
)
_JOINS = r"A-Za-zÀ-ɏͰ-ӿ_\d:/\-"  # letters with which digits would be something else
_INTEGER = rf"(?<![{_JOINS}.,])\d{{2,}}(?![{_JOINS}]|[.,]\d)"
# Pictures, their skins and joiners, flags, keys such as 1️⃣, dingbats such as ✓.
_EMOJI = (
    r"(?:[\U0001F1E6-\U0001F1FF]{2}|[0-9#*]\ufe0f?\u20e3|\u2122\ufe0f|"
    r"[\u203c\u2049\u2139\u2194-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff"
    r"\u3030\u303d\u3297\u3299\U0001F000-\U0001FAFF]"
    r"[\ufe0e\ufe0f\u20e3\U0001F3FB-\U0001F3FF\U000E0020-\U000E007F]*"
    r"(?:\u200d[\u2190-\u2bff\U0001F000-\U0001FAFF][\ufe0e\ufe0f\U0001F3FB-\U0001F3FF]*)*)+"
)
_NO_URL = r"\s<>\"“”«»…，。！？：；、）】」』"
_PATTERNS = {
    "url": (
        r"(?i:(?:https?|ftps?|file|ssh|git)://|www\.(?=\w)|mailto:)"
        rf"(?:\([^{_NO_URL}()]*\)|[^{_NO_URL}()])*"
        rf"(?:\([^{_NO_URL}()]*\)|[^{_NO_URL}().,;:!?'’\]}}])"
    ),
    "email": r"(?<![A-Za-z0-9_.+-])[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+",
    "placeholder": _PLACEHOLDER,
    "tag": (
        r"</?[A-Za-z][\w:.-]*"
        r"(?:\s+[\w:.@-]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s\"'<>=]+))?)*\s*/?>"
    ),
    "number": _NUMBER,
    "emoji": _EMOJI,
}
# A line without has no span.
_SURE = re.compile(r"[\d%{}$<@]|://|[wW][wW][wW]\.|[mM][aA][iI][lL][tT][oO]:|__|[^\x00-\u203b]")
_JOINED = 200  # characters, at most, on a side
_INLINE = frozenset(
    "a abbr b bdi bdo big cite code dfn del em font i ins kbd mark nobr q s samp small span strike "
    "strong sub sup tt u var wbr g x bx ex bpt ept ph it mrk pc sc ec".split()
)
_CODE = re.compile(r"x\d+")  # what documents' inline markup stands for
_TAG_NAME = re.compile(r"<(/?)([A-Za-z][\w:.-]*)")
CLOSING_MARKS = frozenset(".,;:!?…)]}»”’。、，！？：；")
"""They stand right behind what they close, without a space."""
# "{name}.txt" and "/home/{user}" are one span; a full stop behind it is not.
_JOINED_BEFORE = re.compile(r"(?<![\w./\\-])[\w./\\-]*[._/\\-]$")
_JOINED_AFTER = re.compile(r"(?:[._/\\-]\w+|:\d\w*)+")


@dataclass(frozen=True)
class Span:
    """A part of a text that is taken over as it is.

    Attributes:
        begin: Its first character's place in the text.
        text: The characters.
        kind: One of ``KINDS``, "own" (a user's pattern), "unknown" (the model cannot spell it) or
            "integer".
    """

    begin: int
    text: str
    kind: str

    @property
    def end(self) -> int:
        """The place behind it."""
        return self.begin + len(self.text)

    @property
    def is_inline(self) -> bool:
        """Whether it is a tag that may stand within a word."""
        name = self.tag[1].lower()
        return name in _INLINE or _CODE.fullmatch(name) is not None

    @property
    def tag(self) -> tuple[str, str]:
        """Of a tag "open", "close" or "empty", and its name; otherwise "" and ""."""
        found = _TAG_NAME.match(self.text) if self.kind == "tag" else None
        if found is None:
            return "", ""
        role = "close" if found[1] else "empty" if self.text.endswith("/>") else "open"
        return role, found[2]


@dataclass(frozen=True)
class LeftOut:
    """A span that was left out of a text.

    Attributes:
        span: The span, with its place in the whole text.
        at: Where it belongs in the text without spans.
        before: What stood in front of it: " " for white space or nothing, or the character.
        after: What stood behind it.
    """

    span: Span
    at: int
    before: str
    after: str


@dataclass(frozen=True)
class Finder:
    """Finds spans: those of some ``kinds``, and of regular expressions of a user's own."""

    kinds: Sequence[str] = KINDS
    patterns: Sequence[str] = ()
    integers: bool = False  # of two digits and more, too

    @cached_property
    def _own(self) -> list[re.Pattern[str]]:
        return [re.compile(one) for one in self.patterns]

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        parts = [f"(?P<{kind}>{_PATTERNS[kind]})" for kind in KINDS if kind in self.kinds]
        parts += [f"(?P<integer>{_INTEGER})"] * self.integers
        # The codes of documents are always kept: without them none could be put together again.
        return re.compile("|".join([*parts, rf"(?P<code></?{_CODE.pattern}/?>)"]))

    def spans(self, text: str) -> list[Span]:
        """The spans of a text, in order; none overlap.

        One of an own pattern goes before others that it overlaps, but for one that it is a part of,
        and the codes of documents.
        """
        found = self._usual(text) if _SURE.search(text) else []
        if not self._own:
            return found
        own = _apart(self._own_matches(text), found, len(text))
        taken = _taken(own, len(text))
        found = [span for span in found if taken.find(1, span.begin, span.end) < 0]
        return sorted([*own, *found], key=lambda span: span.begin)

    def _usual(self, text: str) -> list[Span]:
        """Those of the kinds; what begins within one with something joined to it belongs to it."""
        found: list[Span] = []
        end = 0
        for match in self._pattern.finditer(text):
            if match.end() <= end:
                continue
            kind = "tag" if match.lastgroup == "code" else str(match.lastgroup)
            span = Span(match.start(), match[0], kind)
            if kind == "placeholder":
                span = _grown(span, text, end)
            if span.begin < end:
                before = found.pop()
                span = Span(before.begin, text[before.begin : span.end], before.kind)
            found.append(span)
            end = span.end
        return found

    def _own_matches(self, text: str) -> list[Span]:
        matches = chain.from_iterable(pattern.finditer(text) for pattern in self._own)
        return [Span(match.start(), match[0], "own") for match in matches if match[0]]


def _apart(own: Sequence[Span], others: Sequence[Span], length: int) -> list[Span]:
    """The longest spans of own patterns that neither overlap nor are parts of the others."""
    begins = [span.begin for span in others]
    codes = [span for span in others if _CODE.fullmatch(span.tag[1])]
    taken, kept = _taken(codes, length), []
    for span in sorted(own, key=lambda span: -len(span.text)):
        around = bisect(begins, span.begin) - 1
        is_part = around >= 0 and others[around].end >= span.end
        is_whole = is_part and len(others[around].text) == len(span.text)
        if taken.find(1, span.begin, span.end) < 0 and (is_whole or not is_part):
            taken[span.begin : span.end] = b"\1" * len(span.text)
            kept.append(span)
    return kept


def _taken(spans: Sequence[Span], length: int) -> bytearray:
    """A byte for each character of a text: 1 within a span."""
    taken = bytearray(length)
    for span in spans:
        taken[span.begin : span.end] = b"\1" * len(span.text)
    return taken


def _grown(span: Span, text: str, begin: int) -> Span:
    """A placeholder with what is joined to it, from ``begin`` on."""
    before = _JOINED_BEFORE.search(text[max(begin, span.begin - _JOINED) : span.begin])
    after = _JOINED_AFTER.match(text[span.end : span.end + _JOINED])
    return Span(
        span.begin - len(before[0] if before else ""),
        f"{before[0] if before else ''}{span.text}{after[0] if after else ''}",
        span.kind,
    )


def lost_integers(text: str, translation: str) -> bool:
    """Whether a whole number of two digits or more is missing in a translation."""
    wanted = re.findall(_INTEGER, text)
    there = Counter(_digits(translation)) if wanted else Counter[str]()
    return any(there[one] < count for one, count in Counter(map(_plain_digits, wanted)).items())


def _digits(text: str) -> list[str]:
    return [_plain_digits(one) for one in re.findall(r"\d+", text)]


def _plain_digits(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def unknown_words(text: str, spells: Callable[[str], bool]) -> list[Span]:
    r"""Finds the words with characters that a model cannot spell.

    Punctuation around a word does not belong to it, and is found alone where it cannot be spelled;
    symbols such as those of ``C++``, ``#tag`` and ``\n`` are part of their words.
    """
    found: list[Span] = []
    for match in re.finditer(r"\S+", text):
        if spells(match[0]):
            continue
        begin, end = _word_with_symbols(match[0])
        if spells(match[0][begin:end]):
            begin = end = 0
        if end:
            found.append(Span(match.start() + begin, match[0][begin:end], "unknown"))
        for offset, part in ((0, match[0][:begin]), (end, match[0][end:])):
            place = match.start() + offset
            for is_known, run in groupby(part, spells):
                letters = "".join(run)
                if not is_known:
                    found.append(Span(place, letters, "unknown"))
                place += len(letters)
    return sorted(found, key=lambda one: one.begin)


def _word_with_symbols(text: str) -> tuple[int, int]:
    """Where the word in a text without spaces begins and ends, its symbols included."""
    inner = re.search(r"\w(?:.*\w)?", text)
    begin, end = inner.span() if inner else (0, 0)
    while end and begin and _is_symbol(text[begin - 1]):
        begin -= 1
    while 0 < end < len(text) and _is_symbol(text[end]):
        end += 1
    return begin, end


def _is_symbol(character: str) -> bool:
    if character in "<>|~=":  # stand between words rather than in them
        return False
    return character in "\\#@" or unicodedata.category(character).startswith("S")


def without(text: str, spans: Sequence[Span]) -> tuple[str, list[LeftOut]]:
    """Leaves spans out of a text, which reads as if they had never been in it.

    The space in front of one that a closing mark follows goes, too. Between letters a tag such as
    ``<b>`` leaves nothing, and another span a space.
    """
    if not spans:
        return text, []
    plain = text[: spans[0].begin]
    left_out: list[LeftOut] = []
    for span, following in zip(spans, [*(one.begin for one in spans[1:]), len(text)], strict=True):
        after = text[span.end : following]
        if not span.is_inline and plain[-1:].isalnum() and after[:1].isalnum():
            plain += " "
        elif after[:1] in CLOSING_MARKS:
            plain = plain.rstrip()
        before = text[span.begin - 1 : span.begin]
        left_out.append(
            LeftOut(span, len(plain), _edge(before), _edge(text[span.end : span.end + 1]))
        )
        plain += after
    for number in range(len(left_out) - 1, -1, -1):  # what was kept may have become shorter
        limit = left_out[number + 1].at if number + 1 < len(left_out) else len(plain)
        left_out[number] = replace(left_out[number], at=min(left_out[number].at, limit))
    return plain, left_out


def _edge(character: str) -> str:
    return " " if not character or character.isspace() else character
