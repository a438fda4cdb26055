"""A document: its text, and where in it stands what is translated; all else stays as it is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

_UTF8 = ("utf-8", "utf8", "us-ascii", "ascii")  # ASCII is UTF-8
_LINE_ENDS = re.compile(r"[\r\n]")
_REPAIRS = 8  # units that are left out, one after the other


class DamagedError(Exception):
    """A document that is not of its format.

    Args:
        line: The number of the line, from 1.
        reason: What is wrong with it, and how to mend it.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True, slots=True)
class Unit:
    """A part of a document that is replaced.

    Attributes:
        begin: Where in the text it begins.
        end: Where it ends; nothing is replaced if that is where it begins.
        segments: What is translated of it, a line each, none empty.
        write: Makes of their translations what comes instead; None: they cannot stand there, and
            what is there stays.
        stays: Whether what is there stays if all translations are what was translated.
    """

    begin: int
    end: int
    segments: tuple[str, ...]
    write: Callable[[Sequence[str]], str | None]
    stays: bool = False


@dataclass(frozen=True)
class Document:
    """The text of a document and its units, in order; none overlap.

    Attributes:
        text: The text.
        units: What is replaced of it.
        mark: What stood before the text to say that it is UTF-8, or nothing.
        warnings: What is to be told when it was translated.
        kept: What is told of units that stay, with {} for which.
        is_sound: Whether a text that was written has what the document has but for its texts.
    """

    text: str
    units: Sequence[Unit]
    mark: str = ""
    warnings: Sequence[str] = ()
    kept: str = ""
    is_sound: Callable[[str], bool] | None = None

    @property
    def segments(self) -> list[str]:
        """What is translated, a line each."""
        return [one for unit in self.units for one in unit.segments]

    @property
    def lines(self) -> list[int]:
        """The number of the line in which each segment's unit begins, from 1."""
        numbers = self._lines()
        return [line for line, unit in zip(numbers, self.units, strict=True) for _ in unit.segments]

    def _lines(self) -> Iterator[int]:
        line, at = 1, 0
        for unit in self.units:
            line += self.text.count("\n", at, unit.begin)
            at = unit.begin
            yield line

    def written(
        self, translations: Sequence[str], kept: Callable[[int], None] = lambda line: None
    ) -> str:
        """The document with a translation for each segment; ``kept`` is told of units that stay."""
        if len(translations) != (count := sum(len(unit.segments) for unit in self.units)):
            raise ValueError(f"{len(translations)} translations for {count} segments")
        lines = (_LINE_ENDS.sub(" ", one) for one in translations)
        found = [self._replacement(unit, lines) for unit in self.units]
        written = self._joined(found)
        if self.is_sound is not None and written != self.text and not self.is_sound(written):
            written = self._repaired(found)
        for line, one in zip(self._lines(), found, strict=True):
            if one is None:
                kept(line)
        return self.mark + written

    def _replacement(self, unit: Unit, translations: Iterator[str]) -> str | None:
        given = tuple(islice(translations, len(unit.segments)))
        if unit.stays and given == unit.segments:
            return self.text[unit.begin : unit.end]
        return unit.write(given)

    def _joined(self, found: Sequence[str | None]) -> str:
        written, at = [], 0
        for unit, one in zip(self.units, found, strict=False):
            if one is not None:
                written += [self.text[at : unit.begin], one]
                at = unit.end
        return "".join([*written, self.text[at:]])

    def _repaired(self, found: list[str | None]) -> str:
        """The document without units that break it, each of which becomes None."""
        assert self.is_sound is not None
        for _ in range(_REPAIRS):
            low, high = 0, len(found)  # with the first ``low`` units it is sound, with ``high`` not
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (
                    (middle, high) if self.is_sound(self._joined(found[:middle])) else (low, middle)
                )
            found[low] = None
            if self.is_sound(written := self._joined(found)):
                return written
        found[:] = [None] * len(found)
        return self.text


def line_of(text: str, at: int) -> int:
    """The number of the line, from 1, in which a place of a text is."""
    return text.count("\n", 0, at) + 1


def line_end(text: str) -> str:
    """How the lines of a text end."""
    return "\r\n" if "\r\n" in text else "\n"


def check_encoding(name: str | None, text: str, at: int) -> None:
    """Refuses (``DamagedError``) a text that says at a place that its encoding is not UTF-8."""
    if name and name.strip().lower().replace("_", "-") not in _UTF8:
        raise DamagedError(
            line_of(text, at),
            f"declares the encoding {name.strip()!r}, but only UTF-8 is read: convert it, as in: "
            f"iconv -f {name.strip()} -t utf-8, and declare UTF-8",
        )
