"""Phrases kept out of translations, whatever the split into pieces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from seq2seq.search.constraints.pieces import PieceTable, is_word_character
from seq2seq.search.constraints.tokens import Rows
from seq2seq.search.model import Floats32, Ints
from seq2seq.search.options import Wish

_REMEMBERED = 1024  # phrases: sentences often share them


class Avoided:
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

    Args:
        wishes: One for each sentence of the batch.
        pieces: The target's pieces.
        caps_B: The most tokens of each translation (B,).
    """

    def __init__(self, wishes: Sequence[Wish], pieces: PieceTable, caps_B: Ints) -> None:
        self._pieces = pieces
        self._caps_B = caps_B
        self._ends_word_V = ~pieces.continues_V | pieces.is_byte_V
        self._known: dict[tuple[tuple[Phrase, ...], tuple[Place, ...], bool], Ints] = {}
        self._phrases = [
            tuple(find_phrase(pieces, one) for one in sorted(set(map(pieces.phrase, wish.avoided))))
            for wish in wishes
        ]

    def apply(self, rows: Rows, log_probs_NV: Floats32) -> None:
        """Forbids what would leave an avoided phrase in the text.

        Args:
            rows: The hypotheses.
            log_probs_NV: Changed in place.
        """
        length = rows.tokens_NT.shape[1]
        for row, sentence in enumerate(rows.sentence_N.tolist()):
            phrases = self._phrases[sentence]
            if not phrases:
                continue
            text = self._pieces.spell(rows.tokens_NT[row].tolist())
            # Different texts mostly come to the same: a few answers serve all rows and steps.
            key = (phrases, _places(phrases, text), bool(length + 2 <= self._caps_B[sentence]))
            if key not in self._known:
                self._known[key] = self._forbidden(text, *key)
            log_probs_NV[row, self._known[key]] = -np.inf

    def _forbidden(
        self, text: bytes, phrases: tuple[Phrase, ...], places: tuple[Place, ...], may_go_on: bool
    ) -> Ints:
        """The pieces that may not come after a text."""
        forbidden, left_open, must_go_on = _together(phrases, places)
        for piece in left_open - forbidden:
            longer = text + self._pieces.spelling_V[piece]
            if not may_go_on or not self._can_go_on(phrases, _places(phrases, longer)):
                forbidden.add(piece)
        if must_go_on:
            forbidden.update(np.flatnonzero(self._ends_word_V).tolist())
        return np.array(sorted(forbidden), dtype=np.int64)

    def _can_go_on(self, phrases: tuple[Phrase, ...], places: tuple[Place, ...]) -> bool:
        """Whether a piece could go on with the word, and end or leave open no phrase in turn."""
        forbidden, left_open, _ = _together(phrases, places)
        goes_on_V = ~self._ends_word_V
        goes_on_V[list(forbidden | left_open)] = False
        return bool(goes_on_V.any())


def _places(phrases: Sequence[Phrase], text: bytes) -> tuple[Place, ...]:
    text = _one_space(text)
    return tuple([phrase.place(text) for phrase in phrases])


def _together(
    phrases: Sequence[Phrase], places: Sequence[Place]
) -> tuple[set[int], set[int], bool]:
    """The verdicts of several phrases as one."""
    forbidden, left_open, must_go_on = set[int](), set[int](), False
    for phrase, place in zip(phrases, places, strict=True):
        verdict = phrase.verdict(place)
        forbidden.update(verdict.forbidden)
        left_open.update(verdict.left_open)
        must_go_on |= verdict.must_go_on
    return forbidden, left_open, must_go_on


class Place(NamedTuple):
    """All that matters of a text for what may come after it.

    Attributes:
        part: How many bytes of a phrase it ends with, the most that there are.
        within_word: Whether it ends within a word; only told if it ends with no part.
    """

    part: int
    within_word: bool


@dataclass(frozen=True)
class Verdict:
    """What pieces would do after a text.

    Args:
        forbidden: Pieces that complete the phrase for certain.
        left_open: Pieces that complete it unless the next piece goes on with the word.
        must_go_on: The text ends with the phrase: only what goes on with the word may follow.
    """

    forbidden: Sequence[int]
    left_open: Sequence[int]
    must_go_on: bool


class Phrase:
    """Which pieces complete a phrase, for every part of it that a text may end with.

    Args:
        pieces: The target's pieces.
        phrase: The phrase, normalized.
    """

    def __init__(self, pieces: PieceTable, phrase: bytes) -> None:
        self._pieces = pieces
        self._phrase = phrase
        self._begins_word = is_word_character(phrase.decode()[0])
        self._ends_word = is_word_character(phrase.decode()[-1])
        self._holding = [n for n, one in enumerate(pieces.spelling_V) if phrase in _one_space(one)]
        self._known: dict[Place, Verdict] = {}

    def place(self, text: bytes) -> Place:
        """Looks how a text ends.

        Args:
            text: A text that does not hold the phrase yet, and has no double spaces.

        Returns:
            What matters of it.
        """
        for part in range(min(len(self._phrase), len(text)), 0, -1):
            if text.endswith(self._phrase[:part]):
                before = text[:-part]
                if not (self._begins_word and _ends_in_word(before)):
                    return Place(part, False)
        return Place(0, _ends_in_word(text))

    def verdict(self, place: Place) -> Verdict:
        """Judges the pieces.

        Args:
            place: What matters of the text that they come after.

        Returns:
            The verdict.
        """
        if place not in self._known:
            self._known[place] = self._judge(place)
        return self._known[place]

    def _judge(self, place: Place) -> Verdict:
        part = place.part
        text = self._phrase[:part] if part else b"x" * place.within_word
        forbidden, left_open = [], []
        for piece in self._candidates(part):
            certain, is_open = self.held_by(text + self._pieces.spelling_V[piece], len(text))
            if certain:
                forbidden.append(piece)
            elif is_open:
                left_open.append(piece)
        return Verdict(forbidden, left_open, part == len(self._phrase) and self._ends_word)

    def _candidates(self, part: int) -> set[int]:
        """The pieces that can complete the phrase, where a text ends with a part of it."""
        candidates = set(self._holding)
        for length in range(1, part + 1):
            if not self._phrase[:part].endswith(self._phrase[:length]):
                continue
            rest = self._phrase[length:]
            if not rest:
                continue
            candidates.update(self._pieces.index.beginning_with(rest).tolist())
            if self._phrase[length - 1 : length] == b" ":
                candidates.update(self._pieces.index.beginning_with(b" " + rest).tolist())
        return candidates

    def held_by(self, text: bytes, since: int = 0) -> tuple[bool, bool]:
        """Whether a text holds the phrase.

        Args:
            text: The text.
            since: Only phrases count that end after this many bytes.

        Returns:
            Whether it does for certain, and whether it does unless its last word goes on.
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


@lru_cache(maxsize=_REMEMBERED)
def find_phrase(pieces: PieceTable, text: bytes) -> Phrase:
    """The phrase that is spelled so; made once, as sentences often share them.

    Args:
        pieces: The target's pieces.
        text: The phrase, normalized.

    Returns:
        The phrase.
    """
    return Phrase(pieces, text)


def _one_space(text: bytes) -> bytes:
    return re.sub(b"  +", b" ", text) if b"  " in text else text


def _ends_in_word(text: bytes) -> bool:
    """Whether the last character is a word character; one that is cut is none."""
    end = text[-4:].decode("utf-8", "replace")
    return bool(end) and is_word_character(end[-1])
