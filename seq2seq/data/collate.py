"""Batches as matrices: rows of unequal length, padded.

Shapes: B pairs of a batch, S source length, T target length, M target tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seq2seq.data.arrow import Ragged
from seq2seq.ids import BOS, EOS, PAD


@dataclass(frozen=True)
class Batch:
    """Pairs as matrices, right-padded with PAD; see ``tasks.PaddedBatch``."""

    source_BS: Tensor  # source ids, each row ending with EOS
    source_lengths_B: Tensor  # real tokens of each row of ``source_BS``
    inputs_BT: Tensor  # what the decoder reads: BOS, then the target
    labels_BT: Tensor  # what it should predict: the target, then EOS
    where_M: Tensor  # flat indices into (B x T) of the real labels

    def __len__(self) -> int:
        return len(self.source_lengths_B)

    @property
    def targets(self) -> int:
        """Target tokens to be predicted, EOS counted: what sums over them are divided by."""
        return len(self.where_M)

    @property
    def width(self) -> int:
        """Tokens of the longest row of either side, BOS or EOS counted."""
        return max(self.source_BS.shape[1], self.labels_BT.shape[1])

    @property
    def tokens(self) -> int:
        """Real tokens of both sides."""
        return int(self.source_lengths_B.sum()) + len(self.where_M)

    @property
    def cells(self) -> int:
        """Places in the matrices of both sides, padding counted."""
        return self.source_BS.numel() + self.labels_BT.numel()

    def labels(self) -> Tensor:
        """The real labels (M,)."""
        return self.labels_BT.flatten()[self.where_M]

    def to(self, device: torch.device) -> Batch:
        """Moves all tensors to a device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))

    def halves(self) -> tuple[Batch, Batch]:
        """Cuts a batch of two pairs or more in two, each as if it had been made alone."""
        rows, width = self.inputs_BT.shape
        targets = torch.bincount(self.where_M // width, minlength=rows)

        def part(begin: int, end: int) -> Batch:
            source, target = (int(n[begin:end].max()) for n in (self.source_lengths_B, targets))
            real = torch.arange(target) < targets[begin:end, None]
            return Batch(
                source_BS=self.source_BS[begin:end, :source],
                source_lengths_B=self.source_lengths_B[begin:end],
                inputs_BT=self.inputs_BT[begin:end, :target],
                labels_BT=self.labels_BT[begin:end, :target],
                where_M=real.flatten().nonzero().flatten(),
            )

        return part(0, rows // 2), part(rows // 2, rows)

    def twice(self) -> Batch:
        """All pairs, and all of them again after the last."""
        first, second = self, replace(self, where_M=self.where_M + self.labels_BT.numel())
        return Batch(
            *(torch.cat([getattr(first, f.name), getattr(second, f.name)]) for f in fields(self))
        )

    def without_targets(self) -> Batch:
        """The same pairs with no label that counts: a loss and gradients of zero."""
        return replace(self, where_M=self.where_M[:0])


def pad(rows: Ragged, *, before: int | None = None, after: int | None = None) -> NDArray[np.int64]:
    """A right-padded matrix (B, longest + added), with a token added before or after each row."""
    lengths = np.diff(rows.offsets)
    shift = int(before is not None)
    width = int(lengths.max(initial=0)) + shift + int(after is not None)
    matrix = np.full((len(lengths), width), PAD, dtype=np.int64)
    columns = np.arange(len(rows.values)) - np.repeat(rows.offsets[:-1], lengths) + shift
    matrix[np.repeat(np.arange(len(lengths)), lengths), columns] = rows.values
    if before is not None:
        matrix[:, 0] = before
    if after is not None:
        matrix[np.arange(len(lengths)), lengths + shift] = after
    return matrix


def collate(source: Ragged, target: Ragged, *, backwards: bool = False) -> Batch:
    """Turns the source and target ids of B pairs into the matrices that a model takes.

    With ``backwards`` the decoder reads and predicts each target from its last piece to its first.
    """
    target = target.backwards() if backwards else target
    inputs = pad(target, before=BOS)
    real = np.arange(inputs.shape[1]) <= np.diff(target.offsets)[:, None]
    return Batch(
        source_BS=torch.from_numpy(pad(source, after=EOS)),
        source_lengths_B=torch.from_numpy(np.diff(source.offsets) + 1),
        inputs_BT=torch.from_numpy(inputs),
        labels_BT=torch.from_numpy(pad(target, after=EOS)),
        where_M=torch.from_numpy(np.flatnonzero(real)),
    )
