"""What a network reads of a line: without the spans that stay as they are, in its usual case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from seq2seq.ids import UNK
from seq2seq.recipe.text import Text
from seq2seq.text.case import as_usual, is_in_capitals
from seq2seq.text.spans import Finder, LeftOut, Span, unknown_words, without
from seq2seq.text.tokenizer import Tokenizer

_CONTROL = frozenset(map(chr, (*range(0x20), *range(0x7F, 0xA0))))  # are never taken over
_WORDS = 2**14  # whose log-probabilities are kept


@dataclass(frozen=True)
class Plain:
    """A line as the network reads it.

    Attributes:
        text: The line without its spans, in its usual case.
        row: Its tokens, without eos.
        left_out: The spans, with their places in ``text``.
        capitals: Whether the line is in capitals, as its translation shall be.
        unknown: The characters that the model cannot spell; those of ``text`` are still in it.
        written: ``text`` in the case in which it was written.
    """

    text: str
    row: list[int]
    left_out: tuple[LeftOut, ...] = ()
    capitals: bool = False
    unknown: str = ""
    written: str = ""


class PlainReader:
    """Reads lines as a recipe's ``text`` says (None: as they are).

    With ``integers`` whole numbers of two digits or more are left out, too.
    """

    def __init__(
        self, tokenizer: Tokenizer, options: Text | None, *, integers: bool = False
    ) -> None:
        self.tokenizer = tokenizer
        self._capitals = options is not None and options.capitals
        self._finder = None
        self._takes_over_unknown = False
        if options is not None:
            self._finder = Finder(options.protect.kinds, options.protect.patterns, integers)
            self._takes_over_unknown = "unknown" in options.protect.kinds
        self._score = lru_cache(_WORDS)(self._scored)

    def read(self, lines: Sequence[str]) -> list[Plain]:
        """Reads some lines."""
        spans = [self._finder.spans(line) if self._finder else [] for line in lines]
        parts = [without(*one) for one in zip(lines, spans, strict=True)]
        texts = [self.usual(text) for text, _ in parts]
        rows = self.tokenizer.encode(texts)
        found = []
        for line, own, (raw, left_out), text, row in zip(
            lines, spans, parts, texts, rows, strict=True
        ):
            loud = self._is_loud(raw, text)
            plain = Plain(text, row, tuple(left_out), loud, written=raw)
            found.append(self._with_unknown(line, own, plain) if UNK in row else plain)
        return found

    def _with_unknown(self, line: str, spans: list[Span], plain: Plain) -> Plain:
        """Reads a line again that has characters which the model cannot spell."""
        unknown = "".join(
            dict.fromkeys(c for c in plain.text if c not in _CONTROL and not self._spells(c))
        )
        if not unknown:
            return plain
        if not self._takes_over_unknown:
            return replace(plain, unknown=unknown)
        usual = [" " if character in _CONTROL else character for character in line]
        for span in spans:
            usual[span.begin : span.end] = " " * len(span.text)
        words = [
            replace(word, text=line[word.begin : word.end])
            for word in unknown_words(self.usual("".join(usual)), self._spells)
        ]
        more = sorted([*spans, *words], key=lambda span: span.begin)
        raw, left_out = without(line, more)
        text = self.usual(raw)
        (row,) = self.tokenizer.encode([text])
        return Plain(text, row, tuple(left_out), self._is_loud(raw, text), unknown, raw)

    def usual(self, text: str) -> str:
        """A text as it is usually written."""
        return as_usual(text, self._score, self._is_piece) if self._capitals else text

    def _is_loud(self, raw: str, usual: str) -> bool:
        return self._capitals and is_in_capitals(raw) and raw != usual

    def _is_piece(self, word: str) -> bool:
        return len(self.tokenizer.encode([word])[0]) == 1 and self._spells(word)

    def _scored(self, word: str) -> float:
        return self.tokenizer.score(word)

    def _spells(self, text: str) -> bool:
        return UNK not in self.tokenizer.encode([text])[0]
