"""Batches as matrices: rows of unequal length, padded.

Shapes: B pairs of a batch, S source length, T target length, M target tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from seq2seq.data.arrow import Ragged
from seq2seq.ids import BOS, EOS, PAD

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class PaddedPairs:
    """A batch as matrices, right-padded with PAD.

    Attributes:
        source_BS: Source ids and EOS.
        source_lengths_B: Real tokens of each row of ``source_BS``.
        inputs_BT: BOS and target ids.
        labels_BT: Target ids and EOS.
        where_M: Flat indices into (B x T) of the real labels.
    """

    source_BS: Ints
    source_lengths_B: Ints
    inputs_BT: Ints
    labels_BT: Ints
    where_M: Ints

    def __len__(self) -> int:
        return len(self.source_lengths_B)

    @property
    def targets(self) -> int:
        """Target tokens to be predicted, EOS counted: what sums over them are divided by."""
        return len(self.where_M)

    @property
    def width(self) -> int:
        """Tokens of the longest row of either side, BOS or EOS counted."""
        return int(max(self.source_BS.shape[1], self.labels_BT.shape[1]))

    @property
    def tokens(self) -> int:
        """Real tokens of both sides."""
        return int(self.source_lengths_B.sum()) + len(self.where_M)

    @property
    def cells(self) -> int:
        """Places in the matrices of both sides, padding counted."""
        return self.source_BS.size + self.labels_BT.size

    def halves(self) -> tuple[PaddedPairs, PaddedPairs]:
        """Cuts a batch of two pairs or more in two, each as if it had been made alone."""
        rows, width = self.inputs_BT.shape
        targets = np.bincount(self.where_M // width, minlength=rows)

        def part(begin: int, end: int) -> PaddedPairs:
            source, target = (int(n[begin:end].max()) for n in (self.source_lengths_B, targets))
            return PaddedPairs(
                source_BS=self.source_BS[begin:end, :source],
                source_lengths_B=self.source_lengths_B[begin:end],
                inputs_BT=self.inputs_BT[begin:end, :target],
                labels_BT=self.labels_BT[begin:end, :target],
                where_M=np.flatnonzero(np.arange(target) < targets[begin:end, None]),
            )

        return part(0, rows // 2), part(rows // 2, rows)

    def without_targets(self) -> PaddedPairs:
        """The same pairs with no label that counts: a loss and gradients of zero."""
        return replace(self, where_M=self.where_M[:0])


def pad(rows: Ragged, *, before: int | None = None, after: int | None = None) -> Ints:
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


def collate(source: Ragged, target: Ragged) -> PaddedPairs:
    """Turns the source and target ids of B pairs into the matrices that a model takes."""
    inputs = pad(target, before=BOS)
    real = np.arange(inputs.shape[1]) <= np.diff(target.offsets)[:, None]
    return PaddedPairs(
        source_BS=pad(source, after=EOS),
        source_lengths_B=np.diff(source.offsets) + 1,
        inputs_BT=inputs,
        labels_BT=pad(target, after=EOS),
        where_M=np.flatnonzero(real),
    )
