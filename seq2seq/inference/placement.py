"""Puts the spans that were left out of a source (``text/spans.py``) into its translation.

Where one belongs is seen by the attention: between the words that were made of what stood before it
and of what stood behind it. A pair of tags goes around the words that were made of those inside it;
as what is inside a pair stays inside, tags that were well nested still are. Without attention
a span goes to the same share of the length.

Shapes: T target pieces, S source pieces, G gaps between pieces at which something may stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np

from seq2seq.search.model import Bools, Floats, Floats32, Ints
from seq2seq.text.spans import CLOSING_MARKS, LeftOut

_HALF = 0.5  # of a piece's attention: from there on it counts as made of what is inside a pair
_OPENING = frozenset("([{«„“‘¿¡「『（")
_DEEPEST = 50  # tags within one another; what is deeper is placed one by one
_NEAR = 1e-6  # what the place counts where the attention says nothing


@dataclass
class _Node:
    """A span with its place in the source; or a pair of tags, with all that is inside."""

    number: int
    begin: int
    close: int | None = None
    end: int = 0
    inside: list[_Node] = field(default_factory=list)


def place(
    left_out: Sequence[LeftOut],
    begins: Sequence[int],
    weights_TS: Floats32 | None,
    size: tuple[int, int],
    gap_G: Sequence[int],
    latest: Sequence[int] = (),
) -> list[tuple[int, int]]:
    """Finds the places of spans in a translation.

    Args:
        left_out: The spans, in the order of the source.
        begins: How many source pieces stand before each.
        weights_TS: How each target piece weighed the source's; None: there is no attention.
        size: T and S.
        gap_G: The gaps at which a span may stand: numbers of target pieces before them, ascending;
            the last is T.
        latest: The gap behind which each span may not stand; none given: T.

    Returns:
        For each span, in the order in which they stand in the translation, the number of target
        pieces before it, and its own number in ``left_out``.
    """
    weights = _diagonal(*size) if weights_TS is None else weights_TS
    target, source = size
    if not target or not source:
        return [(target, number) for number in range(len(left_out))]
    placer = _Placer(
        np.asarray(weights, dtype=np.float64),
        np.asarray(gap_G, dtype=np.int64),
        latest or [target] * len(left_out),
    )
    placer.put(_nested(left_out, [min(begin, source) for begin in begins]), gap_G[0], target)
    return placer.placed


def _diagonal(target: int, source: int) -> Floats:
    weights_TS = np.zeros((target, source))
    if source:
        weights_TS[np.arange(target), np.arange(target) * source // max(target, 1)] = 1.0
    return weights_TS


def _nested(left_out: Sequence[LeftOut], begins: Sequence[int]) -> list[_Node]:
    """Spans as a tree; a tag without its other half is a span like any other."""
    pairs, open_tags = {}, []
    for number, one in enumerate(left_out):
        role, name = one.span.tag
        if role == "open":
            open_tags.append((number, name))
        elif role == "close" and any(name == other for _, other in open_tags[-_DEEPEST:]):
            while open_tags[-1][1] != name:
                open_tags.pop()
            pairs[open_tags.pop()[0]] = number
    top: list[_Node] = []
    levels = [(len(left_out), top)]
    for number, begin in enumerate(begins):
        if number == levels[-1][0]:
            levels.pop()
            continue
        node = _Node(number, begin)
        levels[-1][1].append(node)
        if number in pairs and len(levels) <= _DEEPEST:
            node.close, node.end = pairs[number], begins[pairs[number]]
            levels.append((pairs[number], node.inside))
    return top


class _Placer:
    """Finds places one level of the tree after another."""

    def __init__(self, weights_TS: Floats, gap_G: Ints, latest: Sequence[int]) -> None:
        self.placed: list[tuple[int, int]] = []
        self._gap_G = gap_G
        self._latest = latest
        target, self._source = weights_TS.shape
        self._target = target
        # Sums over the pieces before a gap, and over the source's pieces before a place.
        self._sums = np.zeros((target + 1, self._source + 1))
        self._sums[1:, 1:] = weights_TS.cumsum(axis=0).cumsum(axis=1)

    def put(self, nodes: Sequence[_Node], low: int, high: int) -> None:
        """Places spans between two gaps."""
        taken: list[tuple[int, int]] = []
        found: list[tuple[tuple[int, bool, int], _Node, int]] = []
        for node in nodes:
            if node.close is not None and node.end > node.begin:
                begin, end = self._around(node, low, high, taken)
                if begin < end:
                    taken.append((begin, end))
                    found.append(((begin, True, node.number), node, end))
        around = {node.number for _, node, _ in found}
        for node in nodes:
            if node.number not in around:
                end = max(low, min(high, self._latest[node.number]))
                gap = self._between(node.begin, low, end, high, taken)
                found.append(((gap, False, node.number), node, gap))
        for (begin, *_), node, end in sorted(found, key=lambda one: one[0]):
            self.placed.append((begin, node.number))
            if node.close is not None:
                self.put(node.inside, begin, end)
                self.placed.append((end, node.close))

    def _gaps(self, low: int, high: int) -> Ints:
        found = self._gap_G[(self._gap_G >= low) & (self._gap_G <= high)]
        return np.unique(np.concatenate([found, [low, high]]))

    def _between(
        self, begin: int, low: int, end: int, high: int, taken: Sequence[tuple[int, int]]
    ) -> int:
        """The gap up to ``end`` with the most of what is before in front, and the rest behind."""
        gaps = self._gaps(low, end)
        for first, last in taken:
            gaps = gaps[(gaps <= first) | (gaps >= last)]
        sums = self._sums
        before = sums[gaps, begin] - sums[low, begin]
        behind = (sums[high, -1] - sums[high, begin]) - (sums[gaps, -1] - sums[gaps, begin])
        usual = begin * self._target / self._source
        return int(gaps[np.argmax(before + behind - _NEAR * abs(gaps - usual))])

    def _around(
        self, node: _Node, low: int, high: int, taken: Sequence[tuple[int, int]]
    ) -> tuple[int, int]:
        """The stretch of pieces, whole words, that is most clearly made of what is inside."""
        gaps = self._gaps(low, high)
        inner = self._sums[gaps, node.end] - self._sums[gaps, node.begin]
        gain = inner - _HALF * self._sums[gaps, -1]
        gain_GG = gain[None, :] - gain[:, None]  # from gap to gap
        allowed: Bools = gaps[None, :] > gaps[:, None]
        for first, last in taken:
            allowed &= (gaps[None, :] <= first) | (gaps[:, None] >= last)
        if not allowed.any():
            return low, low
        usual = node.begin * self._target / self._source
        gain_GG = gain_GG - _NEAR * abs(gaps[:, None] - usual) - _NEAR * gaps[None, :]
        gain_GG[~allowed] = -np.inf
        begin, end = np.unravel_index(int(gain_GG.argmax()), gain_GG.shape)
        return int(gaps[begin]), int(gaps[end])


def insert(
    text: str,
    offsets: Sequence[int],
    placed: Sequence[tuple[int, int]],
    left_out: Sequence[LeftOut],
) -> str:
    """Writes spans into a translation; ``offsets`` are the places of its gaps in the text."""
    written, begin = "", 0
    for gap, group in groupby(placed, key=lambda one: one[0]):
        written += text[begin : offsets[gap]]
        begin = offsets[gap]
        rest = text[begin:]
        at_edge = not written.strip() or not rest.strip()
        spaced = at_edge or written.endswith(" ") or rest.startswith(" ")
        written, begin = written.rstrip(" "), begin + len(rest) - len(rest.lstrip(" "))
        written = _with(
            written, [left_out[number] for _, number in group], rest.lstrip(" "), spaced
        )
    return written + text[begin:]


def _with(before: str, group: Sequence[LeftOut], rest: str, spaced: bool) -> str:
    """Some spans behind a text, with the space that has to stand before, between and behind."""
    written, was_spaced = before, False
    wants = False  # the span before wants a space behind it
    for number, one in enumerate(group):
        is_tag = one.span.tag[0] in ("open", "close")  # an empty one may stand for a word
        space = one.before == " " if number == 0 else (one.before == " " or wants)
        if number and left_adjacent(group[number - 1], one):
            space = False
        elif is_tag:
            space = space and (spaced or (number > 0 and wants))
        elif not space:
            space = not _hugs_left(one, written)
        if space and written and written[-1] not in _OPENING:
            written += " "
            was_spaced = True
        written += one.span.text
        wants = one.after == " " if is_tag else not _hugs_right(one, rest)
        wants = wants and (spaced or not is_tag)
    if not rest:
        return written
    closes = rest[0] in CLOSING_MARKS and not spaced
    if (wants and not closes) or (spaced and before and not was_spaced):
        written += " "
    return written


def left_adjacent(before: LeftOut, one: LeftOut) -> bool:
    """Whether a span stood right behind another."""
    return before.span.end == one.span.begin


def _hugs_left(one: LeftOut, written: str) -> bool:
    if one.before.isalnum():
        return written[-1:].isalnum()
    return not written or written[-1] in _OPENING or written[-1] == one.before


def _hugs_right(one: LeftOut, rest: str) -> bool:
    if one.after == " ":
        return False
    if one.after.isalnum():
        return rest[:1].isalnum()
    return rest[:1] == one.after or rest[:1] in CLOSING_MARKS
