"""The gated recurrent unit."""

from __future__ import annotations

import torch
from torch import Tensor

from seq2seq.nn.cells.base import GatedCell, State, fused, last_real


class GruCell(GatedCell):
    """Gated recurrent unit (Cho et al. 2014), in the form that cuDNN and torch have.

    r = sigmoid(W_r x + U_r h), z = sigmoid(W_z x + U_z h), n = tanh(W_n x + r * (U_n h)),
    h' = (1 - z) * n + z * h; each product with its bias.
    """

    gates = 3
    bound = 1.0

    def step(self, projected_BG: Tensor, state: State) -> State:
        (hidden,) = state
        recurrent = self.recur(hidden)
        reset_x, update_x, new_x = projected_BG.chunk(3, dim=-1)
        reset_h, update_h, new_h = recurrent.chunk(3, dim=-1)
        reset = torch.sigmoid(reset_x + reset_h)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + reset * new_h)
        return (new + update * (hidden - new),)

    def gate_values(self, projected_BG: Tensor, state: State) -> dict[str, Tensor]:
        """``reset`` and ``update``, which is z: the share of the old state that is kept."""
        size = 2 * self.hidden_size
        total = projected_BG[..., :size] + self.recur(state[0])[..., :size]
        reset, update = torch.sigmoid(total).chunk(2, dim=-1)
        return {"reset": reset, "update": update}

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        hidden = state[0].unsqueeze(0).to(x_BTE.dtype)
        outputs, _ = fused(torch.gru, x_BTE, hidden, self.weights(), training=self.training)
        return outputs, (last_real(outputs, lengths_B),)
