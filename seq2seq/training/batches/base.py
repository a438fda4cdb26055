"""Which feed a recipe asks for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Protocol

import torch
import torch.distributed as dist

from seq2seq.data.batching import Ints, Place
from seq2seq.data.dataset import PreparedData
from seq2seq.recipe import Recipe
from seq2seq.tasks import PaddedBatch
from seq2seq.training.batches.prepared import Feed, Share, Work
from seq2seq.training.batches.provenance import Lines
from seq2seq.training.batches.streamed import Exchange, StreamFeed
from seq2seq.training.distributed.torch_group import TIMEOUT, all_gather_bytes


class AnyFeed(Protocol):
    """What training asks of a feed; see ``Feed``."""

    unit: str
    """What ``len`` counts the pairs of: "epoch" or "buffer"."""

    def __len__(self) -> int: ...

    def left_out(self) -> int:
        """Counts the pairs that are too long to be trained on."""

    def largest(self) -> Iterator[tuple[Ints, PaddedBatch]]:
        """The batches that need the most memory."""

    def lines(self, indices: Ints) -> Lines:
        """Tells where pairs come from."""

    def sizes(self, index: int) -> tuple[int, int]:
        """Tells how long a pair is."""

    def works(self, place: Place) -> Generator[Work]:
        """What each update learns from, without end."""


def exchange() -> Exchange:
    """Makes a way for processes to exchange bytes that no other exchange of theirs can disturb.

    Returns:
        It. All processes of the default group call this at the same time.
    """
    group = dist.new_group(backend="gloo", timeout=TIMEOUT)
    world = dist.get_world_size()

    def everyone(own: bytes) -> list[bytes]:
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(world)]
        dist.all_gather(sizes, torch.tensor([len(own)]), group)
        return all_gather_bytes(own, [int(size) for size in sizes], group)

    return everyone


def feed_for(
    prepared: PreparedData,
    recipe: Recipe,
    share: Share | None = None,
) -> AnyFeed:
    """Makes the feed of a training.

    Args:
        prepared: The prepared folder.
        recipe: The recipe.
        share: What this process learns from; None: all. If there are other processes, all of
            them make their feeds at the same time.

    Returns:
        The feed.
    """
    if recipe.data.stream is not None:
        together = share is not None and share.world > 1 and dist.is_initialized()
        return StreamFeed(prepared, recipe, share, exchange() if together else None)
    return Feed(prepared, recipe, share)
