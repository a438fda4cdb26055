"""Constraints that look at text, whatever the split into pieces: prefixes and avoided phrases.

Texts are compared as the tokenizer normalizes them (see ``pieces.py``), so case matters unless the
tokenizer folds it.

Shapes: B sentences, N rows, T tokens so far, V vocabulary.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from seq2seq.ids import UNK
from seq2seq.search.constraints.pieces import PieceTable, is_word_character
from seq2seq.search.constraints.tokens import PartialHypotheses
from seq2seq.search.model import Floats32, Ints

_CACHED = 1024  # prefixes and phrases: sentences often share them
_CHARACTER = re.compile(rb"[^\x80-\xbf][\x80-\xbf]*")  # in UTF-8


class Prefixes:
    """Lets translations begin with given texts.

    While a part of the prefix is left, only pieces are allowed that spell what comes next of it, or
    all of it and more: so a prefix may end within a word, and the search finds the best split. One
    that ends with a space ends a word. There is no end before the prefix is complete.

    A character that no piece can spell is stood for by the unknown piece, one for as many as come
    one after the other; :func:`restore_prefix` puts the characters back. The rule comes after all
    others, and undoes them where they leave no way to go on with the prefix: then longer pieces go
    before shorter ones; with ``strict`` it undoes none. Where a sentence's prefix is empty,
    anything may come.
    """

    def __init__(
        self, prefix_B: Sequence[str], pieces: PieceTable, *, strict: bool = False
    ) -> None:
        self._strict = strict
        self._splits_B = [
            _splits(pieces, text) if (text := pieces.prefix(prefix)) else None
            for prefix in prefix_B
        ]

    def apply(self, rows: PartialHypotheses, log_probs_NV: Floats32) -> None:
        """Forbids what is not the prefix, in rows that have not completed it."""
        length = rows.tokens_NT.shape[1]
        for row, sentence in enumerate(rows.sentence_N.tolist()):
            splits = self._splits_B[sentence]
            if splits is None or length >= splits.most_pieces:
                continue
            _, at = splits.follow(rows.tokens_NT[row].tolist())
            if at >= len(splits.text):
                continue
            allowed, covered = splits.choices(at)
            kept = log_probs_NV[row, allowed]
            if not self._strict and not (kept > -np.inf).any():
                kept = np.log(covered / covered.max())
            log_probs_NV[row] = -np.inf
            log_probs_NV[row, allowed] = kept


def most_pieces(prefix: str, pieces: PieceTable) -> int:
    """How many pieces the longest split of a prefix has: length caps leave room for them."""
    text = pieces.prefix(prefix)
    return _splits(pieces, text).most_pieces if text else 0


def restore_prefix(text: str, prefix: str, tokens: Sequence[int], pieces: PieceTable) -> str:
    """Puts a prefix into a translation as the user wrote it.

    In the translation (its text as the tokenizer decodes it, and its tokens) the prefix is
    normalized, and its unknown characters are "⁇". The result always begins with the prefix; where
    a search had to give up before the prefix was complete, it is the prefix alone.
    """
    normalized = pieces.prefix(prefix)
    if not normalized:
        return prefix + text
    done, at = _splits(pieces, normalized).follow(tokens)
    beyond = at - len(normalized)
    if beyond < 0:
        return prefix
    spelled = pieces.spell(tokens[:done])
    shown = spelled[: len(spelled) - beyond].decode("utf-8", "replace")
    if not text.startswith(shown):
        shown = shown.removeprefix(" ")  # decoding drops the space that begins a text
    return prefix + text[len(shown) :]


class _Splits:
    """Every split of a text (normalized, not empty) with the fewest unknown characters."""

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
            self._fill_in(at)
        self.most_pieces = self._most[0]
        self._choices: dict[int, tuple[Ints, Floats32]] = {}

    def _fill_in(self, at: int) -> None:
        """Notes what is needed from a place on, when all places after it are known."""
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
        left, pieces = self.text[at:], self._pieces
        ways = [(piece, at + length) for piece, length in pieces.index.starts_of(left)]
        longer = pieces.index.beginning_with(left).tolist()
        ways += [(one, len(self.text)) for one in longer if pieces.spelling_V[one] != left]
        # A space that is spelled as a byte is not dropped from the beginning of a text.
        spaces = [n for n, _ in ways if pieces.is_byte_V[n] and pieces.spelling_V[n] == b" "]
        return [way for way in ways if way[0] not in spaces]

    def choices(self, at: int) -> tuple[Ints, Floats32]:
        """What may come at a place: the pieces, and the bytes of the text that each covers."""
        if at not in self._choices:
            if end := self._unknown_end[at]:
                ways = [(UNK, end)]
            else:
                least = self._unknown[at]
                ways = [way for way in self._ways(at) if self._unknown[way[1]] == least]
            self._choices[at] = (
                np.array([piece for piece, _ in ways], dtype=np.int64),
                np.array([end - at for _, end in ways], dtype=np.float32),
            )
        return self._choices[at]

    def follow(self, tokens: Sequence[int]) -> tuple[int, int]:
        """Follows tokens until the text is complete.

        It gives how many tokens that took, and the place they lead to: before the text's end if it
        is not complete, beyond it where the last piece goes on after it.
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


@lru_cache(maxsize=_CACHED)
def _splits(pieces: PieceTable, text: bytes) -> _Splits:
    return _Splits(pieces, text)


def _next_character(text: bytes, at: int) -> int:
    """Where the character that begins at a place ends; 0 if none begins there."""
    found = _CHARACTER.match(text, at)
    return found.end() if found else 0


class AvoidedPhrases:
    """Keeps phrases out of translations, as whole words and in whatever split.

    When "Hund" is avoided, "Hunde" and "Hofhund" may still come, but neither "Hund." nor
    "Hund-Katze": a word ends where no letter, digit or "_" follows. (In scripts without spaces
    between words it may end anywhere.) Any number of spaces between words counts as one.

    A piece is forbidden that completes a phrase and says more, so that it is certain where the word
    ends. One that may still become another word is allowed; in the step after it, only pieces that
    go on with the word are. (A byte piece does not count as one: it may become a letter, or not.)
    For this to be possible, it is forbidden where no piece could go on with the word, and one step
    before the length cap. So in a row that kept this rule so far, there is always something left
    that it allows: the end, or a piece that goes on with a word.
    """

    def __init__(
        self, avoided_B: Sequence[Sequence[str]], pieces: PieceTable, caps_B: Ints
    ) -> None:
        self._pieces = pieces
        self._caps_B = caps_B
        self._ends_word_V = ~pieces.continues_V | pieces.is_byte_V
        self._forbidden: dict[tuple[_Phrases, _TextEnds, bool], Ints] = {}
        self._phrases_B = [
            tuple(avoided_phrase(pieces, one) for one in sorted(set(map(pieces.phrase, avoided))))
            for avoided in avoided_B
        ]

    def apply(self, rows: PartialHypotheses, log_probs_NV: Floats32) -> None:
        """Forbids what would leave an avoided phrase in the text."""
        length = rows.tokens_NT.shape[1]
        for row, sentence in enumerate(rows.sentence_N.tolist()):
            phrases = self._phrases_B[sentence]
            if not phrases:
                continue
            text = self._pieces.spell(rows.tokens_NT[row].tolist())
            # Different texts mostly end alike: a few answers serve all rows and steps.
            key = (phrases, _text_ends(phrases, text), bool(length + 2 <= self._caps_B[sentence]))
            if key not in self._forbidden:
                self._forbidden[key] = self._find_forbidden(text, *key)
            log_probs_NV[row, self._forbidden[key]] = -np.inf

    def _find_forbidden(
        self, text: bytes, phrases: _Phrases, ends: _TextEnds, may_go_on: bool
    ) -> Ints:
        """The pieces that may not come after a text."""
        forbidden, left_open, must_go_on = _combined(phrases, ends)
        for piece in left_open - forbidden:
            longer = text + self._pieces.spelling_V[piece]
            if not may_go_on or not self._can_go_on(phrases, _text_ends(phrases, longer)):
                forbidden.add(piece)
        if must_go_on:
            forbidden.update(np.flatnonzero(self._ends_word_V).tolist())
        return np.array(sorted(forbidden), dtype=np.int64)

    def _can_go_on(self, phrases: _Phrases, ends: _TextEnds) -> bool:
        """Whether a piece could go on with the word, and end or leave open no phrase in turn."""
        forbidden, left_open, _ = _combined(phrases, ends)
        goes_on_V = ~self._ends_word_V
        goes_on_V[list(forbidden | left_open)] = False
        return bool(goes_on_V.any())


class _TextEnd(NamedTuple):
    """How a text ends, as far as it matters for what may come after it."""

    part: int  # how many bytes of the phrase it ends with, the most that there are
    within_word: bool  # whether it ends within a word; only known if it ends with no part


class _Effect(NamedTuple):
    """What pieces would do after a text."""

    forbidden: Sequence[int]  # these complete the phrase for certain
    left_open: Sequence[int]  # these complete it unless the next piece goes on with the word
    must_go_on: bool  # the text ends with the phrase: only what goes on with the word may follow


def _text_ends(phrases: _Phrases, text: bytes) -> _TextEnds:
    text = _one_space(text)
    return tuple([phrase.end_of(text) for phrase in phrases])


def _combined(phrases: _Phrases, ends: _TextEnds) -> tuple[set[int], set[int], bool]:
    """The effects of pieces on several phrases as one."""
    forbidden, left_open, must_go_on = set[int](), set[int](), False
    for phrase, end in zip(phrases, ends, strict=True):
        effect = phrase.effect(end)
        forbidden.update(effect.forbidden)
        left_open.update(effect.left_open)
        must_go_on |= effect.must_go_on
    return forbidden, left_open, must_go_on


class AvoidedPhrase:
    """Which pieces complete a (normalized) phrase, for each part that a text may end with."""

    def __init__(self, pieces: PieceTable, phrase: bytes) -> None:
        self._pieces = pieces
        self._phrase = phrase
        self._begins_word = is_word_character(phrase.decode()[0])
        self._ends_word = is_word_character(phrase.decode()[-1])
        self._holding = [n for n, one in enumerate(pieces.spelling_V) if phrase in _one_space(one)]
        self._effects: dict[_TextEnd, _Effect] = {}

    def end_of(self, text: bytes) -> _TextEnd:
        """How a text ends that does not hold the phrase yet, and has no double spaces."""
        for part in range(min(len(self._phrase), len(text)), 0, -1):
            if text.endswith(self._phrase[:part]):
                before = text[:-part]
                if not (self._begins_word and _ends_in_word(before)):
                    return _TextEnd(part, False)
        return _TextEnd(0, _ends_in_word(text))

    def effect(self, end: _TextEnd) -> _Effect:
        """What pieces would do after a text that ends so."""
        if end not in self._effects:
            self._effects[end] = self._find_effect(end)
        return self._effects[end]

    def _find_effect(self, end: _TextEnd) -> _Effect:
        part = end.part
        text = self._phrase[:part] if part else b"x" * end.within_word
        forbidden, left_open = [], []
        for piece in self._completing(part):
            certain, is_open = self.held_by(text + self._pieces.spelling_V[piece], len(text))
            if certain:
                forbidden.append(piece)
            elif is_open:
                left_open.append(piece)
        return _Effect(forbidden, left_open, part == len(self._phrase) and self._ends_word)

    def _completing(self, part: int) -> set[int]:
        """The pieces that can complete the phrase, where a text ends with a part of it."""
        completing = set(self._holding)
        for length in range(1, part + 1):
            if not self._phrase[:part].endswith(self._phrase[:length]):
                continue
            rest = self._phrase[length:]
            if not rest:
                continue
            completing.update(self._pieces.index.beginning_with(rest).tolist())
            if self._phrase[length - 1 : length] == b" ":
                completing.update(self._pieces.index.beginning_with(b" " + rest).tolist())
        return completing

    def held_by(self, text: bytes, since: int = 0) -> tuple[bool, bool]:
        """Whether a text holds the phrase for certain, and whether unless its last word goes on.

        Only phrases count that end after the first ``since`` bytes.
        """
        text = _one_space(text)
        left_open = False
        start = text.find(self._phrase)
        while start >= 0:
            end = start + len(self._phrase)
            within = self._begins_word and _ends_in_word(text[:start])
            if end > since and not within:
                after = text[end:].decode("utf-8", "replace")
                if not self._ends_word or (after and not is_word_character(after[0])):
                    return True, False
                left_open |= not after
            start = text.find(self._phrase, start + 1)
        return False, left_open


_Phrases = tuple[AvoidedPhrase, ...]
_TextEnds = tuple[_TextEnd, ...]


@lru_cache(maxsize=_CACHED)
def avoided_phrase(pieces: PieceTable, text: bytes) -> AvoidedPhrase:
    """The phrase that is spelled so (normalized), made once."""
    return AvoidedPhrase(pieces, text)


def _one_space(text: bytes) -> bytes:
    return re.sub(b"  +", b" ", text) if b"  " in text else text


def _ends_in_word(text: bytes) -> bool:
    """Whether the last character is a word character; one that is cut is none."""
    end = text[-4:].decode("utf-8", "replace")
    return bool(end) and is_word_character(end[-1])
