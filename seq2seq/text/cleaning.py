"""Rules that drop pairs from a training set, each optional, each counted.

A pair is tested in the fixed order of :data:`RULES`, and the first rule that it fails has dropped
it; repeated pairs are looked for last, among those that all other rules keep. To add a rule, add
its key to ``recipe.Cleaning`` and one function here, under ``@_rule``.

A rule may also say how to find, among many texts at once, those that it could fail. Then only the
pairs that some rule suspects are tested one by one: of a common corpus, a few in a hundred.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
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
Suspects = Callable[[Sequence[str]], Sequence[int]]


class _Rule(NamedTuple):
    """A rule with a recipe's options.

    ``suspects`` finds, in a column of texts, the places of all texts that can make a pair fail;
    None: any can. Pairs whose bytes were not UTF-8 are suspects of every rule.
    """

    fails: Fails
    suspects: Suspects | None = None


_RULES: dict[str, Callable[[recipe.Cleaning], _Rule | None]] = {}
DUPLICATES = "duplicates"
"""The last rule, which needs the whole corpus: a pair is dropped that was there before."""

# Control characters apart from the tab: they come from broken conversions, never from writing.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")


def _rule(
    make: Callable[[recipe.Cleaning], _Rule | None],
) -> Callable[[recipe.Cleaning], _Rule | None]:
    _RULES[make.__name__] = make
    return make


@_rule
def invalid_utf8(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs whose bytes were not UTF-8."""
    return _Rule(lambda pair: pair.invalid_utf8, lambda _: ()) if options.invalid_utf8 else None


@_rule
def empty(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs with nothing but white space on a side."""
    if not options.empty:
        return None

    def blank(texts: Sequence[str]) -> Sequence[int]:
        if all(texts) and not any(map(str.isspace, texts)):
            return ()
        return [n for n, text in enumerate(texts) if not text or text.isspace()]

    return _Rule(lambda pair: bool(blank((pair.source, pair.target))), blank)


@_rule
def control_characters(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs with a control character (Unicode's Cc) other than the tab."""
    if not options.control_characters:
        return None

    def with_control(texts: Sequence[str]) -> Sequence[int]:
        # isprintable is ten times as fast as the search, and true for nearly every line.
        if all(map(str.isprintable, texts)):
            return ()
        return [
            n
            for n, text in enumerate(texts)
            if not text.isprintable() and _CONTROL.search(text) is not None
        ]

    return _Rule(lambda pair: bool(with_control((pair.source, pair.target))), with_control)


@_rule
def max_length(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs with a side longer than a bound."""
    bound = options.max_length
    if bound is None:
        return None
    length = _length(options.unit)

    def too_long(texts: Sequence[str]) -> Sequence[int]:
        # Most texts have too few characters to hold so many words: no need to split them.
        if max(map(len, texts), default=0) <= bound:
            return ()
        return [n for n, text in enumerate(texts) if len(text) > bound and length(text) > bound]

    return _Rule(lambda pair: bool(too_long((pair.source, pair.target))), too_long)


@_rule
def max_ratio(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs whose longer side is more than so many times the shorter."""
    bound = options.max_ratio
    if bound is None:
        return None
    length = _length(options.unit)

    def fails(pair: RawPair) -> bool:
        source, target = length(pair.source), length(pair.target)
        return max(source, target) > bound * min(source, target)

    return _Rule(fails)


@_rule
def identical(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs whose sides are the same text, white space at the ends aside."""
    if not options.identical:
        return None
    return _Rule(lambda pair: pair.source.strip() == pair.target.strip())


@_rule
def min_letters(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs with too small a share of letters on a side: tables, numbers, markup."""
    bound = options.min_letters
    if bound is None:
        return None
    return _Rule(
        lambda pair: share_of_letters(pair.source) < bound or share_of_letters(pair.target) < bound
    )


RULES = (*_RULES, DUPLICATES)


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


def digests(sources: Iterable[str], targets: Iterable[str]) -> npt.NDArray[np.uint64]:
    """Hashes pairs, for ``Seen``.

    Args:
        sources: Their sources.
        targets: Their targets.

    Returns:
        A number a pair.
    """
    # The source's length keeps ("a b", "c") and ("a", "b c") apart.
    hashes = b"".join(
        blake2b(
            f"{len(source)} {source}{target}".encode("utf-8", "replace"), digest_size=8
        ).digest()
        for source, target in zip(sources, targets, strict=True)
    )
    return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)


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


class Rules:
    """The rules that judge a pair by itself: all but the one against repeated pairs.

    Nothing is remembered from pair to pair, so any process can apply them to any part of a corpus.

    Args:
        options: The recipe's table.
    """

    def __init__(self, options: recipe.Cleaning) -> None:
        made = {name: make(options) for name, make in _RULES.items()}
        self._rules = [(name, rule) for name, rule in made.items() if rule is not None]

    def failing(
        self, sources: Sequence[str], targets: Sequence[str], invalid: Iterable[int] = ()
    ) -> dict[int, str]:
        """Finds the pairs that are to be dropped.

        Args:
            sources: The pairs' sources.
            targets: Their targets.
            invalid: The places of pairs in which bytes that are not UTF-8 were replaced.

        Returns:
            The rule that drops a pair, by the pair's place, in the order of places.
        """
        invalid = frozenset(invalid)
        suspects: set[int] = set(invalid)
        for _, rule in self._rules:
            if rule.suspects is None:
                suspects.update(range(len(sources)))
                break
            suspects.update(rule.suspects(sources), rule.suspects(targets))
        failing = {}
        for n in sorted(suspects):
            pair = RawPair(0, sources[n], targets[n], n in invalid)
            name = next((name for name, rule in self._rules if rule.fails(pair)), None)
            if name is not None:
                failing[n] = name
        return failing


class Drops:
    """Counts what was dropped, and remembers the first line that each rule has dropped."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first_lines: dict[str, int] = {}

    def add(self, rule: str, line: int, count: int = 1) -> None:
        """Counts pairs; those of earlier lines come first.

        Args:
            rule: The rule that dropped them.
            line: The line of the first of them.
            count: How many.
        """
        self._counts[rule] = self._counts.get(rule, 0) + count
        self._first_lines.setdefault(rule, line)

    def result(self) -> tuple[Dropped, ...]:
        """Sums up.

        Returns:
            The rules that dropped something, in their order.
        """
        return tuple(
            Dropped(rule, self._counts[rule], self._first_lines[rule])
            for rule in RULES
            if rule in self._counts
        )


class Cleaner:
    """Drops pairs by a recipe's rules, and counts.

    Constant memory, apart from 8 bytes for each kept pair where ``duplicates`` is on: pairs are
    then remembered by a 64-bit hash, by which among ten million pairs the chance that any pair is
    taken for a repeated one is one in 370,000.

    Args:
        options: The recipe's table.
    """

    def __init__(self, options: recipe.Cleaning) -> None:
        self._rules = Rules(options)
        self._seen = Seen() if options.duplicates else None
        self._drops = Drops()

    def clean(self, pairs: Iterable[RawPair]) -> list[RawPair]:
        """Applies the rules to the next pairs of a corpus.

        Args:
            pairs: The pairs; some thousands at a time are fastest.

        Returns:
            Those that are kept, in their order.
        """
        pairs = list(pairs)
        sources, targets = [pair.source for pair in pairs], [pair.target for pair in pairs]
        failing = self._rules.failing(
            sources, targets, [n for n, pair in enumerate(pairs) if pair.invalid_utf8]
        )
        for n, name in failing.items():
            self._drops.add(name, pairs[n].line)
        kept = [pair for n, pair in enumerate(pairs) if n not in failing] if failing else pairs
        if self._seen is None or not kept:
            return kept
        hashes = digests([pair.source for pair in kept], [pair.target for pair in kept])
        first_times = self._seen.first_times(hashes).tolist()
        for pair, first_time in zip(kept, first_times, strict=True):
            if not first_time:
                self._drops.add(DUPLICATES, pair.line)
        return [pair for pair, first_time in zip(kept, first_times, strict=True) if first_time]

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        """What was dropped so far: the rules that dropped something, in their order."""
        return self._drops.result()
