"""A document: its text, and where in it stands what is translated; all else stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

_UTF8 = ("utf-8", "utf8", "us-ascii", "ascii")  # ASCII is UTF-8


class DamagedError(Exception):
    """A document that is not of its format.

    Args:
        line: The number of the line, from 1.
        reason: What is wrong with it, and how to mend it.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line


@dataclass(frozen=True)
class Unit:
    """A part of a document that is replaced.

    Attributes:
        begin: Where in the text it begins.
        end: Where it ends; nothing is replaced if that is where it begins.
        segments: What is translated of it, a line each, none empty.
        write: Makes of their translations what comes instead; None: they cannot stand there, and
            what is there stays.
    """

    begin: int
    end: int
    segments: tuple[str, ...]
    write: Callable[[Sequence[str]], str | None]


@dataclass(frozen=True)
class Document:
    """The text of a document and its units, in order; none overlap.

    ``mark`` is what stood before the text to say that it is UTF-8, or nothing.
    """

    text: str
    units: Sequence[Unit]
    mark: str = ""

    @property
    def segments(self) -> list[str]:
        """What is translated, a line each."""
        return [one for unit in self.units for one in unit.segments]

    @property
    def lines(self) -> list[int]:
        """The number of the line in which each segment's unit begins, from 1."""
        found, line, at = [], 1, 0
        for unit in self.units:
            line += self.text.count("\n", at, unit.begin)
            at = unit.begin
            found += [line] * len(unit.segments)
        return found

    def written(
        self, translations: Sequence[str], kept: Callable[[int], None] = lambda line: None
    ) -> str:
        """The document with a translation for each segment; ``kept`` is told of units that stay."""
        if len(translations) != (count := len(self.segments)):
            raise ValueError(f"{len(translations)} translations for {count} segments")
        lines = (" ".join(one.split("\n")) for one in translations)
        return "".join(self._written(lines, kept))

    def _written(self, translations: Iterator[str], kept: Callable[[int], None]) -> Iterator[str]:
        at = 0
        yield self.mark
        for unit in self.units:
            yield self.text[at : unit.begin]
            written = unit.write(list(islice(translations, len(unit.segments))))
            if written is None:
                kept(line_of(self.text, unit.begin))
            yield self.text[unit.begin : unit.end] if written is None else written
            at = unit.end
        yield self.text[at:]


def line_of(text: str, at: int) -> int:
    """The number of the line, from 1, in which a place of a text is."""
    return text.count("\n", 0, at) + 1


def line_end(text: str) -> str:
    """How the lines of a text end."""
    return "\r\n" if "\r\n" in text else "\n"


def check_encoding(name: str | None, line: int) -> None:
    """Refuses (``DamagedError``) a document that says that it is in another encoding than UTF-8."""
    if name and name.strip().lower().replace("_", "-") not in _UTF8:
        raise DamagedError(
            line,
            f"declares the encoding {name.strip()!r}, but only UTF-8 is read: convert it, as in: "
            f"iconv -f {name.strip()} -t utf-8, and declare UTF-8",
        )
