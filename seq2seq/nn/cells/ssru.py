"""The simpler simple recurrent unit."""

from __future__ import annotations

import torch
from torch import Tensor

from seq2seq.nn.cells.base import State
from seq2seq.nn.cells.scanned import ScannedCell


class SsruCell(ScannedCell):
    """Simpler simple recurrent unit (Kim et al. 2019), made for decoders that are fast on a CPU.

    f = sigmoid(W_f x + b_f), c' = f * c + (1 - f) * (W x), h' = ReLU(c'); W x has a bias here too.
    """

    gates = 2
    parts = 2
    unread_parts = 1

    def terms(self, projected_BTG: Tensor) -> tuple[Tensor, Tensor]:
        forget, new = projected_BTG.chunk(2, dim=-1)
        keep = torch.sigmoid(forget)
        return keep, torch.addcmul(new, keep, new, value=-1.0)

    def output(self, projected_BTG: Tensor, memory_BTH: Tensor) -> Tensor:
        return torch.relu(memory_BTH)

    def gate_values(self, projected_BG: Tensor, state: State) -> dict[str, Tensor]:
        """``forget``; what it does not keep is written."""
        return {"forget": torch.sigmoid(projected_BG.chunk(2, dim=-1)[0])}
