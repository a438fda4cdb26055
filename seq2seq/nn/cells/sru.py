"""The simple recurrent unit."""

from __future__ import annotations

import torch
from torch import Tensor

from seq2seq.nn.cells.base import State
from seq2seq.nn.cells.scanned import ScannedCell


class SruCell(ScannedCell):
    """Simple recurrent unit (Lei et al. 2018), with gates that read the input alone.

    f = sigmoid(W_f x + b_f), r = sigmoid(W_r x + b_r), c' = f * c + (1 - f) * (W x),
    h' = r * c' + (1 - r) * (W_s x).

    It is the paper's light recurrence without the terms v * c in its gates (so its first version,
    of 2017, had it): with them there would be no scan. The highway reads W_s x, which the paper has
    where x and h differ in size, and x itself elsewhere; W x and W_s x have a bias here too.
    """

    gates = 4
    parts = 2
    unread_parts = 1

    def terms(self, projected_BTG: Tensor) -> tuple[Tensor, Tensor]:
        forget, _, new, _ = projected_BTG.chunk(4, dim=-1)
        keep = torch.sigmoid(forget)
        return keep, torch.addcmul(new, keep, new, value=-1.0)

    def output(self, projected_BTG: Tensor, memory_BTH: Tensor) -> Tensor:
        _, reset, _, highway = projected_BTG.chunk(4, dim=-1)
        return highway + torch.sigmoid(reset) * (memory_BTH - highway)

    def gate_values(self, projected_BG: Tensor, state: State) -> dict[str, Tensor]:
        """``forget``, and ``reset``, which is r: the share of the memory in the output."""
        forget, reset, _, _ = torch.sigmoid(projected_BG).chunk(4, dim=-1)
        return {"forget": forget, "reset": reset}
