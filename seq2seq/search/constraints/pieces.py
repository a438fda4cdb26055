"""What pieces stand for in a text: constraints are about text, searches about pieces.

Spellings are bytes, as a piece may be one byte of a character. Texts that are compared with them
are normalized first as the tokenizer does it: by default to NFKC, with single spaces (nmt_nfkc).
So "ﬁn" is "fin" and two spaces are one; upper and lower case differ, unless the tokenizer itself
makes no difference.

Shapes: V vocabulary.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import UNK
from seq2seq.search.model import Bools, Ints
from seq2seq.text.sampling import SPACE
from seq2seq.text.tokenizer import Tokenizer

_BYTE = re.compile(r"<0x([0-9A-F]{2})>")

# Scripts without spaces: Thai, Lao, Burmese, Khmer, Japanese and Chinese. There is no telling where
# a word ends, so it may end anywhere.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)


def is_word_character(character: str) -> bool:
    """Whether two of these beside each other are of one word.

    They are letters, digits, marks that combine with them, and "_", but not the characters of
    scripts that put no spaces between words.
    """
    if _UNSPACED.match(character):
        return False
    return character == "_" or unicodedata.category(character)[0] in "LNM"


class PieceIndex:
    """Finds pieces by their spelling; those with none are never found."""

    def __init__(self, spellings: Sequence[bytes]) -> None:
        found = sorted((spelling, piece) for piece, spelling in enumerate(spellings) if spelling)
        self._spellings = [spelling for spelling, _ in found]
        self._pieces = np.array([piece for _, piece in found], dtype=np.int64)
        self._by_spelling: dict[bytes, list[int]] = {}
        for spelling, piece in found:
            self._by_spelling.setdefault(spelling, []).append(piece)
        self._longest = max(map(len, self._spellings), default=0)

    def spelled(self, text: bytes) -> Sequence[int]:
        """Pieces that stand for a text, no less and no more; mostly there is one or none."""
        return self._by_spelling.get(text, ())

    def beginning_with(self, text: bytes) -> Ints:
        """Pieces that stand for a text and maybe more, in the order of their spellings."""
        start = bisect_left(self._spellings, text)
        end = bisect_right(self._spellings, text, lo=start, key=lambda one: one[: len(text)])
        return self._pieces[start:end]

    def starts_of(self, text: bytes) -> list[tuple[int, int]]:
        """Pieces that a text begins with, and the number of bytes of each, shorter ones first."""
        return [
            (piece, length)
            for length in range(1, min(self._longest, len(text)) + 1)
            for piece in self.spelled(text[:length])
        ]


@dataclass(frozen=True, eq=False)
class PieceTable:
    """The target's pieces as text.

    A piece's spelling is the bytes that it stands for: a space for "▁", one byte for a byte piece,
    none for control pieces, " ⁇ " for the unknown piece. It continues a word that it comes after if
    it begins with a word character. A byte piece above 127 is part of one, for all that is known,
    and counts as one; the unknown piece does not.
    """

    tokenizer: Tokenizer
    spelling_V: tuple[bytes, ...]
    is_byte_V: Bools  # whether the piece is one byte of a character (byte fallback)
    continues_V: Bools
    index: PieceIndex  # by spelling; the unknown piece and control pieces have none there

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> PieceTable:
        """Makes the table; for thousands of pieces it takes some hundredths of a second."""
        names = tokenizer.vocabulary
        # What a piece is shown as tells its kind: a control piece as nothing, a byte not by name.
        shown = tokenizer.decode([[piece] for piece in range(tokenizer.size)])
        is_byte = [
            bool(_BYTE.fullmatch(name)) and text != name
            for name, text in zip(names, shown, strict=True)
        ]
        spelling = [
            bytes([int(name[3:5], 16)]) if byte else _spelling(name, text)
            for name, text, byte in zip(names, shown, is_byte, strict=True)
        ]
        spelling[UNK] = shown[UNK].encode()
        return cls(
            tokenizer=tokenizer,
            spelling_V=tuple(spelling),
            is_byte_V=np.array(is_byte),
            continues_V=np.array([_continues(one) for one in spelling]),
            index=PieceIndex([b"" if n == UNK else one for n, one in enumerate(spelling)]),
        )

    @property
    def size(self) -> int:
        """How many pieces there are (V)."""
        return len(self.spelling_V)

    def spell(self, tokens: Sequence[int]) -> bytes:
        """The text of tokens, with the space that begins it."""
        return b"".join([self.spelling_V[token] for token in tokens])

    def prefix(self, text: str) -> bytes:
        """What the spelling of a translation begins with if the translation begins with a text.

        That is the text normalized, with the space before it that the tokenizer puts there, and
        with a space behind it if the text ends with one. Empty if there is nothing but spaces.
        """
        normalized = self._normalized(text)
        # Spaces at the end are lost; what comes after a letter tells whether there was one.
        if normalized and self._normalized(text + "x") == normalized + " x":
            normalized += " "
        return normalized.encode()

    def phrase(self, text: str) -> bytes:
        """How a phrase is spelled within a translation; one of nothing but spaces is refused."""
        phrase = self._normalized(text).strip(" ")
        if not phrase:
            raise Seq2SeqError(
                f"the phrase {text!r} is empty (the tokenizer normalizes it to nothing); "
                "a phrase needs a character that is not a space"
            )
        return phrase.encode()

    def _normalized(self, text: str) -> str:
        normalized = self.tokenizer.normalize(text)
        if self.tokenizer.normalize("x").endswith(SPACE):  # spaces end words instead
            normalized = normalized.removesuffix(SPACE)
        return normalized.replace(SPACE, " ")


def _spelling(name: str, shown: str) -> bytes:
    is_control = not shown and name.strip(SPACE)
    return b"" if is_control else name.replace(SPACE, " ").encode()


def _continues(spelling: bytes) -> bool:
    try:
        text = spelling.decode()
    except UnicodeDecodeError:
        return True
    return bool(text) and is_word_character(text[0])
