"""gettext's PO: entries without a translation get one; those that have one, also a fuzzy one, stay.

A message of several lines is a segment a line. A translation in which placeholders such as ``%s``
were lost, or have an order that no program could tell from another, is repaired or left out, which
is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from gettext import c2py

from seq2seq.formats.document import DamagedError, Document, Unit, check_encoding, line_end
from seq2seq.formats.markup import Part, escaping, tagged, units

_LINE = re.compile(
    r"\s*(?:(msgctxt|msgid_plural|msgid|msgstr)(?:\[(\d{1,9})\])?)?\s*\"((?:[^\"\\]|\\.)*)\"\s*"
)
_BYTES = r"\\(?:[0-7]{1,3}|x[0-9A-Fa-f]{1,2})"
_ESCAPED = re.compile(rf"((?:{_BYTES})+)|\\(.)")
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPES = str.maketrans(
    {letter: f"\\{name}" for name, letter in _LETTERS.items()} | {'"': '\\"', "\\": "\\\\"}
)
_CONTROL = re.compile(r"((?<!\s)\s*[\n\t\r\a\b\f\v]\s*)")
_DIRECTIVE = re.compile(
    r"%(?:%|(?:\d{1,2}\$|\([\w.-]{1,80}\))?[-#0 +']{0,5}(?:\d{1,4}|\*)?(?:\.(?:\d{1,4}|\*))?"
    r"(?:hh|ll|[hlLqjzt])?[diouxXeEfFgGaAcrsSCpn@])"
)
_FORMATTED = re.compile(r"(?<!no-)\b(?:c|objc|python|php|java-printf|perl|ruby|lua|awk|sh)-format")
_CHARSET = re.compile(r"charset=([^\s\\;]+)", re.IGNORECASE)
_PLURAL = re.compile(r"nplurals\s*=\s*(\d{1,9})\s*;\s*plural\s*=\s*([^;\n]{1,1000})")
_MOST_FORMS = 10
_KEPT = (
    "left without a translation, since placeholders such as %s were lost or doubled: {}; translate "
    "by hand what a program is to show"
)


@dataclass
class _Field:
    """A message: where it stands, and what it says."""

    begin: int
    end: int = 0
    raw: list[str] = field(default_factory=list)  # a line each, without quotes

    @property
    def text(self) -> str:
        return _ESCAPED.sub(_unescaped, "".join(self.raw))


def _unescaped(found: re.Match[str]) -> str:
    octets, letter = found.groups()
    if letter:
        return _LETTERS.get(letter, letter)
    numbers = octets.split("\\")[1:]
    values = [int(one[1:], 16) if one[0] == "x" else int(one, 8) & 0xFF for one in numbers]
    return bytes(values).decode("utf-8", "replace")


@dataclass
class _Entry:
    """What belongs together: comments, and messages by their keywords."""

    flags: list[str] = field(default_factory=list)
    fields: dict[str, _Field] = field(default_factory=dict)


def _entries(text: str) -> Iterator[_Entry]:
    entry, current, begin = _Entry(), None, 0
    for number, line in enumerate(text.split("\n"), start=1):
        found, stripped = _LINE.fullmatch(line), line.strip()
        if stripped.startswith("#") or (found and found[1] in ("msgctxt", "msgid")):
            if any(key.startswith("msgstr") for key in entry.fields):
                yield entry
                entry = _Entry()
            entry.flags += [stripped] if stripped.startswith("#,") else []
            current = None
        if found:
            key = found[1] and found[1] + (f"[{int(found[2])}]" if found[2] else "")
            if not (_may_follow(key, next(reversed(entry.fields), "")) if key else current):
                raise DamagedError(number, f"not PO: {key or 'a text'} cannot stand here")
            if key:
                current = entry.fields[key] = _Field(begin)
            assert current is not None
            current.raw.append(found[3])
            current.end = begin + len(line.rstrip())
        elif stripped and not stripped.startswith("#"):
            raise DamagedError(
                number, 'not PO: expected a comment, or msgid, msgstr and the like with "..." each'
            )
        begin += len(line) + 1
    if entry.fields and not any(key.startswith("msgstr") for key in entry.fields):
        raise DamagedError(number, "not PO: the last entry has no msgstr: is the file cut off?")
    if entry.fields:
        yield entry


def _may_follow(key: str, last: str) -> bool:
    if key == "msgctxt":
        return not last
    if key == "msgid":
        return last in ("", "msgctxt")
    if key in ("msgid_plural", "msgstr"):
        return last == "msgid"
    return last == "msgid_plural" if key == "msgstr[0]" else last == f"msgstr[{int(key[7:-1]) - 1}]"


def read(text: str) -> Document:
    """Reads a catalogue, or a template of one."""
    found: list[Unit] = []
    forms: list[str] = []  # of the first header that says so
    end = line_end(text)
    for entry in _entries(text):
        message = entry.fields["msgid"].text
        strings = [one for key, one in entry.fields.items() if key.startswith("msgstr")]
        if not message:
            header = strings[0].text
            charset = _CHARSET.search(header)
            if charset and charset[1] != "CHARSET":
                check_encoding(charset[1], text, strings[0].begin)
            forms = forms or _forms(header)
        elif not any(one.text for one in strings) and not any(
            "fuzzy" in one for one in entry.flags
        ):
            found.append(_unit(entry, strings, forms or ["one", "several"], end))
    return Document(text, found, kept=_KEPT)


def _forms(header: str) -> list[str]:
    """Of each form of a header: it is for "one", for that and more ("shared"), or "several"."""
    plural = _PLURAL.search(header)
    if plural is None or not 1 <= int(plural[1]) <= _MOST_FORMS:
        return []
    try:
        form_of = c2py(plural[2].strip())
        forms = [form_of(number) for number in range(1000)]
    except (ValueError, ArithmeticError):
        return []
    if not set(forms) <= set(range(int(plural[1]))):
        return []
    one = "one" if forms.count(forms[1]) == 1 else "shared" if int(plural[1]) > 1 else "several"
    return [one if number == forms[1] else "several" for number in range(int(plural[1]))]


def _unit(entry: _Entry, strings: Sequence[_Field], forms: Sequence[str], end: str) -> Unit:
    """What is written for an entry without a translation."""
    ordered = bool(_FORMATTED.search(" ".join(entry.flags)))
    messages = [_Message(entry.fields["msgid"], ordered)]
    keys = {"msgstr": 0}
    if "msgid_plural" in entry.fields:
        messages.append(_Message(entry.fields["msgid_plural"], ordered))
        # "One file" is wrong for 21, where that has the form of 1; "%d file" is not.
        first, second = (_DIRECTIVE.findall(one.document.text) for one in messages)
        of_one = ("one", "shared") if first == second else ("one",)
        forms = [*forms, *["several"] * (len(strings) - len(forms))]
        keys = {f"msgstr[{n}]": int(form not in of_one) for n, form in enumerate(forms)}
    count = len(messages[0].document.segments)

    def write(translations: Sequence[str]) -> str | None:
        given = translations[:count], translations[count:]
        strings = [one.written(own, end) for one, own in zip(messages, given, strict=False)]
        if not all(strings):
            return None
        return end.join(f"{key} {strings[number]}" for key, number in keys.items())

    segments = (segment for one in messages for segment in one.document.segments)
    return Unit(strings[0].begin, strings[-1].end, tuple(segments), write)


class _Message:
    """A message to translate; ``is_format`` if a program reads its placeholders in their order."""

    def __init__(self, source: _Field, is_format: bool) -> None:
        self._source = source
        self._is_format = is_format
        parts: list[Part] = []
        for number, one in enumerate(_CONTROL.split(source.text)):
            parts += [Part(one, "break")] if number % 2 else tagged(one)
        self.document = Document(source.text, units(parts, escaping(str)))

    def written(self, translations: Sequence[str], end: str) -> str | None:
        """The translation in quotes; None: its placeholders are not those of the source."""
        text, source = self.document.written(translations), self._source.text
        if text == source:
            return end.join(f'"{line}"' for line in self._source.raw)
        if self._is_format:
            wanted, found = (_DIRECTIVE.findall(one) for one in (source, text))
            if sorted(wanted) != sorted(found):
                return None
            left = iter(wanted)
            text = _DIRECTIVE.sub(lambda _: next(left), text)
        lines = [line.translate(_ESCAPES) for line in re.findall(r"[^\n]*\n|[^\n]+", text)]
        return end.join(f'"{line}"' for line in (lines if len(lines) == 1 else ["", *lines]))
