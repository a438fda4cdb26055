"""Batches: which pairs go together, and in which order; translating takes ``length_batches`` alone.

The order is a pure function of (seed, epoch): nothing is remembered but a place in it, so a resumed
run sees exactly the batches that it would have seen. Memory does not grow with the corpus: an epoch
visits blocks of neighbouring pairs in random order and sorts a pool of blocks at a time.

Shapes: B pairs of a batch, S source length, T target length, n pairs of a pool.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from seq2seq.data.mixture import CorpusRange, Mixture
from seq2seq.errors import DataError
from seq2seq.recipe.data import Sampling

if TYPE_CHECKING:  # translating needs no pyarrow to cut its lines into batches
    from seq2seq.data.arrow import Dataset, Ragged
    from seq2seq.text.tokenizer import Tokenizer, Tokenizers

BLOCK = 1024
"""Neighbouring pairs that are visited together: reading them is one stretch of the file."""
POOL = 64 * BLOCK
"""Pairs that are sorted by length together; a smaller corpus is one pool."""

_BLOCKS, _BATCHES = 1, 2  # numpy takes (seed, epoch) and (seed, epoch, 0) for the same seed

Ints = NDArray[np.int64]
Item = TypeVar("Item")


@dataclass(frozen=True, order=True)
class Place:
    """Where in the order of batches a run stands: the next batch to take."""

    epoch: int = 0
    pool: int = 0  # in the epoch
    batch: int = 0  # in the pool
    pairs: int = 0  # of this epoch that lie before
    mark: dict[str, Any] | None = field(default=None, compare=False)  # where a stream is read on


@dataclass(frozen=True)
class Bounds:
    """How large a batch may be."""

    tokens: int  # rows x longest side, BOS or EOS counted
    pairs: int | None = None  # rows; None: any number
    pieces: int | None = None  # pairs with a longer side are left out; None: none are


@dataclass(frozen=True)
class IndexBatch:
    """Pairs that go together, by their indices. Slicing chooses among them."""

    indices: Ints  # which pairs (B,)
    rows: Ints  # where they are in ``split`` (B,)
    split: tuple[Ragged, Ragged] | None = None  # the pool's ids, where they were split anew

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, chosen: slice | Ints) -> IndexBatch:
        return IndexBatch(self.indices[chosen], self.rows[chosen], self.split)

    def ids(self, dataset: Dataset | None = None) -> tuple[Ragged, Ragged]:
        """Source and target ids; the data set has those that were not split anew."""
        if self.split is None:
            assert dataset is not None
            return dataset.ids(self.indices)
        source, target = self.split
        return source.take(self.rows), target.take(self.rows)


Resplit = Callable[["Ragged", "Ragged", int, int], tuple["Ragged", "Ragged"]]
"""Splits a pool's pairs anew, from their ids, the epoch and the pool's number."""


def cut(widths: Ints, bounds: Bounds) -> list[slice]:
    """Cuts a sorted run of pairs into batches within the bounds, as slices.

    The widths are those of each pair's longer side, BOS or EOS counted. A pair that alone exceeds
    the bound is a batch of its own.
    """
    slices = []
    begin = 0
    limit = min(bounds.tokens, bounds.pairs or bounds.tokens)
    while begin < len(widths):
        window = np.maximum.accumulate(widths[begin : begin + limit])
        cost = window * np.arange(1, len(window) + 1)
        count = max(1, int(np.searchsorted(cost, bounds.tokens, side="right")))
        slices.append(slice(begin, begin + count))
        begin += count
    return slices


def widest(widths: Ints, bounds: Bounds) -> Ints:
    """The places of the widest pairs, as many as fit into a batch."""
    order = np.argsort(-widths, kind="stable")
    return order[cut(widths[order], bounds)[0]]


def padded_tokens(source: Ragged, target: Ragged) -> int:
    """Pieces of a batch's matrices, padding counted."""
    lengths = np.diff(source.offsets), np.diff(target.offsets)
    return len(lengths[0]) * sum(int(side.max()) for side in lengths)


def length_batches(widths: Ints, bounds: Bounds) -> Iterator[Ints]:
    """Batches of pairs of about equal widths, the narrow ones first; equal ones keep their order.

    A batch is places (B,) in the widths, which are as for ``cut`` but in any order.
    """
    order = np.argsort(widths, kind="stable")
    for batch in cut(widths[order], bounds):
        yield order[batch]


def planned(
    indices: Ints,
    lengths: tuple[Ints, Ints],
    split: tuple[Ragged, Ragged] | None,
    bounds: Bounds,
    chance: tuple[int, int, int],
) -> list[IndexBatch]:
    """Sorts a pool of pairs (n,) into batches, in their final order.

    ``lengths`` are the pieces (n,) of their sources and of their targets, ``split`` their ids,
    where the batches are to have them. ``chance`` (seed, epoch and pool) decides the order.
    """
    sources, targets = lengths
    widths = np.maximum(sources, targets) + 1
    random = np.random.default_rng((_BATCHES, *chance))
    order = np.lexsort((random.random(len(indices)), sources, targets))
    plan = [
        IndexBatch(indices[order[one]], order[one], split) for one in cut(widths[order], bounds)
    ]
    return [plan[i] for i in random.permutation(len(plan))]


class BatchOrder:
    """The order of a training set's batches, which the seed decides.

    Where there is a mixture, the pairs are from several corpora. ``resplit`` splits them anew
    before they are sorted by length.
    """

    def __init__(
        self,
        dataset: Dataset,
        bounds: Bounds,
        seed: int,
        mixture: Mixture | None = None,
        resplit: Resplit | None = None,
    ) -> None:
        self.dataset = dataset
        self.bounds = bounds
        self.seed = seed
        self.mixture = mixture or Mixture([CorpusRange("", 0, len(dataset))])
        self.resplit = resplit

    def left_out(self) -> int:
        """Counts the pairs that have a side of more pieces than the bounds allow."""
        if self.bounds.pieces is None:
            return 0
        most = self.bounds.pieces
        return sum(
            int(np.count_nonzero(np.maximum(*sides) > most)) for _, sides in _pools(self.dataset)
        )

    def per_epoch(self) -> int:
        """Counts the batches of an epoch, by those of the first one's first pool."""
        blocks = self._blocks(0)
        first = blocks[: POOL // BLOCK]
        return math.ceil(len(self._plan(0, 0, first)) * len(blocks) / max(1, len(first)))

    def largest(self) -> list[IndexBatch]:
        """Finds the batches that need the most memory; none where every pair is left out.

        They are two: that of the longest pairs of all, and the one with the most padded tokens of
        the first epoch's first pool.
        """
        tokens, longest = self.bounds.tokens, np.zeros((0, 2), dtype=np.int64)
        for begin, sides in _pools(self.dataset):
            widths = np.maximum(*sides).astype(np.int64) + 1
            found = np.stack([widths, np.arange(begin, begin + len(widths))], axis=1)
            if self.bounds.pieces is not None:
                found = found[widths <= self.bounds.pieces + 1]
            longest = np.concatenate([longest, found])
            longest = longest[np.argsort(-longest[:, 0], kind="stable")][:tokens]
        if not len(longest):
            return []
        indices = longest[cut(longest[:, 0], self.bounds)[0], 1]
        split = self._split_anew(indices, 0, 0)
        first = IndexBatch(indices, np.arange(len(indices)), split)
        if split is not None:  # which has more pieces: fewer pairs fit
            widths = np.maximum(*(np.diff(side.offsets) for side in split)) + 1
            first = first[widest(widths, self.bounds)]
        plans = self._plan(0, 0, self._blocks(0)[: POOL // BLOCK])
        fullest = max(plans, key=lambda one: padded_tokens(*one.ids(self.dataset)), default=first)
        return [first, fullest]

    def drawn(self, place: Place = Place()) -> Iterator[tuple[IndexBatch, Place]]:
        """Batches from a place on, without end, each with the place after it.

        The last batch of an epoch leads to the beginning of the next. It is a DataError if every
        pair is longer than the bounds allow.
        """
        batches = self._all(place)
        upcoming = next(batches)
        pairs = place.pairs if upcoming[0] == place.epoch else 0
        while True:
            epoch, _, _, batch = upcoming
            upcoming = next(batches)
            pairs += len(batch)
            if upcoming[0] == epoch:
                yield batch, Place(*upcoming[:3], pairs)
            else:
                yield batch, Place(upcoming[0])
                pairs = 0

    def _all(self, place: Place) -> Iterator[tuple[int, int, int, IndexBatch]]:
        """Epoch, pool, number in the pool, and the batch."""
        plans = self._plans(place)
        if self.resplit is not None:  # it takes a second or two a pool
            plans = prefetched(plans, "pool")
        first = place.batch
        for epoch, pool, plan in plans:
            for number in range(first, len(plan)):
                yield epoch, pool, number, plan[number]
            first = 0

    def _plans(self, place: Place) -> Iterator[tuple[int, int, list[IndexBatch]]]:
        """Epoch, pool, and all its batches."""
        first, found = place.pool, place.pairs > 0
        for epoch in count(place.epoch):
            blocks = self._blocks(epoch)
            pools = [blocks[i : i + POOL // BLOCK] for i in range(0, len(blocks), POOL // BLOCK)]
            for pool in range(first, len(pools)):
                plan = self._plan(epoch, pool, pools[pool])
                found = found or bool(plan)
                yield epoch, pool, plan
            if not found:
                raise DataError(
                    f"every training pair has more than {self.bounds.pieces} "
                    "pieces on a side: raise training.max_pieces"
                )
            first = 0

    def _blocks(self, epoch: int) -> Ints:
        """The blocks of an epoch, or parts of blocks, in the order in which they are visited."""
        units = self.mixture.units(self.seed, epoch, BLOCK)
        return units[np.random.default_rng((_BLOCKS, self.seed, epoch)).permutation(len(units))]

    def _plan(self, epoch: int, pool: int, blocks: Ints) -> list[IndexBatch]:
        """All batches of a pool, in their final order."""
        indices, sources, targets = self._lengths(blocks)
        if self.bounds.pieces is not None:
            fits = np.maximum(sources, targets) <= self.bounds.pieces
            indices, sources, targets = indices[fits], sources[fits], targets[fits]
        split = self._split_anew(indices, epoch, pool)
        if split is not None:
            sources, targets = (np.diff(side.offsets) for side in split)
        chance = (self.seed, epoch, pool)
        return planned(indices, (sources, targets), split, self.bounds, chance)

    def _split_anew(self, indices: Ints, epoch: int, pool: int) -> tuple[Ragged, Ragged] | None:
        if self.resplit is None:
            return None
        return self.resplit(*self.dataset.ids(indices), epoch, pool)

    def _lengths(self, blocks: Ints) -> tuple[Ints, Ints, Ints]:
        """Indices and piece counts (n,) of all pairs of some blocks."""
        indices, sources, targets = [], [], []
        for block in blocks:
            start, stop, chosen = self.mixture.unit(block, self.seed)
            source, target = self.dataset.lengths(start, stop)
            indices.append(np.arange(start, stop)[chosen])
            sources.append(source[chosen])
            targets.append(target[chosen])
        return (
            np.concatenate(indices),
            np.concatenate(sources).astype(np.int64),
            np.concatenate(targets).astype(np.int64),
        )


def _pools(dataset: Dataset) -> Iterator[tuple[int, tuple[NDArray[np.int32], ...]]]:
    """Walks the corpus a pool at a time: its first pair, and the pieces of each side (n,)."""
    for begin in range(0, len(dataset), POOL):
        yield begin, dataset.lengths(begin, min(begin + POOL, len(dataset)))


def in_length_order(dataset: Dataset, bounds: Bounds) -> Iterator[Ints]:
    """Every pair once, as indices (B,), short ones first within each pool: for validation."""
    for begin, (sources, targets) in _pools(dataset):
        order = np.lexsort((sources, targets))
        widths = np.maximum(sources, targets)[order].astype(np.int64) + 1
        for batch in cut(widths, bounds):
            yield begin + order[batch]


def sampled(
    source: Ragged, target: Ragged, tokenizers: Tokenizers, options: Sampling, seed: int
) -> tuple[Ragged, Ragged]:
    """Splits the source and target ids of pairs anew at random, as ``tokenizer.sampling`` says.

    A side that is not sampled keeps its best splits. The same seed gives the same splits.
    """
    if options.sides != "target":
        source = _resplit(source, tokenizers.source, options.alpha, seed)
    if options.sides != "source":
        target = _resplit(target, tokenizers.target, options.alpha, seed + 1)
    return source, target


def _resplit(ids: Ragged, tokenizer: Tokenizer, alpha: float, seed: int) -> Ragged:
    from seq2seq.data.arrow import Ragged

    return Ragged(*tokenizer.resplit(ids.values, ids.offsets, alpha, seed))


def prefetched(items: Iterator[Item], name: str) -> Generator[Item]:
    """Prefetches an iterator's next item in a thread of that name."""
    thread = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        upcoming = thread.submit(_next_of, items)
        while present := upcoming.result():
            upcoming = thread.submit(_next_of, items)
            yield present[0]
    finally:  # who wants no more does not wait for what nobody will use
        thread.shutdown(wait=False, cancel_futures=True)


def _next_of(items: Iterator[Item]) -> list[Item]:
    """The next item, or nothing: a future cannot carry StopIteration."""
    for item in items:
        return [item]
    return []
