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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from seq2seq import recipe

Places = npt.NDArray[np.intp]


class Texts:
    """A column of texts, their UTF-8 joined: number n is ``data[bounds[n]:bounds[n + 1]]``."""

    def __init__(self, data: npt.NDArray[np.uint8], bounds: npt.NDArray[np.int32]) -> None:
        self.data = data
        self.bounds = bounds

    @classmethod
    def of(cls, texts: Sequence[bytes]) -> Texts:
        """Makes a column of texts in UTF-8."""
        bounds = np.zeros(len(texts) + 1, dtype=np.int32)
        np.cumsum(np.fromiter(map(len, texts), np.int32, len(texts)), out=bounds[1:])
        return cls(np.frombuffer(b"".join(texts), dtype=np.uint8), bounds)

    def __len__(self) -> int:
        return len(self.bounds) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """The bytes of each text."""
        return np.diff(self.bounds)

    def some(self, places: Places) -> list[str]:
        """Decodes the texts at some places."""
        begins, ends = self.bounds[places].tolist(), self.bounds[places + 1].tolist()
        return [
            self.data[begin:end].tobytes().decode("utf-8", "surrogatepass")
            for begin, end in zip(begins, ends, strict=True)
        ]

    def with_bytes(self, at: Places) -> Places:
        """Finds the places of the texts that some bytes belong to."""
        return np.searchsorted(self.bounds, at, "right") - 1


class RawPair(NamedTuple):
    """A pair as it was read.

    ``line`` counts from 1, in lines (or rows) of the input; ``invalid_utf8`` says that bytes which
    are not UTF-8 were replaced in it. ``misread``, if anything, is why its line holds no pair.
    """

    line: int
    source: str
    target: str
    invalid_utf8: bool = False
    misread: str = ""


@dataclass(frozen=True)
class Dropped:
    """How many pairs a rule dropped, and the line of the first of them."""

    rule: str
    count: int
    first_line: int


Fails = Callable[[RawPair], bool]
Suspects = Callable[[Texts], Places]


class _Rule(NamedTuple):
    """A rule with a recipe's options.

    ``suspects`` finds, in a column of texts, the places of all texts that can make a pair fail;
    None: any can. Pairs whose bytes were not UTF-8 are suspects of every rule.
    """

    fails: Fails
    suspects: Suspects | None = None


_Make = Callable[["recipe.Cleaning"], _Rule | None]
_RULES: dict[str, _Make] = {}
HEADER, COLUMNS = "header", "columns"
"""Lines that hold no pair: the names of a table's columns, and other than its number of columns."""
INVALID = "invalid_utf8"
DUPLICATES = "duplicates"
"""The last rule, which needs the whole corpus: a pair is dropped that was there before."""

# Control characters apart from the tab: they come from broken conversions, never from writing.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")

_NONE = np.zeros(0, dtype=np.intp)
_ALL_READ: Mapping[int, str] = MappingProxyType({})
# The bytes that white space can begin with: by them few texts are taken for blank ones wrongly.
_MAY_BEGIN_SPACE = np.isin(
    np.arange(256), [*range(0x09, 0x0E), *range(0x1C, 0x21), 0xC2, 0xE1, 0xE2, 0xE3]
)


def _rule(make: _Make) -> _Make:
    _RULES[make.__name__] = make
    return make


def _either(is_bad: Callable[[str], bool], suspects: Suspects | None = None) -> _Rule:
    """A rule that a pair fails if either of its texts is bad."""
    return _Rule(lambda pair: is_bad(pair.source) or is_bad(pair.target), suspects)


@_rule
def invalid_utf8(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs whose bytes were not UTF-8."""
    return _Rule(lambda pair: pair.invalid_utf8, lambda _: _NONE) if options.invalid_utf8 else None


@_rule
def empty(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs with nothing but white space on a side."""
    if not options.empty:
        return None

    def suspects(texts: Texts) -> Places:
        begins = texts.bounds[:-1]
        if not texts.data.size:
            return np.arange(len(texts))
        first = texts.data[np.minimum(begins, texts.data.size - 1)]
        return np.flatnonzero((texts.lengths == 0) | _MAY_BEGIN_SPACE[first])

    return _either(lambda text: not text or text.isspace(), suspects)


@_rule
def control_characters(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs with a control character (Unicode's Cc) other than the tab."""
    if not options.control_characters:
        return None

    def suspects(texts: Texts) -> Places:
        data = texts.data
        one_byte = np.flatnonzero(((data < 0x20) & (data != 0x09)) | (data == 0x7F))
        lead = np.flatnonzero(data == 0xC2)  # U+0080 to U+00BF
        return texts.with_bytes(np.concatenate([one_byte, lead[data[lead + 1] < 0xA0]]))

    return _either(lambda text: bool(_CONTROL.search(text)), suspects)


@_rule
def max_length(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs with a side longer than a bound."""
    bound = options.max_length
    if bound is None:
        return None
    length = _length(options.unit)

    def too_long(text: str) -> bool:
        # Most texts have too few characters to hold so many words: no need to split them.
        return len(text) > bound and length(text) > bound

    return _either(too_long, lambda texts: np.flatnonzero(texts.lengths > bound))


@_rule
def max_ratio(options: recipe.Cleaning) -> _Rule | None:
    """Drops pairs whose sides' lengths differ by more than a factor."""
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
    return _either(lambda text: share_of_letters(text) < bound)


RULES = (HEADER, COLUMNS, *_RULES, DUPLICATES)


def _length(unit: str) -> Callable[[str], int]:
    return len if unit == "characters" else lambda text: len(text.split())


def share_of_letters(text: str) -> float:
    """Counts letters among the characters of a text that are not white space.

    Marks (accents that stand alone, the vowel signs of Indic scripts) count as letters. A text
    without characters has a share of 1.0: other rules judge it.
    """
    characters = "".join(text.split())
    if not characters or characters.isalpha():
        return 1.0
    letters = sum(unicodedata.category(character)[0] in "LM" for character in characters)
    return letters / len(characters)


class Rules:
    """The rules that judge a pair by itself: all but the one against repeated pairs.

    Nothing is remembered from pair to pair, so any process can apply them to any part of a corpus.
    """

    def __init__(self, options: recipe.Cleaning) -> None:
        made = {name: make(options) for name, make in _RULES.items()}
        self._rules = [(name, rule) for name, rule in made.items() if rule is not None]

    def failing(
        self,
        sources: Texts,
        targets: Texts,
        invalid: Places = _NONE,
        misread: Mapping[int, str] = _ALL_READ,
    ) -> tuple[Places, list[str]]:
        """Finds the pairs that are to be dropped: their places, in order, and each one's rule.

        In the pairs at the places ``invalid``, bytes that are not UTF-8 were replaced; of those
        that are ``misread``, the reason is given.
        """
        found = [invalid, np.fromiter(misread, np.intp, len(misread))]
        for _, rule in self._rules:
            if rule.suspects is None:
                found.append(np.arange(len(sources)))
                break
            found += [rule.suspects(sources), rule.suspects(targets)]
        suspects = np.unique(np.concatenate(found))
        pairs = map(
            RawPair,
            suspects.tolist(),
            sources.some(suspects),
            targets.some(suspects),
            np.isin(suspects, invalid).tolist(),
        )
        names = [misread.get(pair.line) or self._first_failed(pair) for pair in pairs]
        places = suspects[[name is not None for name in names]]
        return places, [name for name in names if name is not None]

    def _first_failed(self, pair: RawPair) -> str | None:
        return next((name for name, rule in self._rules if rule.fails(pair)), None)


class Drops:
    """Counts what was dropped, and remembers the first line that each rule has dropped."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._first_lines: dict[str, int] = {}

    def add(self, rule: str, line: int, count: int = 1) -> None:
        """Counts pairs that a rule dropped; those of earlier lines must come first."""
        self._counts[rule] = self._counts.get(rule, 0) + count
        self._first_lines.setdefault(rule, line)

    def result(self) -> tuple[Dropped, ...]:
        """The rules that dropped something, in their order."""
        return tuple(
            Dropped(rule, self._counts[rule], self._first_lines[rule])
            for rule in RULES
            if rule in self._counts
        )
