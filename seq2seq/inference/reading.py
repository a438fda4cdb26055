"""Lines as a translator reads them: their pieces, in one part, or in several if they are long."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from seq2seq.inference.segmentation import split_line
from seq2seq.search import Wish
from seq2seq.text.tokenizer import Tokenizer

logger = logging.getLogger("seq2seq")

_NO_WISH = Wish()


@dataclass(frozen=True)
class Part:
    """What is translated at once.

    Args:
        line: The number of its line, for messages.
        row: Its pieces, without eos.
        wish: What its translation has to look like.
    """

    line: int
    row: list[int]
    wish: Wish


class Reader:
    """Reads lines.

    Args:
        tokenizer: The source's tokenizer.
        longest: The most pieces of a part.
        long: What is done with a line that has more: "split", "truncate" or "keep".
    """

    def __init__(self, tokenizer: Tokenizer, longest: int, long: str) -> None:
        self._tokenizer = tokenizer
        self._longest = longest
        self._long = long

    def read(
        self, lines: Sequence[str], wishes: Sequence[Wish] | None, first: int
    ) -> list[list[Part]]:
        """Reads some lines.

        Args:
            lines: The lines.
            wishes: What each one's translation has to look like; None: nothing is asked for.
            first: The number of the first.

        Returns:
            What is translated of each: mostly one part, none of a line without words.
        """
        rows = self._tokenizer.encode(lines)
        wished = wishes or [_NO_WISH] * len(lines)
        return [
            self._parts(number, *read)
            for number, read in enumerate(zip(lines, rows, wished, strict=True), start=first)
        ]

    def _parts(self, number: int, line: str, row: list[int], wish: Wish) -> list[Part]:
        if not line.strip():
            row = []
        if not row and not (wish.prefix or wish.forced):
            return []
        if len(row) <= self._longest or self._long == "keep":
            return [Part(number, row, wish)]
        told = f"line {number}: {len(row)} pieces, but the model takes at most {self._longest}"
        if self._long == "truncate":
            logger.warning("%s: the rest was left out", told)
            return [Part(number, row[: self._longest], wish)]
        if wish.forced:  # there is no telling in which part a phrase belongs
            logger.warning("%s: it was not split, as its translation has to hold phrases", told)
            return [Part(number, row, wish)]
        rows = self._tokenizer.encode(split_line(line, self._longest, self._count))
        first, *others = [one for one in rows if one]
        rest = replace(wish, prefix="")
        return [Part(number, first, wish), *(Part(number, one, rest) for one in others)]

    def _count(self, texts: Sequence[str]) -> list[int]:
        return [len(row) for row in self._tokenizer.encode(texts)]
