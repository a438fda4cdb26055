"""Translations that begin with given texts, whatever the split into pieces."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from seq2seq.ids import UNK
from seq2seq.search.constraints.pieces import PieceTable
from seq2seq.search.constraints.tokens import Rows
from seq2seq.search.model import Floats32, Ints
from seq2seq.search.options import Wish

_REMEMBERED = 1024  # prefixes: the translator asks for them after the search again


class Prefixes:
    """Lets translations begin with given texts.

    While a part of the prefix is left, only pieces are allowed that spell what comes next of it, or
    all of it and more: so a prefix may end within a word, and the search finds the best split. One
    that ends with a space ends a word. There is no end before the prefix is complete.

    A character that no piece can spell is stood for by the unknown piece, one for as many as come
    one after the other; :func:`restore_prefix` puts the characters back. The rule comes after all
    others, and undoes them where they leave no way to go on with the prefix: then longer pieces go
    before shorter ones.

    Args:
        wishes: One for each sentence of the batch.
        pieces: The target's pieces.
    """

    def __init__(self, wishes: Sequence[Wish], pieces: PieceTable) -> None:
        self._plans = [
            _plan(pieces, text) if (text := pieces.prefix(wish.prefix)) else None for wish in wishes
        ]

    def apply(self, rows: Rows, log_probs_NV: Floats32) -> None:
        """Forbids what is not the prefix, in rows that have not completed it.

        Args:
            rows: The hypotheses.
            log_probs_NV: Changed in place.
        """
        length = rows.tokens_NT.shape[1]
        for row, sentence in enumerate(rows.sentence_N.tolist()):
            plan = self._plans[sentence]
            if plan is None or length >= plan.most_pieces:
                continue
            _, at = plan.walk(rows.tokens_NT[row].tolist())
            if at >= len(plan.text):
                continue
            allowed, covered = plan.choices(at)
            kept = log_probs_NV[row, allowed]
            if not (kept > -np.inf).any():
                kept = np.log(covered / covered.max())
            log_probs_NV[row] = -np.inf
            log_probs_NV[row, allowed] = kept


def most_pieces(prefix: str, pieces: PieceTable) -> int:
    """How many pieces a prefix takes at most, so that length caps leave room for it.

    Args:
        prefix: The prefix.
        pieces: The target's pieces.

    Returns:
        The number of pieces of its longest split.
    """
    text = pieces.prefix(prefix)
    return _plan(pieces, text).most_pieces if text else 0


def restore_prefix(text: str, prefix: str, tokens: Sequence[int], pieces: PieceTable) -> str:
    """Puts a prefix into a translation as the user wrote it.

    In the translation it is normalized, and its unknown characters are "⁇".

    Args:
        text: The translation, as the tokenizer decodes it.
        prefix: The prefix that it was made with.
        tokens: The translation's tokens.
        pieces: The target's pieces.

    Returns:
        The translation; it always begins with the prefix. Where a search had to give up before the
        prefix was complete, it is the prefix alone.
    """
    normalized = pieces.prefix(prefix)
    if not normalized:
        return prefix + text
    done, at = _plan(pieces, normalized).walk(tokens)
    beyond = at - len(normalized)
    if beyond < 0:
        return prefix
    spelled = pieces.spell(tokens[:done])
    shown = spelled[: len(spelled) - beyond].decode("utf-8", "replace")
    if not text.startswith(shown):
        shown = shown.removeprefix(" ")  # decoding drops the space that begins a text
    return prefix + text[len(shown) :]


class _Plan:
    """Every way to spell a text with the fewest unknown characters.

    Args:
        pieces: The target's pieces.
        text: The text, normalized, not empty.
    """

    def __init__(self, pieces: PieceTable, text: bytes) -> None:
        self.text = text
        self._pieces = pieces
        size = len(text)
        # For each place, what is needed from there to the end: the unknown characters at least,
        # the pieces at most. At a place within a character there may be no way on.
        self._unknown: list[float] = [math.inf] * size + [0]
        self._most = [0] * (size + 1)
        self._unknown_end = [0] * size  # where the unknown piece leads to; 0: it is not needed
        for at in reversed(range(size)):
            self._look_on(at)
        self.most_pieces = self._most[0]
        self._choices: dict[int, tuple[Ints, Floats32]] = {}

    def _look_on(self, at: int) -> None:
        ways = self._ways(at)
        least = min((self._unknown[end] for _, end in ways), default=math.inf)
        following = _next_character(self.text, at)
        if following and 1 + self._unknown[following] < least:
            end = following
            if end < len(self.text) and self._unknown_end[end]:
                end = self._unknown_end[end]
            self._unknown[at] = 1 + self._unknown[following]
            self._unknown_end[at] = end
            self._most[at] = 1 + self._most[end]
            return
        self._unknown[at] = least
        self._most[at] = max(
            (1 + self._most[end] for _, end in ways if self._unknown[end] == least), default=0
        )

    def _ways(self, at: int) -> list[tuple[int, int]]:
        """Pieces that may come at a place, and the place that they lead to."""
        left, index = self.text[at:], self._pieces.index
        ways = [(piece, at + length) for piece, length in index.starts_of(left)]
        ways += [
            (piece, len(self.text))
            for piece in index.beginning_with(left).tolist()
            if self._pieces.spelling_V[piece] != left
        ]
        # A space that is spelled as a byte is not dropped from the beginning of a text.
        return [
            (piece, end)
            for piece, end in ways
            if not (self._pieces.is_byte_V[piece] and self._pieces.spelling_V[piece] == b" ")
        ]

    def choices(self, at: int) -> tuple[Ints, Floats32]:
        """What may come at a place: the pieces, and the bytes of the text that each covers."""
        if at not in self._choices:
            if end := self._unknown_end[at]:
                ways = [(UNK, end)]
            else:
                least = self._unknown[at]
                ways = [
                    (piece, end) for piece, end in self._ways(at) if self._unknown[end] == least
                ]
            self._choices[at] = (
                np.array([piece for piece, _ in ways], dtype=np.int64),
                np.array([end - at for _, end in ways], dtype=np.float32),
            )
        return self._choices[at]

    def walk(self, tokens: Sequence[int]) -> tuple[int, int]:
        """Follows tokens until the text is complete.

        Args:
            tokens: The tokens.

        Returns:
            How many tokens that took, and the place they lead to: before the text's end if it is
            not complete, beyond it where the last piece goes on after it.
        """
        at = 0
        for done, token in enumerate(tokens):
            if at >= len(self.text):
                return done, at
            if token == UNK and self._unknown_end[at]:
                at = self._unknown_end[at]
            else:
                at += len(self._pieces.spelling_V[token])
        return len(tokens), at


@lru_cache(maxsize=_REMEMBERED)
def _plan(pieces: PieceTable, text: bytes) -> _Plan:
    return _Plan(pieces, text)


def _next_character(text: bytes, at: int) -> int:
    """Where the character that begins at a place ends; 0 if none begins there."""
    if text[at] & 0xC0 == 0x80:
        return 0
    at += 1
    while at < len(text) and text[at] & 0xC0 == 0x80:
        at += 1
    return at
