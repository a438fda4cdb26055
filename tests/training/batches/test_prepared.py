"""What a feed gives to one process, and to several that share it."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from support.tiny import tiny_recipe

from seq2seq.data.batching import Place
from seq2seq.data.collate import collate
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.recipe.files import load_recipe
from seq2seq.training.batches import Share, UpdateBatches
from seq2seq.training.batches.prepared import PreparedBatches

UPDATES = 40  # more than an epoch
START = Place()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, PreparedData]:
    folder = tmp_path_factory.mktemp("feed")
    prepared = prepare(tiny_recipe(folder), folder / "prepared", processes=1)
    return str(folder / "tiny.toml"), prepared


def works(
    corpus: tuple[str, PreparedData], share: Share, *assignments: str, place: Place = START
) -> list[UpdateBatches]:
    feed = PreparedBatches(corpus[1], load_recipe(corpus[0], assignments), collate, share)
    return list(islice(feed.updates(place), UPDATES))


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_shares_are_the_same_updates_dealt_out(
    corpus: tuple[str, PreparedData], world: int, accumulate: int
) -> None:
    wish = f"training.accumulate={accumulate}"
    alone = works(corpus, Share(), wish)
    ranks = [works(corpus, Share(rank, world), wish) for rank in range(world)]
    assert alone[-1].place.epoch > 0
    assert {len(work.all_indices) for work in alone} == {1: {1}, 2: {2}, 3: {3, 2}}[accumulate]
    for number, whole in enumerate(alone):
        shared = [rank[number] for rank in ranks]
        for work in shared:
            assert work.place == whole.place
            assert [one.tolist() for one in work.all_indices] == [
                one.tolist() for one in whole.all_indices
            ]
            rows = [len(one.source_lengths_B) for one in work.batches]
            assert rows == [len(one) for one in work.own_indices]
        learned = [
            pair
            for work in shared
            for one, matrices in zip(work.own_indices, work.batches, strict=True)
            for pair in one.tolist()
            if len(matrices.where_M)
        ]
        assert sorted(learned) == sorted(np.concatenate(whole.all_indices).tolist())
        assert sum(len(one.where_M) for work in shared for one in work.batches) == sum(
            len(one.where_M) for one in whole.batches
        )
        if len(whole.all_indices) % world == 0:
            own = [len(work.own_indices) for work in shared]
            assert own == [len(whole.all_indices) // world] * world


def test_shares_of_a_batch_are_about_as_long(corpus: tuple[str, PreparedData]) -> None:
    wish = "training.batch_tokens=2000"
    first, second = (
        sum(one.batches[0].source_BS.numel() for one in works(corpus, Share(rank, 2), wish))
        for rank in range(2)
    )
    assert first == pytest.approx(second, rel=0.15)


def test_a_process_without_a_pair_reads_one_and_learns_nothing(
    corpus: tuple[str, PreparedData],
) -> None:
    for work in works(corpus, Share(3, 4), "training.batch_pairs=3"):
        assert [one.tolist() for one in work.own_indices] == [work.all_indices[0][:1].tolist()]
        assert [len(one.where_M) for one in work.batches] == [0]
        assert work.batches[0].source_BS.numel() > 0


def test_shares_begin_anywhere(corpus: tuple[str, PreparedData]) -> None:
    """A run may be gone on with by another number of processes."""
    whole = works(corpus, Share())
    after = works(corpus, Share(1, 2), place=whole[4].place)
    for one, other in zip(whole[5:], after, strict=False):
        assert one.all_indices[0][1::2].tolist() == other.own_indices[0].tolist()


def test_whole_batches_are_rehearsed_where_they_are_dealt_out(
    corpus: tuple[str, PreparedData],
) -> None:
    def rows(accumulate: int) -> list[int]:
        recipe = load_recipe(corpus[0], [f"training.accumulate={accumulate}"])
        return [
            len(indices)
            for indices, _ in PreparedBatches(corpus[1], recipe, collate, Share(0, 2)).largest()
        ]

    assert rows(2) == rows(4)
    assert [(one + 1) // 2 for one in rows(2)] == rows(1)


def test_processes_draw_the_same_splits(corpus: tuple[str, PreparedData]) -> None:
    wishes = ("tokenizer.sampling={alpha=0.1}", "training.accumulate=2")
    for number, alone in enumerate(works(corpus, Share(), *wishes)):
        for rank in range(2):
            (own,) = works(corpus, Share(rank, 2), *wishes)[number].batches
            np.testing.assert_array_equal(own.source_BS, alone.batches[rank].source_BS)
            np.testing.assert_array_equal(own.labels_BT, alone.batches[rank].labels_BT)


def test_new_splits_are_sorted_by_their_own_lengths(corpus: tuple[str, PreparedData]) -> None:
    """Batches keep within their bound, which the lengths of the best splits would not tell."""
    bound = load_recipe(corpus[0]).training.batch_tokens
    wish = "tokenizer.sampling={alpha=0.1}"
    drawn = [work.batches[0] for work in works(corpus, Share(), wish)]
    rehearsed = [
        pairs
        for _, pairs in PreparedBatches(
            corpus[1], load_recipe(corpus[0], [wish]), collate
        ).largest()
    ]
    for one in [*drawn, *rehearsed]:
        rows = len(one.source_lengths_B)
        assert rows == 1 or max(one.source_BS.numel(), one.labels_BT.numel()) <= bound
    best = [work.batches[0] for work in works(corpus, Share())]
    assert sum(len(one.where_M) for one in drawn) != sum(len(one.where_M) for one in best)
