"""Which batches a recipe asks for."""

from __future__ import annotations

import torch
import torch.distributed as dist

from seq2seq.data.dataset import PreparedData
from seq2seq.recipe import Recipe
from seq2seq.tasks import Task
from seq2seq.training.batches.base import Batches, Share
from seq2seq.training.batches.prepared import PreparedBatches
from seq2seq.training.batches.streamed import Exchange, StreamedBatches
from seq2seq.training.distributed.torch_group import TIMEOUT, all_gather_bytes


def batches_for(
    prepared: PreparedData, recipe: Recipe, task: Task, share: Share | None = None
) -> Batches:
    """Chooses where the batches of a training come from.

    Args:
        prepared: The prepared folder.
        recipe: The recipe.
        task: Says how rows become a batch.
        share: This process's part; None: all. If there are other processes, all of them call this
            at the same time.

    Returns:
        The batches.
    """
    if recipe.data.stream is None:
        return PreparedBatches(prepared, recipe, task.collate, share)
    together = share is not None and share.world > 1 and dist.is_initialized()
    return StreamedBatches(prepared, recipe, task.collate, share, exchange() if together else None)


def exchange() -> Exchange:
    """Makes a way for processes to exchange bytes that no other exchange of theirs can disturb.

    All processes of the default group call this at the same time.
    """
    group = dist.new_group(backend="gloo", timeout=TIMEOUT)
    world = dist.get_world_size()

    def everyone(own: bytes) -> list[bytes]:
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(world)]
        dist.all_gather(sizes, torch.tensor([len(own)]), group)
        return all_gather_bytes(own, [int(size) for size in sizes], group)

    return everyone
