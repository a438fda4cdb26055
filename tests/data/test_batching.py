"""The order of batches and their matrices, against plain loops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ragged import ragged

from seq2seq.data import batching
from seq2seq.data.batching import BatchOrder, Bounds, Place, cut, in_length_order, sampled
from seq2seq.data.collate import collate, pad
from seq2seq.data.dataset import Ragged
from seq2seq.errors import DataError
from seq2seq.ids import BOS, EOS, PAD
from seq2seq.recipe.data import Sampling

START = Place()
Pairs = list[tuple[int, int]]  # the lengths of a corpus, a source and a target a pair


class Corpus:
    """A data set in memory: pair n has the ids 100 n, 100 n + 1, ..."""

    def __init__(self, pairs: Pairs) -> None:
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def lengths(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        assert 0 <= start < stop <= len(self)
        both = np.array(self.pairs[start:stop], dtype=np.int32).reshape(-1, 2)
        return both[:, 0], both[:, 1]

    def ids(self, indices: np.ndarray) -> tuple[Ragged, Ragged]:
        source, target = (
            ragged([range(100 * n, 100 * n + self.pairs[n][side]) for n in indices])
            for side in (0, 1)
        )
        return source, target

    def texts(self, indices: np.ndarray) -> tuple[list[str], list[str]]:
        return [f"s{n}" for n in indices], [f"t{n}" for n in indices]


def order(pairs: Pairs, bounds: Bounds, seed: int = 1) -> BatchOrder:
    corpus: Any = Corpus(pairs)
    return BatchOrder(corpus, bounds, seed)


def epochs(found: BatchOrder, count: int, place: Place = START) -> list[list[list[int]]]:
    """The batches of some epochs; an epoch ends where a place leads to the next one."""
    result: list[list[list[int]]] = []
    batches: list[list[int]] = []
    for batch, after in found.drawn(place):
        batches.append(batch.indices.tolist())
        if after.epoch > place.epoch + len(result):
            result.append(batches)
            batches = []
            if len(result) == count:
                break
    return result


def walk(found: BatchOrder, count: int, place: Place = START) -> list[tuple[list[int], Place]]:
    return [(batch.indices.tolist(), after) for batch, after in islice(found.drawn(place), count)]


def width(pair: tuple[int, int]) -> int:
    return max(pair) + 1


SIZES = {"many pools": (4, 12), "one pool": (1024, 65536)}


@pytest.fixture(autouse=True, scope="module", params=SIZES.values(), ids=SIZES)
def pools(request: pytest.FixtureRequest) -> Iterator[None]:
    """Both with blocks and pools that a small corpus fills, and with the real ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batching, "BLOCK", request.param[0])
        patch.setattr(batching, "POOL", request.param[1])
        yield


lengths = st.tuples(st.integers(0, 9), st.integers(0, 9))


@st.composite
def corpora(draw: st.DrawFn) -> tuple[Pairs, Bounds]:
    """Each block's first pair is short: no pool is without a batch."""
    pairs = draw(st.lists(lengths, min_size=1, max_size=40))
    for first in range(0, len(pairs), 4):
        pairs[first] = (min(pairs[first][0], 3), min(pairs[first][1], 3))
    bounds = Bounds(
        tokens=draw(st.integers(1, 60)),
        pairs=draw(st.none() | st.integers(1, 5)),
        pieces=draw(st.none() | st.integers(3, 9)),
    )
    return pairs, bounds


@given(corpora(), st.integers(0, 2**31 - 1))
@settings(max_examples=60, deadline=None)
def test_an_epoch_has_every_pair_that_fits_once(corpus: tuple[Pairs, Bounds], seed: int) -> None:
    pairs, bounds = corpus
    longest = 99 if bounds.pieces is None else bounds.pieces
    fitting = [n for n, pair in enumerate(pairs) if max(pair) <= longest]
    for epoch in epochs(order(pairs, bounds, seed), 3):
        assert sorted(n for batch in epoch for n in batch) == fitting


@given(corpora(), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_batches_keep_within_bounds(corpus: tuple[Pairs, Bounds], seed: int) -> None:
    pairs, bounds = corpus
    for batch in epochs(order(pairs, bounds, seed), 1)[0]:
        assert batch
        assert len(batch) <= (bounds.pairs or 99)
        if len(batch) > 1:  # a pair that alone exceeds the bound is a batch of its own
            assert len(batch) * max(width(pairs[n]) for n in batch) <= bounds.tokens


@given(corpora(), st.integers(0, 9))
@settings(max_examples=40, deadline=None)
def test_places_count_and_lead_on(corpus: tuple[Pairs, Bounds], seed: int) -> None:
    """Going on from any place gives what an uninterrupted run sees from there."""
    pairs, bounds = corpus
    found = order(pairs, bounds, seed)
    count = sum(map(len, epochs(found, 2)))
    whole = walk(found, count + 2)
    seen = 0
    before = Place()
    for number, (batch, after) in enumerate(whole):
        assert walk(order(pairs, bounds, seed), 1, before) == [(batch, after)]
        assert after > before
        seen = 0 if after.epoch > before.epoch else seen + len(batch)
        assert after.pairs == seen
        if number % 5 == 0:
            assert walk(order(pairs, bounds, seed), len(whole) - number, before) == whole[number:]
        before = after


BIG: Pairs = [(int(a), int(b)) for a, b in np.random.default_rng(3).integers(1, 12, size=(500, 2))]


def test_the_order_is_a_function_of_seed_and_epoch() -> None:
    bounds = Bounds(tokens=60)
    one, again = (epochs(order(BIG, bounds, 5), 3) for _ in range(2))
    other = epochs(order(BIG, bounds, 6), 3)
    assert one == again
    seen = [*one, *other]
    for i, epoch in enumerate(seen):
        assert all(epoch != later for later in seen[i + 1 :])
        sizes = [max(width(BIG[n]) for n in batch) for batch in epoch]
        assert sizes != sorted(sizes), "short batches come first: not shuffled"
    assert epochs(order(BIG, bounds, 5), 1, Place(epoch=2)) == [one[2]]


def test_pairs_meet_others_in_the_next_epoch() -> None:
    first, second = epochs(order(BIG, Bounds(tokens=60), 5), 2)
    together = [{frozenset(batch) for batch in epoch} for epoch in (first, second)]
    assert len(together[0] & together[1]) < len(first) / 3


def test_batches_hold_pairs_of_about_one_length() -> None:
    """Sorting within pools leaves little padding; a random order leaves 40 % of it."""
    real = sum(target + 1 for _, target in BIG)
    batches = epochs(order(BIG, Bounds(tokens=60), 5), 1)[0]
    padded = sum(len(batch) * max(BIG[n][1] + 1 for n in batch) for batch in batches)
    allowed = 1.05 if len(BIG) < batching.POOL else 1.5
    assert padded < allowed * real


@pytest.mark.parametrize("place", [Place(), Place(epoch=3)])
def test_a_corpus_of_nothing_but_long_pairs_is_an_error(place: Place) -> None:
    found = order([(3, 9), (12, 2), (9, 9)] * 11, Bounds(tokens=100, pieces=8))
    with pytest.raises(DataError) as caught:
        next(found.drawn(place))
    assert str(caught.value) == (
        "every training pair has more than 8 pieces on a side: raise training.max_pieces"
    )


def test_pools_of_long_pairs_are_passed_over() -> None:
    """Forty pairs in ten blocks, and all that fit lie in one of them."""
    pairs = [(2, 2) if 20 <= n < 24 else (20, 2) for n in range(40)]
    seen = Counter(
        n
        for batch, _ in islice(order(pairs, Bounds(tokens=3, pieces=8)).drawn(), 20)
        for n in batch.indices.tolist()
    )
    assert seen == {20: 5, 21: 5, 22: 5, 23: 5}


# -- cutting, validation order ---------------------------------------------------------------


def cut_by_loop(widths: list[int], bounds: Bounds) -> list[tuple[int, int]]:
    found = []
    begin = 0
    while begin < len(widths):
        end = begin + 1
        while (
            end < len(widths)
            and (end + 1 - begin) * max(widths[begin : end + 1]) <= bounds.tokens
            and end - begin < (bounds.pairs or 999)
        ):
            end += 1
        found.append((begin, end))
        begin = end
    return found


@given(
    st.lists(st.integers(1, 12), max_size=30),
    st.integers(1, 50),
    st.none() | st.integers(1, 6),
)
@settings(deadline=None)
def test_cutting_is_filling_each_batch_until_it_is_full(
    widths: list[int], tokens: int, count: int | None
) -> None:
    bounds = Bounds(tokens, count)
    found = cut(np.array(widths, dtype=np.int64), bounds)
    ends = [(piece.start, min(piece.stop, len(widths))) for piece in found]
    assert ends == cut_by_loop(widths, bounds)


@given(st.lists(lengths, max_size=40), st.integers(1, 60))
@settings(max_examples=60, deadline=None)
def test_validation_takes_every_pair_once_in_order_of_length(pairs: Pairs, tokens: int) -> None:
    corpus: Any = Corpus(pairs)
    batches = [batch.tolist() for batch in in_length_order(corpus, Bounds(tokens))]
    flat = [n for batch in batches for n in batch]
    assert sorted(flat) == list(range(len(pairs)))
    for start in range(0, len(pairs), batching.POOL):
        pool = flat[start : start + batching.POOL]
        assert set(pool) <= set(range(start, start + batching.POOL))
        assert [pairs[n][1] for n in pool] == sorted(pairs[n][1] for n in pool)
    for batch in batches:
        most = max(width(pairs[n]) for n in batch)
        assert len(batch) == 1 or len(batch) * most <= tokens


# -- matrices -------------------------------------------------------------------------------

rows = st.lists(st.lists(st.integers(4, 2**31 - 1), max_size=6), min_size=1, max_size=6)


@given(rows)
@settings(deadline=None)
def test_ragged_rows_come_back(given_rows: list[list[int]]) -> None:
    flat = ragged(given_rows)
    assert flat.values.dtype == np.int32
    assert flat.offsets.dtype == np.int64
    assert [flat[n].tolist() for n in range(len(flat))] == given_rows


def padded(given_rows: Sequence[Sequence[int]]) -> list[list[int]]:
    longest = max(map(len, given_rows))
    return [[*row, *[PAD] * (longest - len(row))] for row in given_rows]


@given(rows)
@settings(deadline=None)
def test_padding_is_row_by_row(given_rows: list[list[int]]) -> None:
    flat = ragged(given_rows)
    assert pad(flat).tolist() == padded(given_rows)
    assert pad(flat, before=BOS).tolist() == padded([[BOS, *row] for row in given_rows])
    assert pad(flat, after=EOS).tolist() == padded([[*row, EOS] for row in given_rows])
    both = pad(flat, before=BOS, after=EOS)
    assert both.dtype == np.int64
    assert both.tolist() == padded([[BOS, *row, EOS] for row in given_rows])


@given(st.lists(st.tuples(*[st.lists(st.integers(4, 99), max_size=5)] * 2), min_size=1, max_size=5))
@settings(deadline=None)
def test_collating_is_row_by_row(pairs: list[tuple[list[int], list[int]]]) -> None:
    sources, targets = [source for source, _ in pairs], [target for _, target in pairs]
    batch = collate(ragged(sources), ragged(targets))
    assert batch.source_BS.tolist() == padded([[*row, EOS] for row in sources])
    assert batch.source_lengths_B.tolist() == [len(row) + 1 for row in sources]
    assert batch.inputs_BT.tolist() == padded([[BOS, *row] for row in targets])
    assert batch.labels_BT.tolist() == padded([[*row, EOS] for row in targets])
    longest = max(map(len, targets)) + 1
    real = [i * longest + t for i, row in enumerate(targets) for t in range(len(row) + 1)]
    assert batch.where_M.tolist() == real
    assert (batch.labels_BT.flatten()[batch.where_M] != PAD).all()


def test_no_rows_are_no_batch_but_no_crash() -> None:
    assert pad(ragged([]), after=EOS).shape == (0, 1)


@pytest.mark.parametrize("sides", ["source", "target", "both"])
def test_sampled_sides_are_split_anew(sides: Literal["source", "target", "both"]) -> None:
    calls = []

    def side(name: str) -> SimpleNamespace:
        def resplit(values: Any, offsets: Any, alpha: float, seed: int) -> tuple[Any, Any]:
            calls.append((name, alpha, seed))
            return np.append(values, seed), offsets + (offsets == offsets[-1])

        return SimpleNamespace(resplit=resplit)

    tokenizers: Any = SimpleNamespace(source=side("source"), target=side("target"))
    best = Corpus([(1, 2), (3, 1), (2, 2)]).ids(np.array([2, 0]))
    found = sampled(*best, tokenizers, Sampling(alpha=0.2, sides=sides), 7)
    for number, name in enumerate(["source", "target"]):
        split = [found[number][row].tolist() for row in range(2)]
        known = [best[number][row].tolist() for row in range(2)]
        if sides in (name, "both"):
            assert split == [known[0], [*known[1], 7 + number]]
        else:
            assert split == known
    chosen = ["source", "target"] if sides == "both" else [sides]
    assert calls == [(name, 0.2, 7 + ["source", "target"].index(name)) for name in chosen]


def test_random_streams_of_two_purposes_differ() -> None:
    """numpy pads a seed with zeros: (seed, epoch) and (seed, epoch, 0) are one and the same."""
    made: list[tuple[int, ...]] = []
    real = np.random.default_rng

    def noted(seed: tuple[int, ...]) -> np.random.Generator:
        made.append(seed)
        return real(seed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "default_rng", noted)
        next(order(BIG, Bounds(60), seed=5).drawn(Place(epoch=3)))
    assert len(made) == 2
    first = [real(seed).random(8).tolist() for seed in made]
    assert first[0] != first[1]
