"""The batches of a prepared folder: its pairs in epochs, each in an order of its own."""

from __future__ import annotations

from collections.abc import Generator, Iterator

from seq2seq.data.batching import Batch, BatchOrder, Bounds, Ints, Place, prefetched, sampled
from seq2seq.data.dataset import PreparedData, Ragged
from seq2seq.recipe import Recipe
from seq2seq.tasks import PaddedBatch
from seq2seq.training.batches.base import (
    Collate,
    Provenance,
    Share,
    UpdateBatches,
    update_batches,
)
from seq2seq.training.seeds import SAMPLING, mixed


class PreparedBatches:
    """The batches of a prepared folder; see ``Batches``. No update spans two epochs.

    Args:
        prepared: The folder.
        recipe: Its seed decides the order.
        collate: Makes a batch of ids.
        share: This process's part; None: all.
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
        """Pairs of an epoch, those that are left out counted."""
        return len(self._train)

    def left_out(self) -> int:
        """Counts the pairs that are too long to be trained on."""
        return self._order.left_out()

    def largest(self) -> Iterator[tuple[Ints, PaddedBatch]]:
        """This process's part of the batches that need the most memory, with their indices."""
        for batch in self._order.largest():
            own = self._share.largest(batch, self._recipe.training.accumulate)
            yield own.indices, self._padded(own)

    def provenance(self, indices: Ints) -> Provenance:
        """Tells where pairs come from."""
        corpora = None if self._mixture is None else self._mixture.names(indices)
        return Provenance(self._train.lines(indices), corpora)

    def sizes(self, index: int) -> tuple[int, int]:
        """Counts the pieces of a pair's source and target."""
        source, target = self._train.lengths(index, index + 1)
        return int(source[0]), int(target[0])

    def updates(self, place: Place) -> Generator[UpdateBatches]:
        """The batches of each update from a place on, without end, prefetched in a thread."""
        return prefetched(self._updates(place), "batches")

    def _updates(self, place: Place) -> Iterator[UpdateBatches]:
        batches: list[Batch] = []
        for batch, after in self._order.drawn(place):
            batches.append(batch)
            if len(batches) == self._recipe.training.accumulate or after.pairs == 0:
                yield update_batches(batches, self._share, self._padded, after)
                batches = []

    def _padded(self, batch: Batch) -> PaddedBatch:
        return self._collate(*batch.ids(self._train))

    def _resplit(
        self, source: Ragged, target: Ragged, epoch: int, pool: int
    ) -> tuple[Ragged, Ragged]:
        sampling = self._recipe.tokenizer.sampling
        assert sampling is not None
        seed = mixed(self._recipe.seed, SAMPLING, (epoch << 24) + pool)
        return sampled(source, target, self._tokenizers, sampling, seed)
