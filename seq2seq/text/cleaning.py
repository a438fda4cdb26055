"""Rules that drop pairs from a training set, each optional, each counted.

A pair is tested in the fixed order of :data:`RULES`, and the first rule that it fails has dropped
it; repeated pairs are looked for last, among those that all other rules keep. To add a rule, add
its key to ``recipe.Cleaning`` and one function here, under ``@_rule``.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seq2seq import recipe


class RawPair(NamedTuple):
    """A pair as it was read.

    ``line`` counts from 1, in lines (or rows) of the input; ``invalid_utf8`` says that bytes which
    are not UTF-8 were replaced in it.
    """

    line: int
    source: str
    target: str
    invalid_utf8: bool = False


@dataclass(frozen=True)
class Dropped:
    """How many pairs a rule dropped, and the line of the first of them."""

    rule: str
    count: int
    first_line: int


Fails = Callable[[RawPair], bool]

_RULES: dict[str, Callable[[recipe.Cleaning], Fails | None]] = {}
_DUPLICATES = "duplicates"

# Control characters apart from the tab: they come from broken conversions, never from writing.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def _rule(
    make: Callable[[recipe.Cleaning], Fails | None],
) -> Callable[[recipe.Cleaning], Fails | None]:
    _RULES[make.__name__] = make
    return make


@_rule
def invalid_utf8(options: recipe.Cleaning) -> Fails | None:
    """Drops pairs whose bytes were not UTF-8."""
    return (lambda pair: pair.invalid_utf8) if options.invalid_utf8 else None


@_rule
def empty(options: recipe.Cleaning) -> Fails | None:
    """Drops pairs with nothing but white space on a side."""
    if not options.empty:
        return None
    return lambda pair: (
        not pair.source or not pair.target or pair.source.isspace() or pair.target.isspace()
    )


@_rule
def control_characters(options: recipe.Cleaning) -> Fails | None:
    """Drops pairs with a control character (Unicode's Cc) other than the tab."""
    if not options.control_characters:
        return None

    def fails(pair: RawPair) -> bool:
        # isprintable is ten times as fast as the search, and true for nearly every line.
        return not (
            (pair.source.isprintable() or _CONTROL.search(pair.source) is None)
            and (pair.target.isprintable() or _CONTROL.search(pair.target) is None)
        )

    return fails


@_rule
def max_length(options: recipe.Cleaning) -> Fails | None:
    """Drops pairs with a side longer than a bound."""
    bound = options.max_length
    if bound is None:
        return None
    length = _length(options.unit)

    def too_long(text: str) -> bool:
        # Most texts have too few characters to hold so many words: no need to split them.
        return len(text) > bound and length(text) > bound

    return lambda pair: too_long(pair.source) or too_long(pair.target)


@_rule
def max_ratio(options: recipe.Cleaning) -> Fails | None:
    """Drops pairs whose longer side is more than so many times the shorter."""
    bound = options.max_ratio
    if bound is None:
        return None
    length = _length(options.unit)

    def fails(pair: RawPair) -> bool:
        source, target = length(pair.source), length(pair.target)
        return max(source, target) > bound * min(source, target)

    return fails


@_rule
def identical(options: recipe.Cleaning) -> Fails | None:
    """Drops pairs whose sides are the same text, white space at the ends aside."""
    if not options.identical:
        return None
    return lambda pair: pair.source.strip() == pair.target.strip()


@_rule
def min_letters(options: recipe.Cleaning) -> Fails | None:
    """Drops pairs with too small a share of letters on a side: tables, numbers, markup."""
    bound = options.min_letters
    if bound is None:
        return None
    return lambda pair: (
        share_of_letters(pair.source) < bound or (share_of_letters(pair.target) < bound)
    )


RULES = (*_RULES, _DUPLICATES)


def _length(unit: str) -> Callable[[str], int]:
    return len if unit == "characters" else lambda text: len(text.split())


def share_of_letters(text: str) -> float:
    """Counts letters among the characters of a text that are not white space.

    Marks (accents that stand alone, the vowel signs of Indic scripts) count as letters.

    Args:
        text: The text.

    Returns:
        From 0.0 to 1.0; 1.0 for a text without characters, which other rules judge.
    """
    characters = "".join(text.split())
    if not characters:
        return 1.0
    if characters.isalpha():
        return 1.0
    letters = sum(unicodedata.category(character)[0] in "LM" for character in characters)
    return letters / len(characters)


class Seen:
    """A growing set of 64-bit numbers, in 8 bytes each.

    Sorted runs, each at least twice as long as the next: a batch of n numbers costs a binary
    search in log2(all / n) runs, and merging moves each number as often. The largest merge needs
    as much again for a moment.
    """

    def __init__(self) -> None:
        self._runs: list[npt.NDArray[np.uint64]] = []

    def first_times(self, numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Adds numbers to the set.

        Args:
            numbers: The numbers, in their order.

        Returns:
            For each, whether it was new: neither in the set nor earlier in ``numbers``.
        """
        unique, first = np.unique(numbers, return_index=True)
        new = np.ones(unique.shape, dtype=np.bool_)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, unique), run.size - 1)
            new &= run[place] != unique
        fresh = np.zeros(numbers.shape, dtype=np.bool_)
        fresh[first[new]] = True
        self._add(unique[new])
        return fresh

    def _add(self, run: npt.NDArray[np.uint64]) -> None:
        if run.size:
            self._runs.append(run)
        while len(self._runs) > 1 and self._runs[-2].size < 2 * self._runs[-1].size:
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort(kind="stable")  # numpy's merges sorted runs in one pass
            self._runs.append(merged)

    def __len__(self) -> int:
        return sum(run.size for run in self._runs)


class Cleaner:
    """Drops pairs by a recipe's rules, and counts.

    Constant memory, apart from 8 bytes for each kept pair where ``duplicates`` is on: pairs are
    then remembered by a 64-bit hash, by which among ten million pairs the chance that any pair is
    taken for a repeated one is one in 370,000.

    Args:
        options: The recipe's table.
    """

    def __init__(self, options: recipe.Cleaning) -> None:
        made = {name: make(options) for name, make in _RULES.items()}
        self._rules = [(name, fails) for name, fails in made.items() if fails is not None]
        self._seen = Seen() if options.duplicates else None
        self._counts: dict[str, int] = {}
        self._first_lines: dict[str, int] = {}

    def clean(self, pairs: Iterable[RawPair]) -> list[RawPair]:
        """Applies the rules to the next pairs of a corpus.

        Args:
            pairs: The pairs; some thousands at a time are fastest.

        Returns:
            Those that are kept, in their order.
        """
        kept = []
        rules = self._rules
        for pair in pairs:
            for name, fails in rules:
                if fails(pair):
                    self._drop(name, pair)
                    break
            else:
                kept.append(pair)
        return kept if self._seen is None or not kept else self._without_repeats(kept, self._seen)

    def _without_repeats(self, pairs: Sequence[RawPair], seen: Seen) -> list[RawPair]:
        digests = b"".join(_digest(pair) for pair in pairs)
        first_times = seen.first_times(np.frombuffer(digests, dtype="<u8").astype(np.uint64))
        kept = []
        for pair, first_time in zip(pairs, first_times.tolist(), strict=True):
            if first_time:
                kept.append(pair)
            else:
                self._drop(_DUPLICATES, pair)
        return kept

    def _drop(self, rule: str, pair: RawPair) -> None:
        self._counts[rule] = self._counts.get(rule, 0) + 1
        self._first_lines.setdefault(rule, pair.line)

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """What was dropped so far: the rules that dropped something, in their order."""
        return tuple(
            Dropped(rule, self._counts[rule], self._first_lines[rule])
            for rule in RULES
            if rule in self._counts
        )


def _digest(pair: RawPair) -> bytes:
    # The source's length keeps ("a b", "c") and ("a", "b c") apart.
    text = f"{len(pair.source)} {pair.source}{pair.target}"
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
