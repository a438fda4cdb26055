"""What training eats: the batches of each update, as matrices, in a fixed order.

A feed is a function of (seed, place): the same place gives the same batches, whatever was read
before. The next update's are made in a thread while the present one's are learned from.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from seq2seq.data.batching import BatchOrder, Bounds, Ints, PaddedPairs, Place, collate, sampled
from seq2seq.data.dataset import PreparedData
from seq2seq.recipe import Recipe
from seq2seq.training.seeds import SAMPLING, mixed


@dataclass(frozen=True)
class Work:
    """What one update learns from.

    Attributes:
        batches: The indices (B,) of each batch's pairs.
        pairs: The batches as matrices.
        place: The place after them.
    """

    batches: list[Ints]
    pairs: list[PaddedPairs]
    place: Place


class Feed:
    """The feed of a prepared folder.

    Args:
        prepared: The folder.
        recipe: Its seed decides the order.
    """

    def __init__(self, prepared: PreparedData, recipe: Recipe) -> None:
        options = recipe.training
        bounds = Bounds(options.batch_tokens, options.batch_pairs, options.max_pieces)
        self._train, self._tokenizers = prepared.train, prepared.tokenizers
        self._recipe = recipe
        self._order = BatchOrder(prepared.train, bounds, recipe.seed)

    def __len__(self) -> int:
        """Pairs of an epoch, those that are left out counted."""
        return len(self._train)

    def left_out(self) -> int:
        """Counts the pairs that are too long to be trained on.

        Returns:
            How many.
        """
        return self._order.left_out()

    def largest(self) -> Iterator[tuple[Ints, PaddedPairs]]:
        """The batches that need the most memory.

        Yields:
            Indices and matrices.
        """
        for indices in self._order.largest():
            yield indices, self._padded(indices, 0)

    def lines(self, indices: Ints) -> Ints:
        """Tells where pairs come from.

        Args:
            indices: Which pairs.

        Returns:
            Their line numbers in the training text, from 1.
        """
        return self._train.lines(indices)

    def sizes(self, index: int) -> tuple[int, int]:
        """Tells how long a pair is.

        Args:
            index: Which.

        Returns:
            Its source's pieces and its target's.
        """
        source, target = self._train.lengths(index, index + 1)
        return int(source[0]), int(target[0])

    def works(self, place: Place, update: int) -> Generator[Work]:
        """What each update learns from, without end; no update spans two epochs.

        Args:
            place: Where to begin.
            update: How many updates came before: new splits are drawn for each.

        Yields:
            The work, made ahead by one.
        """
        works = self._works(place, update)
        thread = ThreadPoolExecutor(1, thread_name_prefix="feed")
        try:
            ahead = thread.submit(next, works)
            while True:
                work = ahead.result()
                ahead = thread.submit(next, works)
                yield work
        finally:  # who ends training does not wait for what nobody will learn from
            thread.shutdown(wait=False, cancel_futures=True)

    def _works(self, place: Place, update: int) -> Iterator[Work]:
        batches: list[Ints] = []
        for indices, after in self._order.batches(place):
            batches.append(indices)
            if len(batches) == self._recipe.training.accumulate or after.pairs == 0:
                first = update * self._recipe.training.accumulate
                pairs = [self._padded(one, first + part) for part, one in enumerate(batches)]
                yield Work(batches, pairs, after)
                batches, update = [], update + 1

    def _padded(self, indices: Ints, number: int) -> PaddedPairs:
        sampling = self._recipe.tokenizer.sampling
        ids = self._train.ids(indices)
        if sampling is not None:
            seed = mixed(self._recipe.seed, SAMPLING, number)
            ids = sampled(*ids, self._tokenizers, sampling, seed)
        return collate(*ids)
