"""What training eats: the batches of each update, as matrices, in a fixed order.

A feed is a function of (seed, place): the same place gives the same batches, whatever was read
before. The next update's are made in a thread while the present one's are learned from.

Where several processes train together, each goes through the same batches in the same order, and
prepares its share of each update alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

from seq2seq.data.batching import Batch, BatchOrder, Bounds, Ints, Place, sampled
from seq2seq.data.collate import collate
from seq2seq.data.dataset import PreparedData, Ragged
from seq2seq.data.prefetch import ahead
from seq2seq.recipe import Recipe
from seq2seq.tasks import PaddedBatch
from seq2seq.training.batches.provenance import Lines
from seq2seq.training.seeds import SAMPLING, mixed


@dataclass(frozen=True)
class Share:
    """What of an update is this process's to learn from.

    Whole batches are dealt out where their number allows it, else each process takes every
    ``world``-th pair of each batch; a batch is sorted by length, so that all shares are about as
    long.

    Attributes:
        rank: This process, from 0.
        world: How many processes there are.
    """

    rank: int = 0
    world: int = 1

    def whole(self, batches: int) -> bool:
        """Whether whole batches are dealt out.

        Args:
            batches: How many the update has.

        Returns:
            Whether.
        """
        return batches % self.world == 0

    def of(self, batches: list[Batch]) -> list[Batch]:
        """Takes the share.

        Args:
            batches: The batches of the update.

        Returns:
            This process's. Where no pair is left for it, one pair that it reads and does not learn
            from: see ``Work``.
        """
        if self.whole(len(batches)):
            return batches[self.rank :: self.world]
        shares = [batch[self.rank :: self.world] for batch in batches]
        return [share for share in shares if len(share)] or [batches[0][:1]]

    def idle(self, batches: list[Batch]) -> bool:
        """Whether no pair is left for this process.

        Args:
            batches: The batches of the update.

        Returns:
            Whether; it then takes part all the same, or the others would wait for it.
        """
        return not self.whole(len(batches)) and max(map(len, batches)) <= self.rank

    def largest(self, batch: Batch, accumulate: int) -> Batch:
        """What of a batch this process meets at most.

        Args:
            batch: The batch.
            accumulate: How many an update has.

        Returns:
            All of it where whole batches are dealt out, else this process's pairs.
        """
        return batch if self.whole(accumulate) else self.of([batch])[0]


@dataclass(frozen=True)
class Work:
    """What one update learns from.

    Attributes:
        batches: The indices (B,) of each batch's pairs, those of all processes.
        own: The indices (B,) of each batch of this process's share.
        pairs: The batches of ``own`` as matrices; never none. Where no pair was left for this
            process they have no targets.
        place: The place after the update.
        notes: What ``metrics.jsonl`` is to remember of a stream here; None: nothing.
    """

    batches: list[Ints]
    own: list[Ints]
    pairs: list[PaddedBatch]
    place: Place
    notes: dict[str, Any] | None = None


def dealt(
    batches: list[Batch],
    share: Share,
    matrices: Callable[[Batch], PaddedBatch],
    after: Place,
    notes: dict[str, Any] | None = None,
) -> Work:
    """Makes a process's work of an update's batches.

    Args:
        batches: The batches.
        share: What of them is this process's.
        matrices: Makes a batch's.
        after: The place after the update.
        notes: See ``Work``.

    Returns:
        The work.
    """
    own = share.of(batches)
    pairs = [matrices(batch) for batch in own]
    if share.idle(batches):
        pairs = [one.without_targets() for one in pairs]
    indices = [one.indices for one in batches]
    return Work(indices, [one.indices for one in own], pairs, after, notes)


class Feed:
    """The feed of a prepared folder.

    Another feed has the same public methods. What the indices mean is its own affair; the loop
    hands them back to ``lines`` and ``sizes``. ``works`` gives the same batches, in the same order
    and number, for every share.

    Args:
        prepared: The folder.
        recipe: Its seed decides the order.
        share: What this process learns from; None: all.
    """

    unit = "epoch"

    def __init__(self, prepared: PreparedData, recipe: Recipe, share: Share | None = None) -> None:
        options = recipe.training
        bounds = Bounds(options.batch_tokens, options.batch_pairs, options.max_pieces)
        self._train, self._tokenizers = prepared.train, prepared.tokenizers
        self._recipe, self._share = recipe, share or Share()
        self._mixture = prepared.mixture(recipe)
        resplit = self._resplit if recipe.tokenizer.sampling else None
        self._order = BatchOrder(prepared.train, bounds, recipe.seed, self._mixture, resplit)

    def __len__(self) -> int:
        """Pairs of an epoch, those that are left out counted."""
        return len(self._train)

    def left_out(self) -> int:
        """Counts the pairs that are too long to be trained on.

        Returns:
            How many.
        """
        return self._order.left_out()

    def largest(self) -> Iterator[tuple[Ints, PaddedBatch]]:
        """The batches that need the most memory, as far as they are this process's.

        Yields:
            Indices and matrices.
        """
        for batch in self._order.largest():
            own = self._share.largest(batch, self._recipe.training.accumulate)
            yield own.indices, self._padded(own)

    def lines(self, indices: Ints) -> Lines:
        """Tells where pairs come from.

        Args:
            indices: Which pairs.

        Returns:
            Their lines in the training text.
        """
        corpora = None if self._mixture is None else self._mixture.names(indices)
        return Lines(self._train.lines(indices), corpora)

    def sizes(self, index: int) -> tuple[int, int]:
        """Tells how long a pair is.

        Args:
            index: Which.

        Returns:
            Its source's pieces and its target's.
        """
        source, target = self._train.lengths(index, index + 1)
        return int(source[0]), int(target[0])

    def works(self, place: Place) -> Generator[Work]:
        """What each update learns from, without end; no update spans two epochs.

        Args:
            place: Where to begin.

        Returns:
            The works, made ahead by one.
        """
        return ahead(self._works(place), "feed")

    def _works(self, place: Place) -> Iterator[Work]:
        batches: list[Batch] = []
        for batch, after in self._order.drawn(place):
            batches.append(batch)
            if len(batches) == self._recipe.training.accumulate or after.pairs == 0:
                yield dealt(batches, self._share, self._padded, after)
                batches = []

    def _padded(self, batch: Batch) -> PaddedBatch:
        return collate(*batch.ids(self._train))

    def _resplit(
        self, source: Ragged, target: Ragged, epoch: int, pool: int
    ) -> tuple[Ragged, Ragged]:
        sampling = self._recipe.tokenizer.sampling
        assert sampling is not None
        seed = mixed(self._recipe.seed, SAMPLING, (epoch << 24) + pool)
        return sampled(source, target, self._tokenizers, sampling, seed)
