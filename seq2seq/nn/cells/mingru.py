"""The minimal GRU whose gate reads the input alone."""

from __future__ import annotations

import torch
from torch import Tensor

from seq2seq.nn.cells.base import State
from seq2seq.nn.cells.scanned import ScannedCell


class MinGruCell(ScannedCell):
    """minGRU (Feng et al. 2024): z = sigmoid(W_z x), h' = (1 - z) * h + z * (W_h x), with biases.

    As the paper first writes it, without its variant for products in logarithms: nothing bounds h.
    """

    gates = 2

    def terms(self, projected_BTG: Tensor) -> tuple[Tensor, Tensor]:
        update, new = projected_BTG.chunk(2, dim=-1)
        share = torch.sigmoid(update)
        return 1.0 - share, share * new

    def gate_values(self, projected_BG: Tensor, state: State) -> dict[str, Tensor]:
        """``update``, which is z: here, as in the paper, the share that is written anew."""
        return {"update": torch.sigmoid(projected_BG.chunk(2, dim=-1)[0])}
