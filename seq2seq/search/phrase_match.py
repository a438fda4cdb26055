"""How far a hypothesis is with the phrases that it has to hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seq2seq.search.pieces import PieceTable, is_word_character
from seq2seq.search.protocol import Ints

# For each phrase, how many of its pieces the hypothesis ends with; _HELD: it holds the phrase.
Places = tuple[int, ...]
_HELD = -1


class Goal:
    """The phrases that one translation has to hold.

    Args:
        phrases: Their pieces; each has at least one.
        pieces: The target's pieces.
    """

    def __init__(self, phrases: Sequence[Sequence[int]], pieces: PieceTable) -> None:
        self._phrases = sorted({tuple(phrase) for phrase in phrases})
        self._pieces = pieces
        self._tokens = sorted({token for phrase in self._phrases for token in phrase})
        self._falls = [_falls(phrase) for phrase in self._phrases]
        # What comes beside a phrase matters where it is a word that may go on.
        self._ends_in_word = [self._is_within_word(phrase[-1]) for phrase in self._phrases]
        self._goes_on = [bool(pieces.continues_V[phrase[0]]) for phrase in self._phrases]
        self.start: Places = (0,) * len(self._phrases)
        self.total = sum(map(len, self._phrases))

    def _is_within_word(self, token: int) -> bool:
        text = self._pieces.spelling_V[token].decode("utf-8", "replace")
        return bool(text) and is_word_character(text[-1])

    def step(self, places: Places, last: int | None, token: int) -> Places:
        """Goes on by a token.

        Args:
            places: Where the hypothesis is.
            last: Its last token; None: it has none.
            token: The token that it goes on with.

        Returns:
            Where it is then.
        """
        return tuple(self._step(number, place, last, token) for number, place in enumerate(places))

    def _step(self, number: int, place: int, last: int | None, token: int) -> int:
        phrase, falls = self._phrases[number], self._falls[number]
        if place == _HELD or (place == len(phrase) and not self._breaks(number, token)):
            return _HELD
        while place and (place == len(phrase) or phrase[place] != token):
            place = falls[place]
        if phrase[place] != token or (place == 0 and not self._may_begin(number, last)):
            return 0
        return place + 1

    def _breaks(self, number: int, token: int) -> bool:
        """Whether a token goes on with the last word of a phrase."""
        return self._ends_in_word[number] and bool(self._pieces.continues_V[token])

    def _may_begin(self, number: int, last: int | None) -> bool:
        """Whether a phrase that does not begin with a space would begin a word after a token."""
        return not self._goes_on[number] or last is None or not self._is_within_word(last)

    def is_met(self, places: Places) -> bool:
        """Whether the translation may end.

        Args:
            places: Where it is.

        Returns:
            True if it holds every phrase.
        """
        return not self._open(places)

    def _open(self, places: Places) -> list[int]:
        return [
            number
            for number, place in enumerate(places)
            if place not in (_HELD, len(self._phrases[number]))
        ]

    def is_begun(self, places: Places) -> bool:
        """Whether the hypothesis ends with a part of a phrase.

        Args:
            places: Where it is.

        Returns:
            True if a phrase is begun and not complete.
        """
        return self._most_begun(places) > 0

    def _most_begun(self, places: Places) -> int:
        """The most pieces of an open phrase that can be gone on with."""
        return max((places[n] for n in self._open(places) if self._can_go_on(places, n)), default=0)

    def _can_go_on(self, places: Places, number: int) -> bool:
        """Whether a phrase's next piece leaves alone those that are complete."""
        return self._keeps(places, self._phrases[number][places[number]])

    def _keeps(self, places: Places, token: int) -> bool:
        return not any(
            place == len(self._phrases[n]) and self._breaks(n, token)
            for n, place in enumerate(places)
        )

    def missing(self, places: Places) -> int:
        """How many pieces are needed at most to hold every phrase.

        Args:
            places: Where the hypothesis is.

        Returns:
            The number.
        """
        total = sum(len(self._phrases[number]) for number in self._open(places))
        return total - self._most_begun(places)

    def at_risk(self, places: Places) -> int:
        """How many pieces may be needed after one more token: phrases begun may be left.

        Args:
            places: Where the hypothesis is.

        Returns:
            The pieces of all phrases that are not held for good.
        """
        return sum(
            len(self._phrases[number]) for number, place in enumerate(places) if place != _HELD
        )

    def missing_after(self, places: Places, last: int | None) -> Ints:
        """How many pieces are needed at most after each token.

        Args:
            places: Where the hypothesis is.
            last: Its last token; None: it has none.

        Returns:
            The numbers (V); that of eos has no meaning.
        """
        continues_V = self._pieces.continues_V
        # Tokens that are in no phrase differ only in whether they go on with a word.
        within, beside = (self.missing(self._beside(places, goes_on)) for goes_on in (True, False))
        missing_V = np.where(continues_V, within, beside)
        for token in self._tokens:
            missing_V[token] = self.missing(self.step(places, last, token))
        return missing_V

    def _beside(self, places: Places, goes_on: bool) -> Places:
        """Goes on by a token that is in no phrase."""
        return tuple(
            _HELD
            if place == _HELD
            or (place == len(self._phrases[n]) and not (goes_on and self._ends_in_word[n]))
            else 0
            for n, place in enumerate(places)
        )

    def count(self, places: Places) -> int:
        """How many pieces are met: what the beam is dealt out by.

        Args:
            places: Where the hypothesis is.

        Returns:
            The number, ``total`` if all are.
        """
        return self.total - self.missing(places)

    def wanted(self, places: Places, last: int | None) -> list[int]:
        """What goes on with any open phrase, or begins it.

        Args:
            places: Where the hypothesis is.
            last: Its last token; None: it has none.

        Returns:
            The tokens, each once; none that would break a phrase that is complete.
        """
        return self._next(places, last, self._open(places))

    def going_on(self, places: Places, last: int | None) -> list[int]:
        """What goes on with the phrases that are nearest to complete.

        Args:
            places: Where the hypothesis is.
            last: Its last token; None: it has none.

        Returns:
            The tokens, each once; none if no phrase is begun.
        """
        most = self._most_begun(places)
        nearest = [n for n in self._open(places) if 0 < places[n] == most]
        return self._next(places, last, nearest)

    def _next(self, places: Places, last: int | None, numbers: Sequence[int]) -> list[int]:
        tokens = set()
        for number in numbers:
            place = places[number] if self._can_go_on(places, number) else 0
            if place or self._may_begin(number, last):
                tokens.add(self._phrases[number][place])
        return sorted(token for token in tokens if self._keeps(places, token))


def _falls(phrase: tuple[int, ...]) -> list[int]:
    """For each number of pieces matched, the next smaller one that these end with as well."""
    falls = [0, 0]
    for token in phrase[1:]:
        place = falls[-1]
        while place and phrase[place] != token:
            place = falls[place]
        falls.append(place + 1 if phrase[place] == token else 0)
    return falls
