"""Lines in capitals, in small letters, and Words Like These: read as if written as usual.

A model has hardly seen capitals and splits them into letters. How a word is usually written is
asked of the tokenizer: its pieces have the probabilities of the training text, so the form of the
highest is taken. The translation of a line in capitals is put into capitals again.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_LEAST = 2.5  # how much likelier (log-probability) another form must be in a line that has both
_LETTERS = 4  # of a line with fewer than these nobody can tell
_FIRST = 15.0  # less likely than this, the first word's capital is one that no text has had
_QUIET = 3  # words, all in small letters, from which on it is a sentence without its capital
_TITLE = 4  # words, all with a capital, from which on it is a headline
_ITEM = re.compile(r"\d[.):]\s*$")  # the number of a list's item, which a sentence follows
_SHARP = {"ß": "ẞ"}  # capitals of one letter where Python has two

Score = Callable[[str], float]
"""The log-probability of a word by the tokenizer."""


def is_in_capitals(text: str) -> bool:
    """Whether all letters of a text are capitals, and enough of them to tell."""
    capitals = sum(map(str.isupper, text))
    return capitals >= _LETTERS and not any(map(str.islower, text))


def capitals(text: str) -> str:
    """The text in capitals, letter for letter: none becomes two."""
    return "".join(map(_capital, text))


def title(text: str) -> str:
    """The text with a capital at the beginning of each word."""
    return _WORD.sub(lambda match: _capital(match[0][0]) + match[0][1:], text)


def as_usual(text: str, score: Score, is_piece: Callable[[str], bool]) -> str:
    """The text with words in capitals, a headline, or a line all in small letters as usual.

    In a line with words of both sorts, one in capitals stays as it is if it ``is_piece`` of the
    tokenizer's (it is an acronym then), or no other form of it is. No letter becomes two, so that
    all stands where it stood.
    """
    words = _WORD.findall(text)
    loud = is_in_capitals(text)
    headline = not loud and len(words) >= _TITLE and all(word[0].isupper() for word in words)
    quiet = len(words) >= _QUIET and text.islower()
    if not (loud or headline or quiet or any(len(word) > 1 and word.isupper() for word in words)):
        return text
    begin = next((match.start() for match in _WORD.finditer(text)), 0)
    if any(map(str.isalnum, text[:begin])) and not _ITEM.search(text[:begin]):
        begin = -1  # a number is the first word, which has no capital

    def usual(match: re.Match[str]) -> str:
        word, is_first = match[0], match.start() == begin
        if not (loud or headline or quiet) and (len(word) == 1 or not word.isupper()):
            return word
        capitalized = _capital(word[0]) + word[1:].lower()
        forms = [capitalized] if is_first or quiet else [word.lower(), capitalized]
        best = max(forms, key=score)
        if len(best) != len(word):  # a letter without a single small one
            return word
        if not (loud or headline or quiet) and (is_piece(word) or not is_piece(best)):
            return word
        least = -_FIRST if quiet and is_first else 0.0 if loud or headline else _LEAST
        return best if score(best) >= score(word) + least else word

    return _WORD.sub(usual, text)


def _capital(letter: str) -> str:
    upper = _SHARP.get(letter, letter.upper())
    return upper if len(upper) == 1 else letter
