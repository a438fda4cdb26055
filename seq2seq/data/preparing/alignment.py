"""Words and short phrases that translate each other, found in pairs of lines.

IBM Model 1 (Brown et al. 1993) with a prior for the diagonal (Dyer, Chahuneau and Smith 2013), in
both directions, says which word goes with which. From what both directions agree on, grown by what
one of them says beside it, come the phrases that are consistent with it (Och and Ney 2004).

Pairs with the same numbers of words are worked on together. Memory is bounded: of more text than
that, pairs are taken evenly.

Shapes: N pairs of a group, S source words, T target words (with a place 0 more for no word: I, J),
K pairs of words.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Prior = Callable[[int, int], Floats]

MOST_PAIRS = 200_000
_MOST_CELLS = 10_000_000  # pairs of places, summed over the pairs of lines
_LONGEST = 100  # words of a line
_LEAST = 2  # times that a word, and a phrase with its translation, must have been seen
_LEAST_SHARE = 0.4  # of a phrase's places: those with its usual translation
_ITERATIONS = 5
_TENSION, _NOTHING = 4.0, 0.08  # of the diagonal, and the chance that a word goes with none
_MOST_TARGET = 3  # words of a translation
_NONE, _RARE = 0, 1  # the numbers of no word, and of all words that are seen too rarely

_MARKS = r"""!-&(-/:-@\[-`{-~„“”‚‘«»‹›…–—¿¡·।。、，！？：；（）「」،؟؛"""
_WORD = re.compile(rf"[^\s'’{_MARKS}]+(?:['’.-][^\s'’{_MARKS}]+)*|[{_MARKS}'’]")


@dataclass(frozen=True)
class WordPair:
    """A word, or two, with the translation; ``row`` is the first pair of lines that shows it."""

    source: str
    target: str
    row: int
    count: int  # of the pairs of lines that were looked at


class Side:
    """One side's words: by number as they are written, and in lower case."""

    def __init__(self, lines: Iterable[str], least: int = 1) -> None:
        numbers: dict[str, int] = {}
        words, ends = array("i"), [0]
        for line in lines:
            words.extend([numbers.setdefault(w, len(numbers)) for w in _WORD.findall(line)])
            ends.append(len(words))
        self.words = list(numbers)
        self.written = np.array(words, dtype=np.int64)
        self.ends = np.array(ends)
        lower: dict[str, int] = {}
        plain_V = np.array([lower.setdefault(w.lower(), len(lower)) for w in numbers], np.int64)
        counts = np.bincount(plain_V[self.written], minlength=len(lower))
        usual = counts >= least
        renumbered = np.where(usual, np.cumsum(usual) + _RARE, _RARE)
        self.plain = renumbered[plain_V[self.written]]
        self.size = int(usual.sum()) + 2
        letters_V = np.array([word[0].isalpha() for word in numbers], dtype=np.bool_)
        self.has_letters = letters_V[self.written]
        self.is_word = self.has_letters & (self.plain != _RARE)

    @property
    def lengths(self) -> Ints:
        """The words of each line."""
        return np.diff(self.ends)

    def text(self, places: Ints) -> str:
        """The words at some places, as they are written there."""
        return " ".join(self.words[number] for number in self.written[places])

    def places(self, rows: Ints) -> Ints:
        """Where in the arrays lines of one length have their words, (N, S)."""
        begins = self.ends[rows]
        return begins[:, None] + np.arange(self.ends[rows[0] + 1] - begins[0])


@dataclass
class Group:
    """Pairs with as many source words each, and as many target words."""

    source_NS: Ints  # places in the sides' arrays
    target_NT: Ints
    cell_NIJ: npt.NDArray[np.int32]  # numbers of pairs of words

    def given(self, direction: int) -> npt.NDArray[np.int32]:
        """Its cells with the words that are given first, and those that they make after them."""
        cells = self.cell_NIJ if direction == 0 else self.cell_NIJ.transpose(0, 2, 1)
        return cells[:, :, 1:]


def diagonal(given: int, made: int) -> Floats:
    """How likely each word, or none (place 0), makes the word at each place: (given + 1, made)."""
    place_S = np.arange(1, given + 1)[:, None] / given
    near = np.exp(-_TENSION * np.abs(place_S - np.arange(1, made + 1) / made))
    return np.concatenate([np.full((1, made), _NOTHING), (1 - _NOTHING) * near / near.sum(axis=0)])


class Aligner:
    """Both directions of Model 1, trained on pairs of lines.

    ``chance_K`` of either direction is that of the other side's word, given this side's.
    """

    def __init__(self, sides: tuple[Side, Side], prior: Prior = diagonal) -> None:
        self._sides, self._prior = sides, prior
        self.groups, key_K = self._grouped()
        words_K = np.divmod(key_K, sides[1].size)
        self.chances = [self._learned(direction, words_K[direction]) for direction in (0, 1)]

    def _grouped(self) -> tuple[list[Group], Ints]:
        source, target = self._sides
        lengths = np.stack([source.lengths, target.lengths])
        rows = np.flatnonzero((lengths.min(axis=0) > 0) & (lengths.max(axis=0) <= _LONGEST))
        cells = int((lengths[:, rows] + 1).prod(axis=0).sum())
        if cells > _MOST_CELLS:
            rows = rows[np.linspace(0, len(rows) - 1, len(rows) * _MOST_CELLS // cells, dtype=int)]
        shape = lengths[0, rows] * (_LONGEST + 1) + lengths[1, rows]
        rows = rows[np.argsort(shape, kind="stable")]
        parts = np.split(rows, np.flatnonzero(np.diff(np.sort(shape))) + 1) if len(rows) else []
        groups, keys = [], [np.zeros(0, dtype=np.int64)]
        for part in parts:
            places = source.places(part), target.places(part)
            one, other = (
                np.pad(side.plain[place], ((0, 0), (1, 0)), constant_values=_NONE)
                for side, place in zip(self._sides, places, strict=True)
            )
            key_NIJ = one[:, :, None] * target.size + other[:, None]
            key, cell = np.unique(key_NIJ, return_inverse=True)
            keys.append(key)
            groups.append(Group(*places, cell.reshape(key_NIJ.shape).astype(np.int32)))
        key_K = np.unique(np.concatenate(keys))
        for group, key in zip(groups, keys[1:], strict=True):
            group.cell_NIJ = np.searchsorted(key_K, key).astype(np.int32)[group.cell_NIJ]
        return groups, key_K

    def _learned(self, direction: int, given_K: Ints) -> Floats:
        chance_K = np.ones(len(given_K))
        for _ in range(_ITERATIONS):
            count_K = np.zeros(len(given_K))
            for group in self.groups:
                cell_NGM = group.given(direction)
                part_NGM = self._parts(chance_K, cell_NGM)
                part_NGM /= part_NGM.sum(axis=1, keepdims=True)
                np.add.at(count_K, cell_NGM.ravel(), part_NGM.ravel())
            chance_K = count_K / np.bincount(given_K, count_K)[given_K]
        return chance_K

    def _parts(self, chance_K: Floats, cell_NGM: npt.NDArray[np.int32]) -> Floats:
        _, given, made = cell_NGM.shape
        return chance_K[cell_NGM] * self._prior(given - 1, made)

    def links(self, group: Group, axes: tuple[int, ...]) -> Bools:
        """Which words of a group's pairs go together, (N, S, T); none goes with punctuation."""
        source, target = self._sides
        letters_NS1 = source.has_letters[group.source_NS][:, :, None]
        alike_NST = letters_NS1 == target.has_letters[group.target_NT][:, None]
        said = []
        for direction, chance_K in enumerate(self.chances):
            parts = self._parts(chance_K, group.given(direction))
            best_N1M = parts.argmax(axis=1)[:, None]
            said.append(np.arange(1, parts.shape[1])[:, None] == best_N1M)
        return grown(said[0] & alike_NST, said[1].transpose(0, 2, 1) & alike_NST, axes)


def grown(one_NST: Bools, other_NST: Bools, axes: tuple[int, ...]) -> Bools:
    """What both directions say; then what one says of two words that have no link yet.

    At last, beside a link, what one direction says of a word that still has none: a source word
    (axis 1), or a target word (2).
    """
    links, either = one_NST & other_NST, one_NST | other_NST
    links = links | (either & ~links.any(axis=1, keepdims=True) & ~links.any(axis=2, keepdims=True))
    for _ in range(_MOST_TARGET - 1):
        for axis in axes:
            free = links.sum(axis=3 - axis, keepdims=True) == 0
            beside = np.zeros_like(links)
            there, here = np.swapaxes(links, 1, axis), np.swapaxes(beside, 1, axis)
            here[:, 1:] |= there[:, :-1]
            here[:, :-1] |= there[:, 1:]
            links = links | (either & beside & free)
    return links


def consistent(links_NST: Bools, width: int) -> tuple[Ints, Ints]:
    """Finds the translation of each ``width`` source words: its first place, and its length.

    Both are (N, S - width + 1); the length is 0 where there is none, because one of the words has
    no link, or one of the translation is linked elsewhere.
    """
    spans = np.lib.stride_tricks.sliding_window_view(links_NST, width, axis=1)
    linked = spans.sum(axis=-1) > 0
    first = linked.argmax(axis=2)
    last = links_NST.shape[2] - 1 - linked[:, :, ::-1].argmax(axis=2)
    before = np.pad(np.cumsum(links_NST.sum(axis=1), axis=1), ((0, 0), (1, 0)))
    within = np.take_along_axis(before, last + 1, 1) - np.take_along_axis(before, first, 1)
    each = spans.sum(axis=2)
    whole = (each.min(axis=-1) > 0) & (within == each.sum(axis=-1))
    return first, np.where(whole, last - first + 1, 0)


def word_pairs(sources: Iterable[str], targets: Iterable[str], most: int) -> list[WordPair]:
    """Finds the translations of words, and of two that follow each other, the frequent ones first.

    A translation has up to three words. A phrase has its usual one, if that is usual enough, and
    both stand as they are written most often. Punctuation is in none.
    """
    sides = Side(sources, _LEAST), Side(targets, _LEAST)
    aligner = Aligner(sides)
    found = [pair for width in (1, 2) for pair in _phrases(sides, aligner, width)]
    return sorted(found, key=lambda pair: (-pair.count, pair.row, pair.source))[:most]


def _phrases(sides: tuple[Side, Side], aligner: Aligner, width: int) -> Iterator[WordPair]:
    source_PW, target_PM = _instances(sides, aligner, width)
    if not len(source_PW):
        return
    source, target = sides
    phrase_P = _numbered(source.plain[source_PW])
    there_P = target_PM[:, 0] >= 0
    pair_P = _numbered(np.column_stack([phrase_P, _at(target.plain, target_PM)]))
    total_P = np.bincount(phrase_P)[phrase_P]
    count_P = np.where(there_P, np.bincount(pair_P)[pair_P], 0)
    written_P = _numbered(
        np.column_stack([source.written[source_PW], _at(target.written, target_PM)])
    )
    as_written_P = np.bincount(written_P)[written_P]
    # The best translation of a phrase comes first, and of that the usual spelling, seen first.
    order = np.lexsort((source_PW[:, 0], written_P, -as_written_P, pair_P, -count_P, phrase_P))
    _, first = np.unique(phrase_P[order], return_index=True)
    best = order[first]
    best = best[(count_P[best] >= _LEAST) & (count_P[best] >= _LEAST_SHARE * total_P[best])]
    for one in best.tolist():
        row = int(np.searchsorted(source.ends, source_PW[one, 0], side="right")) - 1
        texts = source.text(source_PW[one]), target.text(target_PM[one][target_PM[one] >= 0])
        yield WordPair(*texts, row, int(count_P[one]))


def _instances(sides: tuple[Side, Side], aligner: Aligner, width: int) -> tuple[Ints, Ints]:
    """All places of ``width`` source words, and of their translations (-1: no word, or none)."""
    source, target = sides
    sources, targets = [np.zeros((0, width), np.int64)], [np.zeros((0, _MOST_TARGET), np.int64)]
    for group in aligner.groups:
        if group.source_NS.shape[1] < width:
            continue
        first, length = consistent(aligner.links(group, axes=(2,)), width)
        if width > 1:  # two words may have one translation, and an article none of its own
            other_first, other_length = consistent(aligner.links(group, axes=(1, 2)), width)
            first = np.where(length, first, other_first)
            length = np.where(length, length, other_length)
        place = np.lib.stride_tricks.sliding_window_view(group.source_NS, width, axis=1)
        step = np.arange(_MOST_TARGET)
        translation = group.target_NT[:, 0][:, None, None] + first[..., None] + step
        inside = step < length[..., None]
        words = target.is_word[np.where(inside, translation, 0)] | ~inside
        fits = (length > 0) & (length <= _MOST_TARGET) & words.all(axis=-1)
        chosen = source.is_word[place].all(axis=-1)
        sources.append(place[chosen])
        targets.append(np.where(inside & fits[..., None], translation, -1)[chosen])
    return np.concatenate(sources), np.concatenate(targets)


def _at(values: Ints, places: Ints) -> Ints:
    return np.where(places >= 0, values[places], -1)


def _numbered(rows: Ints) -> Ints:
    """Numbers rows (P, columns), so that equal ones have the same number."""
    number = rows[:, 0]
    for column in rows[:, 1:].T:
        number = np.unique(number * (column.max() + 2) + column + 1, return_inverse=True)[1]
    return np.unique(number, return_inverse=True)[1]
