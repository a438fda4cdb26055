"""A model that is a stack of cells and a linear readout, for what works with any model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from support.models import cell_options
from torch import Tensor, nn

from seq2seq.nn.recurrence import RecurrentStack


@dataclass(frozen=True)
class Series:
    """Rows of numbers to read, and one target each."""

    x_BTE: Tensor
    lengths_B: Tensor
    y_B1: Tensor

    def __len__(self) -> int:
        return len(self.y_B1)

    @property
    def targets(self) -> int:
        return len(self.y_B1)

    def halves(self) -> tuple[Series, Series]:
        middle = len(self) // 2
        first, second = slice(None, middle), slice(middle, None)
        return (
            Series(self.x_BTE[first], self.lengths_B[first], self.y_B1[first]),
            Series(self.x_BTE[second], self.lengths_B[second], self.y_B1[second]),
        )

    def to(self, device: torch.device) -> Series:
        return self


class Toy(nn.Module):
    """Reads numbers, and answers with one after the last of them."""

    def __init__(self, options: dict[str, Any], size: int = 2, hidden: int = 3, **more: Any):
        super().__init__()
        self.stack = RecurrentStack(cell_options(options), size, hidden, **more)
        self.readout = nn.Linear(hidden, 1)

    def forward(self, series: Series) -> Tensor:
        _, final = self.stack(series.x_BTE, series.lengths_B)
        answers: Tensor = self.readout(final[-1][0])
        return answers


class SquaredLoss(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, series: Series) -> tuple[Tensor, Tensor]:
        total = (self.model(series) - series.y_B1).square().sum()
        return total, total.detach()
