"""The minimal gated unit."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from seq2seq.nn.cells.base import GatedCell, State


class MguCell(GatedCell):
    """Minimal gated unit (Zhou et al. 2016): a GRU with one gate in the place of two.

    f = sigmoid(W_f x + U_f h), n = tanh(W_n x + U_n (f * h)), h' = (1 - f) * h + f * n;
    each product with its bias.
    """

    gates = 2
    bound = 1.0

    def step(self, projected_BG: Tensor, state: State) -> State:
        (hidden,) = state
        forget = self._forget(projected_BG, hidden)
        new_x, new_w, new_b = (
            one.chunk(2, dim)[1]
            for one, dim in ((projected_BG, -1), (self.weight_hh, 0), (self.bias_hh, 0))
        )
        new = torch.tanh(new_x + functional.linear(forget * hidden, new_w, new_b))
        return (hidden + forget * (new - hidden),)

    def gate_values(self, projected_BG: Tensor, state: State) -> dict[str, Tensor]:
        """``forget``, in the paper's sense: the share of the old state that is written over."""
        return {"forget": self._forget(projected_BG, state[0])}

    def _forget(self, projected_BG: Tensor, hidden_BH: Tensor) -> Tensor:
        size = self.hidden_size
        recurrent = functional.linear(hidden_BH, self.weight_hh[:size], self.bias_hh[:size])
        return torch.sigmoid(projected_BG[..., :size] + recurrent)
