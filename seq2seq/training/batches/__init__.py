"""Batches: what each update of a training learns from."""

from __future__ import annotations

import torch.distributed as dist

from seq2seq.data.dataset import PreparedData
from seq2seq.recipe import Recipe
from seq2seq.tasks import Task
from seq2seq.training.batches.base import Batches, Share
from seq2seq.training.batches.prepared import PreparedBatches
from seq2seq.training.batches.streamed import StreamedBatches, exchange


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
