"""The minimal LSTM whose gates read the input alone."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from seq2seq.nn.cells.base import State
from seq2seq.nn.cells.scanned import ScannedCell


class MinLstmCell(ScannedCell):
    """minLSTM (Feng et al. 2024), with the gates made to sum to 1.

    f, i = sigmoid(...), h' = f / (f + i) * h + i / (f + i) * (W_h x), each product with its bias.
    As the paper first writes it, without its variant for products in logarithms: nothing bounds h.
    """

    gates = 3

    def terms(self, projected_BTG: Tensor) -> tuple[Tensor, Tensor]:
        keep, new = self._kept(projected_BTG), projected_BTG.chunk(3, dim=-1)[2]
        return keep, torch.addcmul(new, keep, new, value=-1.0)

    def gate_values(self, projected_BG: Tensor, state: State) -> dict[str, Tensor]:
        """``forget`` and ``input``, which sum to 1."""
        forget = self._kept(projected_BG)
        return {"input": 1.0 - forget, "forget": forget}

    def _kept(self, projected_BTG: Tensor) -> Tensor:
        """The share f / (f + i), also where both are too small to be told from 0."""
        forget, input_, _ = projected_BTG.chunk(3, dim=-1)
        return torch.sigmoid(functional.logsigmoid(forget) - functional.logsigmoid(input_))
