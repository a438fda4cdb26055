"""Several corpora as one training set: what they are called, and how often each is seen.

An epoch has as many pairs as there are, and each corpus its share of them: whole passes over it,
and a part of another. The parts of one epoch after the other make up passes too, each in an order
of its own. So over the epochs every pair of a corpus is seen equally often, whatever its share,
and what an epoch takes is a function of (seed, epoch).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seq2seq.recipe.data import Data, HubSource, LinesSource, Part, Source

_PASSES, _CUTS = 3, 4  # random streams beside those of batching.py

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class NamedSource:
    """A source, and what messages call it: its label, its file's name or its data set's."""

    name: str
    source: Source
    weight: float = 1.0  # how often each of its pairs is seen, against others


def sources_of(data: Data, split: str) -> tuple[NamedSource, ...]:
    """The sources of a split, in the recipe's order, each with a name of its own."""
    given = getattr(data, split)
    parts = given if isinstance(given, tuple) else () if given is None else (given,)
    taken = {part.label for part in parts if isinstance(part, Part)}
    found = []
    for part in parts:
        label = part.label if isinstance(part, Part) else None
        name = label or _free(_name(part), taken)
        taken.add(name)
        found.append(NamedSource(name, part, part.weight if isinstance(part, Part) else 1.0))
    return tuple(found)


def _name(source: Source) -> str:
    if isinstance(source, HubSource):
        return source.name
    path = source.source_path if isinstance(source, LinesSource) else source.path
    name = Path(path).name
    return name.partition(".")[0] or name


def _free(name: str, taken: set[str | None]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}-{number}"
    return free


def shares(amounts: Sequence[float], temperature: float) -> list[float]:
    """The chances of corpora, which add up to 1.

    At a temperature of 1 they are in proportion to the amounts (each corpus's pairs times its
    weight, or its weight alone); at higher ones, more alike.
    """
    most = max(amounts)  # powers of large numbers overflow where temperatures are low
    powers = [(amount / most) ** (1 / temperature) for amount in amounts]
    return [power / sum(powers) for power in powers]


def quotas(chances: Sequence[float], total: int) -> list[int]:
    """Divides a number of pairs, at least one a corpus, among corpora by their chances.

    Each gets its share rounded up or down, except that one whose share is below one pair still gets
    one, which is taken from the others.
    """
    wanted = [chance * total for chance in chances]
    # A share of 299.9999999 pairs is 300: the powers are rounded, and a pass should be whole.
    counts = [max(1, int(one + 1e-6)) for one in wanted]
    rest = total - sum(counts)
    order = sorted(range(len(counts)), key=lambda n: counts[n] - wanted[n], reverse=rest < 0)
    while rest:
        for n in order:
            if rest > 0 or (rest < 0 and counts[n] > 1):
                step = 1 if rest > 0 else -1
                counts[n] += step
                rest -= step
    return counts


@dataclass(frozen=True)
class CorpusRange:
    """Where a corpus lies in a prepared file: from its first pair to the one after its last."""

    name: str
    start: int
    stop: int
    weight: float = 1.0

    def __len__(self) -> int:
        return self.stop - self.start


class Mixture:
    """The corpora of a prepared file, one after the other, and what an epoch takes of each."""

    def __init__(self, ranges: Sequence[CorpusRange], temperature: float = 1.0) -> None:
        self.ranges = tuple(ranges)
        total = sum(map(len, ranges))
        self.shares = shares([len(one) * one.weight for one in ranges], temperature)
        self.quotas = quotas(self.shares, total)

    @classmethod
    def of(cls, data: Data, known: Mapping[str, Any]) -> Mixture:
        """The corpora of a prepared folder, as its manifest has them, with a recipe's weights.

        Where the recipe names no corpora, they are mixed as they were when they were prepared.
        """
        weights = [one.weight for one in sources_of(data, "train")]
        there = [CorpusRange(*values) for values in known["corpora"]]
        if len(weights) != len(there):
            return cls(there, known["temperature"])
        here = [replace(one, weight=weight) for one, weight in zip(there, weights, strict=True)]
        return cls(here, data.temperature)

    def names(self, indices: Ints) -> list[str]:
        """Names the corpora that pairs (n,) are from."""
        stops = [one.stop for one in self.ranges]
        found = np.searchsorted(stops, indices, side="right")
        return [self.ranges[n].name for n in found]

    def described(self) -> list[dict[str, Any]]:
        """Each corpus's name, its pairs, and its share of what training sees, as plain values."""
        return [
            {"name": one.name, "pairs": len(one), "share": share}
            for one, share in zip(self.ranges, self.shares, strict=True)
        ]

    def units(self, seed: int, epoch: int, block: int) -> Ints:
        """What an epoch takes, corpus by corpus and in the order of the file: rows for ``unit``.

        They are (n, 6), each for a block of pairs that are visited together. The seed decides which
        part of a corpus is taken where not all of it is.
        """
        found = []
        for corpus, quota in enumerate(self.quotas):
            size = len(self.ranges[corpus])
            passes, rest = divmod(quota, size)
            found += [self._passed(corpus, 0, (0, size), seed, block)] * passes
            begin, end = epoch * rest, (epoch + 1) * rest
            for number in range(begin // size, -(-end // size)):
                part = max(begin - number * size, 0), min(end - number * size, size)
                found.append(self._passed(corpus, number, part, seed, block))
        return np.concatenate(found)

    def _passed(
        self, corpus: int, number: int, part: tuple[int, int], seed: int, block: int
    ) -> Ints:
        """A part of a pass over a corpus: blocks, of which the first and the last may be cut."""
        one = self.ranges[corpus]
        starts = np.arange(one.start, one.stop, block)
        if part != (0, len(one)):
            random = np.random.default_rng((_PASSES, seed, corpus, number))
            starts = starts[random.permutation(len(starts))]
        sizes = np.minimum(one.stop - starts, block)
        before = np.cumsum(sizes) - sizes
        low, high = np.maximum(part[0] - before, 0), np.minimum(part[1] - before, sizes)
        same = np.full_like(starts, 1)
        rows = np.stack([starts, starts + sizes, low, high, corpus * same, number * same], axis=1)
        rows = rows[low < high]
        in_order: Ints = rows[np.argsort(rows[:, 0])]
        return in_order

    def unit(self, row: Ints, seed: int) -> tuple[int, int, slice | Ints]:
        """The pairs of a row (6,) that ``units`` gave with the same seed.

        They are a block (its first pair, and the pair after its last), and those of it to take.
        """
        start, stop, low, high, corpus, number = row.tolist()
        if (low, high) == (0, stop - start):
            return start, stop, slice(None)
        random = np.random.default_rng((_CUTS, seed, corpus, number, start))
        return start, stop, np.sort(random.permutation(stop - start)[low:high])
