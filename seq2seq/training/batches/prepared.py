"""The batches of a prepared folder: its pairs in epochs, each in an order of its own."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator

from seq2seq.data.batching import BatchOrder, IndexBatch, Ints, Place, prefetched, sampled
from seq2seq.data.dataset import PreparedData, Ragged
from seq2seq.recipe import Recipe
from seq2seq.tasks import PaddedBatch
from seq2seq.training.batches import Batches, Collate, Provenance, Share, UpdateBatches
from seq2seq.training.precision import SAMPLING, stream_seed


class PreparedBatches(Batches):
    """Batches of a prepared folder. No update spans two epochs; the seed decides the order."""

    unit = "epoch"

    def __init__(
        self, prepared: PreparedData, recipe: Recipe, collate: Collate, share: Share | None = None
    ) -> None:
        super().__init__(prepared, recipe, collate, share)
        self._train = prepared.train
        self._mixture = prepared.mixture(recipe)
        resplit = self._resplit if recipe.tokenizer.sampling else None
        self._order = BatchOrder(self._train, self._bounds, recipe.seed, self._mixture, resplit)

    def __len__(self) -> int:
        return len(self._train)

    def per_epoch(self) -> int:
        return max(1, math.ceil(self._order.per_epoch() / self._accumulate))

    def left_out(self) -> int:
        return self._order.left_out()

    def _largest(self) -> list[IndexBatch]:
        return self._order.largest()

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
            if len(batches) == self._accumulate or after.pairs == 0:
                yield self._update(batches, after)
                batches = []

    def _padded(self, batch: IndexBatch) -> PaddedBatch:
        return self._collate(*batch.ids(self._train))

    def _resplit(
        self, source: Ragged, target: Ragged, epoch: int, pool: int
    ) -> tuple[Ragged, Ragged]:
        sampling = self._recipe.tokenizer.sampling
        assert sampling is not None
        seed = stream_seed(self._recipe.seed, SAMPLING, (epoch << 24) + pool)
        return sampled(source, target, self._tokenizers, sampling, seed)
