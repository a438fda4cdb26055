"""The batches of a prepared folder: its pairs in epochs, each in an order of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from seq2seq.data.batching import BatchOrder, Bounds, IndexBatch, Ints, Place, prefetched, sampled
from seq2seq.data.dataset import PreparedData, Ragged
from seq2seq.recipe import Recipe
from seq2seq.tasks import PaddedBatch
from seq2seq.training.batches import (
    Collate,
    Provenance,
    Share,
    UpdateBatches,
    update_batches,
)
from seq2seq.training.precision import SAMPLING, mixed


class PreparedBatches:
    """The batches of a prepared folder; see ``Batches``. No update spans two epochs.

    The recipe's seed decides their order; ``share`` None: all of them.
    """

    unit = "epoch"

    def __init__(
        self,
        prepared: PreparedData,
        recipe: Recipe,
        collate: Collate,
        share: Share | None = None,
    ) -> None:
        options = recipe.training
        bounds = Bounds(options.batch_tokens, options.batch_pairs, options.max_pieces)
        self._train, self._tokenizers = prepared.train, prepared.tokenizers
        self._recipe, self._collate, self._share = recipe, collate, share or Share()
        self._mixture = prepared.mixture(recipe)
        resplit = self._resplit if recipe.tokenizer.sampling else None
        self._order = BatchOrder(prepared.train, bounds, recipe.seed, self._mixture, resplit)

    def __len__(self) -> int:
        return len(self._train)

    def left_out(self) -> int:
        return self._order.left_out()

    def largest(self) -> Iterator[tuple[Ints, PaddedBatch]]:
        for batch in self._order.largest():
            own = self._share.largest(batch, self._recipe.training.accumulate)
            yield own.indices, self._padded(own)

    def provenance(self, indices: Ints) -> Provenance:
        corpora = None if self._mixture is None else self._mixture.names(indices)
        return Provenance(self._train.lines(indices), corpora)

    def sizes(self, index: int) -> tuple[int, int]:
        source, target = self._train.lengths(index, index + 1)
        return int(source[0]), int(target[0])

    def updates(self, place: Place) -> Generator[UpdateBatches]:
        return prefetched(self._updates(place), "batches")

    def _updates(self, place: Place) -> Iterator[UpdateBatches]:
        batches: list[IndexBatch] = []
        for batch, after in self._order.drawn(place):
            batches.append(batch)
            if len(batches) == self._recipe.training.accumulate or after.pairs == 0:
                yield update_batches(batches, self._share, self._padded, after)
                batches = []

    def _padded(self, batch: IndexBatch) -> PaddedBatch:
        return self._collate(*batch.ids(self._train))

    def _resplit(
        self, source: Ragged, target: Ragged, epoch: int, pool: int
    ) -> tuple[Ragged, Ragged]:
        sampling = self._recipe.tokenizer.sampling
        assert sampling is not None
        seed = mixed(self._recipe.seed, SAMPLING, (epoch << 24) + pool)
        return sampled(source, target, self._tokenizers, sampling, seed)
