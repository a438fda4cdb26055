"""Which feed a recipe asks for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Protocol

from seq2seq.data.batching import Ints, PaddedPairs, Place
from seq2seq.data.dataset import PreparedData
from seq2seq.recipe import Recipe
from seq2seq.training.feed import Feed, Share, Work
from seq2seq.training.lines import Lines
from seq2seq.training.stream_feed import Exchange, StreamFeed


class AnyFeed(Protocol):
    """What training asks of a feed; see ``Feed``."""

    unit: str
    """What ``len`` counts the pairs of: "epoch" or "buffer"."""

    def __len__(self) -> int: ...

    def left_out(self) -> int:
        """Counts the pairs that are too long to be trained on."""

    def largest(self) -> Iterator[tuple[Ints, PaddedPairs]]:
        """The batches that need the most memory."""

    def lines(self, indices: Ints) -> Lines:
        """Tells where pairs come from."""

    def sizes(self, index: int) -> tuple[int, int]:
        """Tells how long a pair is."""

    def works(self, place: Place) -> Generator[Work]:
        """What each update learns from, without end."""


def feed_for(
    prepared: PreparedData,
    recipe: Recipe,
    share: Share | None = None,
    exchange: Exchange | None = None,
) -> AnyFeed:
    """Makes the feed of a training.

    Args:
        prepared: The prepared folder.
        recipe: The recipe.
        share: What this process learns from; None: all.
        exchange: How processes that train together share out the work on a stream; None: each
            does all of it.

    Returns:
        The feed.
    """
    if recipe.data.stream is not None:
        return StreamFeed(prepared, recipe, share, exchange)
    return Feed(prepared, recipe, share)
