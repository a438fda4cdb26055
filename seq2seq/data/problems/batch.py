"""Sequences of a problem as tensors.

Shapes: B sequences, T steps, E inputs, C steps that count, K outputs, M = B x C targets.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from seq2seq.data.problems import Sequences


@dataclass(frozen=True)
class ProblemBatch:
    """Sequences that go through a model together; see ``tasks.PaddedBatch``.

    The steps that count are the last C ones, and all sequences are of one length.
    """

    inputs_BTE: Tensor
    targets_BC: Tensor  # numbers (B, C, K) or classes (B, C)

    @classmethod
    def of(cls, drawn: Sequences) -> ProblemBatch:
        """Takes what a problem has drawn."""
        return cls(torch.from_numpy(drawn.inputs_BTE), torch.from_numpy(drawn.targets))

    def __len__(self) -> int:
        return len(self.inputs_BTE)

    @property
    def targets(self) -> int:
        """M: the steps that count, of all sequences."""
        return self.targets_BC.shape[0] * self.targets_BC.shape[1]

    @property
    def width(self) -> int:
        """T."""
        return self.inputs_BTE.shape[1]

    @property
    def tokens(self) -> int:
        """Steps of all sequences."""
        return len(self) * self.width

    @property
    def cells(self) -> int:
        """The same: nothing is padded."""
        return self.tokens

    def labels(self) -> Tensor:
        """The targets (M, K), or classes (M,)."""
        return self.targets_BC.flatten(0, 1)

    def to(self, device: torch.device) -> ProblemBatch:
        """Moves all tensors to a device."""
        return ProblemBatch(self.inputs_BTE.to(device), self.targets_BC.to(device))

    def halves(self) -> tuple[ProblemBatch, ProblemBatch]:
        """Cuts a batch of two sequences or more in two."""
        half = len(self) // 2
        return (
            ProblemBatch(self.inputs_BTE[:half], self.targets_BC[:half]),
            ProblemBatch(self.inputs_BTE[half:], self.targets_BC[half:]),
        )

    def without_targets(self) -> ProblemBatch:
        """The same sequences with no step that counts: a loss and gradients of zero."""
        return replace(self, targets_BC=self.targets_BC[:, :0])
