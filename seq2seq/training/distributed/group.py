"""The processes of a training, as one of them sees them.

``torchrun`` starts the processes and tells each its number; without it there is a team of one, so
that nobody need ask which it is: ``distributed.py`` has the team of several.

Every process goes through the same updates and takes the same decisions, from figures that all
have. The first process, rank 0, leads: it alone reads and writes the run's folder, and speaks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from seq2seq.training.batches.prepared import Share
from seq2seq.training.run.checkpoint import Checkpoint
from seq2seq.training.signals import StopRequest, stop_on_signals


class Team:
    """A process that trains alone, and what it would do among others.

    Attributes:
        rank: This process, from 0.
        world: How many there are.
        device: Where this process computes.
        stop: Whether a signal has asked training to end.
    """

    rank, world = 0, 1

    def __init__(self) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.stop = StopRequest()

    @property
    def leads(self) -> bool:
        """Whether this process reads and writes the run, and speaks."""
        return self.rank == 0

    @property
    def share(self) -> Share:
        """What of an update is this process's."""
        return Share(self.rank, self.world)

    def gather(self, values: Sequence[float]) -> NDArray[np.float64]:
        """Tells all processes some numbers of each.

        Args:
            values: This process's (N).

        Returns:
            All processes', (world, N), the same for all.
        """
        return np.array([values], dtype=np.float64)

    def texts(self, text: str) -> list[str]:
        """Tells all processes a text of each.

        Args:
            text: This process's.

        Returns:
            All processes', by rank.
        """
        return [text]

    def shared(self, checkpoint: Checkpoint | None) -> Checkpoint | None:
        """Tells all processes a checkpoint that the leader has read.

        Args:
            checkpoint: The leader's; nobody asks for the others'.

        Returns:
            The leader's.
        """
        return checkpoint

    def note(self, threads: int) -> str:
        """What to know of the team.

        Args:
            threads: The processor threads of this process.

        Returns:
            A line; empty: nothing.
        """
        return ""

    def leader_first(self) -> AbstractContextManager[None]:
        """Lets the leader through alone, and the others when it is done, however long that takes.

        Returns:
            A context.
        """
        return nullcontext()

    def joined(self, module: nn.Module, *, unused: bool) -> nn.Module:
        """A module whose gradients become the mean over all processes.

        Args:
            module: The module; all processes take the leader's weights.
            unused: Whether it has weights that get no gradient.

        Returns:
            The module to call.
        """
        return module

    def apart(self, module: nn.Module) -> AbstractContextManager[None]:
        """Lets gradients add up in this process alone.

        Args:
            module: From ``joined``.

        Returns:
            A context for passes forward and backward.
        """
        return nullcontext()

    def joins(self, module: nn.Module) -> bool:
        """Whether a pass backward now needs the other processes.

        Args:
            module: From ``joined``.

        Returns:
            Whether.
        """
        return False

    def stop_on_signals(self) -> AbstractContextManager[StopRequest]:
        """Takes signals in; see ``signals.stop_on_signals``.

        Returns:
            A context, which sets ``stop``.
        """
        return self._stop_on_signals(alone=True)

    @contextmanager
    def _stop_on_signals(self, *, alone: bool) -> Iterator[StopRequest]:
        with stop_on_signals(alone=alone) as self.stop:
            yield self.stop

    def dropped_alone(self) -> AbstractContextManager[None]:
        """Marks work that is given up where a signal comes, unless others wait for its end.

        Returns:
            A context, which raises ``Interrupted``.
        """
        return self.stop.dropping()

    def dropped_together(self) -> AbstractContextManager[None]:
        """Marks work of each process for itself, which all give up where a signal comes to one.

        Returns:
            A context, which raises ``Interrupted`` in all processes or in none.
        """
        return self.stop.dropping()
