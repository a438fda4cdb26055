"""The processes of a training, as one of them sees them, in torch.distributed's words.

``torchrun`` starts the processes and tells each its rank; without it there is a group of one, so
that nobody need ask which it is: ``torch_group.py`` has the group of several.

Every process goes through the same updates and takes the same decisions, from figures that all
have. Rank 0 alone reads and writes the run's folder, and speaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seq2seq.training.batches import Exchange, Share
from seq2seq.training.run.checkpoint import Checkpoint
from seq2seq.training.signals import StopRequest, stop_on_signals


class ProcessGroup:
    """A process that trains alone, and the interface of a group of several."""

    rank, world_size = 0, 1

    def __init__(self) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.stop = StopRequest()

    @property
    def share(self) -> Share:
        """This process's part of each update's pairs."""
        return Share(self.rank, self.world_size)

    def all_gather(self, values: Sequence[float]) -> NDArray[np.float64]:
        """Gathers N numbers of every process: (world size, N), the same in each."""
        return np.array([values], dtype=np.float64)

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replaces tensors by their sums over all processes."""

    def all_gather_text(self, text: str) -> list[str]:
        """Gathers a text of every process, by rank."""
        return [text]

    def broadcast(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """Hands rank 0's checkpoint to all processes; what the others pass is ignored."""
        return checkpoint

    def broadcast_bytes(self, content: bytes) -> bytes:
        """Hands rank 0's bytes to all processes; what the others pass is ignored."""
        return content

    def exchange(self) -> Exchange | None:
        """An all-gather of bytes for use in a thread; None for a process alone.

        All processes must ask for it together.
        """
        return None

    def describe(self, threads: int) -> str:
        """One line about the group for the user; empty for a process alone."""
        return ""

    def rank_0_first(self) -> AbstractContextManager[None]:
        """A context that the others enter when rank 0 has left it, however long it takes."""
        return nullcontext()

    def data_parallel(self, module: nn.Module, *, unused_parameters: bool) -> nn.Module:
        """Wraps a module so that its gradients become the mean over all processes.

        All processes take rank 0's weights; ``unused_parameters``: some weights get no gradient.
        """
        return module

    def no_sync(self, module: nn.Module) -> AbstractContextManager[None]:
        """A context in which gradients stay in this process, and are not yet summed over all."""
        return nullcontext()

    def will_sync(self, module: nn.Module) -> bool:
        """Whether the next backward pass needs the other processes."""
        return False

    @contextmanager
    def stop_on_signals(self) -> Iterator[StopRequest]:
        """A context in which signals set ``stop``; see ``signals.stop_on_signals``."""
        with stop_on_signals(alone=self.world_size == 1) as self.stop:
            yield self.stop

    def interruptible_if_alone(self) -> AbstractContextManager[None]:
        """A context for work in which processes wait for each other.

        A signal interrupts it, by ``Interrupted``, if this process trains alone. Several finish it,
        since those that got no signal would wait for ever.
        """
        return self.stop.interruptible()

    def interruptible_together(self) -> AbstractContextManager[None]:
        """A context for work that each process does by itself: a signal to one interrupts all.

        At its end all processes raise ``Interrupted``, or none does.
        """
        return self.stop.interruptible()
