"""How far a hypothesis is with the phrases that it has to hold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seq2seq.search.constraints.pieces import PieceTable, is_word_character
from seq2seq.search.model import Ints

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
        self._tokens = {token for phrase in self._phrases for token in phrase}
        self._falls = [_falls(phrase) for phrase in self._phrases]
        # What comes beside a phrase matters where it is a word that may go on.
        self._ends_in_word = [self._is_within_word(phrase[-1]) for phrase in self._phrases]
        self._goes_on = [bool(pieces.continues_V[phrase[0]]) for phrase in self._phrases]
        # Most hypotheses are at the same few places.
        self._missing: dict[Places, int] = {}
        self._beside_of: dict[tuple[Places, bool], Places] = {}
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
        if token not in self._tokens:
            return self._beside(places, bool(self._pieces.continues_V[token]))
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
        return not self.missing(places)

    def _open(self, places: Places) -> list[int]:
        return [
            number
            for number, place in enumerate(places)
            if place not in (_HELD, len(self._phrases[number]))
        ]

    def _ways(self, places: Places) -> list[tuple[int, int, int]]:
        """How to go on with open phrases: the pieces needed then, the phrase, and from where.

        A way may go on with the word that a complete phrase ends with ("Hunde", then the rest of
        "Hundehütte"), which is then needed again; or leave that alone, and begin once more.
        """
        is_open = self._open(places)
        needed = sum(len(self._phrases[number]) for number in is_open)
        ways = []
        for number in is_open:
            for place in {places[number], 0}:
                lost = self._lost(places, self._phrases[number][place])
                ways.append((needed - place + lost, number, place))
        return ways

    def _lost(self, places: Places, token: int) -> int:
        """The pieces of complete phrases that a token breaks."""
        return sum(
            len(self._phrases[number])
            for number, place in enumerate(places)
            if place == len(self._phrases[number]) and self._breaks(number, token)
        )

    def missing(self, places: Places) -> int:
        """How many pieces are needed at most to hold every phrase.

        Args:
            places: Where the hypothesis is.

        Returns:
            The number.
        """
        if places not in self._missing:
            ways = self._ways(places)
            self._missing[places] = min((needed for needed, _, _ in ways), default=0)
        return self._missing[places]

    def is_begun(self, places: Places) -> bool:
        """Whether the hypothesis ends with a part of a phrase.

        Args:
            places: Where it is.

        Returns:
            True if a phrase is begun and not complete.
        """
        return bool(self.going_on(places))

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
        key = places, goes_on
        if key not in self._beside_of:
            self._beside_of[key] = tuple(
                _HELD
                if place == _HELD
                or (place == len(self._phrases[n]) and not (goes_on and self._ends_in_word[n]))
                else 0
                for n, place in enumerate(places)
            )
        return self._beside_of[key]

    def count(self, places: Places) -> int:
        """How many pieces are met: what the beam is dealt out by.

        Args:
            places: Where the hypothesis is.

        Returns:
            The number, ``total`` if all are.
        """
        return self.total - self.missing(places)

    def going_on(self, places: Places) -> list[int]:
        """What goes on with the phrases begun, so that the fewest pieces are needed then.

        Args:
            places: Where the hypothesis is.

        Returns:
            The tokens, each once; none if no phrase is begun.
        """
        ways = self._ways(places)
        least = min(ways, default=(0, 0, 0))[0]
        return sorted({self._phrases[n][at] for needed, n, at in ways if at and needed == least})

    def wanted(self, places: Places, last: int | None) -> list[int]:
        """What goes on with any open phrase, or begins it.

        Args:
            places: Where the hypothesis is.
            last: Its last token; None: it has none.

        Returns:
            The tokens, each once.
        """
        begin = [way for way in self._ways(places) if way[2] or self._may_begin(way[1], last)]
        best: dict[int, tuple[int, int, int]] = {}
        for way in sorted(begin):
            best.setdefault(way[1], way)
        return sorted({self._phrases[number][place] for _, number, place in best.values()})


def _falls(phrase: tuple[int, ...]) -> list[int]:
    """For each number of pieces matched, the next smaller one that these end with as well."""
    falls = [0, 0]
    for token in phrase[1:]:
        place = falls[-1]
        while place and phrase[place] != token:
            place = falls[place]
        falls.append(place + 1 if phrase[place] == token else 0)
    return falls
