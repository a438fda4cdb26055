"""The gated recurrent unit."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from seq2seq.nn.cells.base import GatedCell, State, fused, last_real
from seq2seq.recipe.base import Section


class GruCell(GatedCell):
    """Gated recurrent unit (Cho et al. 2014).

    r = sigmoid(W_r x + U_r h), z = sigmoid(W_z x + U_z h), n = tanh(W_n x + r * (U_n h)),
    h' = (1 - z) * n + z * h; each product with its bias.
    """

    class Options(Section):
        """Whether r multiplies U_n h ("after": cuDNN's and torch's form) or h ("before").

        U_n (r * h) is how the paper first has it; it is slower, since nothing fused computes it.
        """

        reset: Literal["after", "before"] = "after"

    gates = 3
    bound = 1.0

    def step(self, projected_BG: Tensor, state: State) -> State:
        if self.options.reset == "before":
            return self._step_reset_before(projected_BG, state)
        (hidden,) = state
        return (gru(projected_BG, self.recur(hidden), hidden),)

    def _step_reset_before(self, projected_BG: Tensor, state: State) -> State:
        (hidden,) = state
        reset, update = self.gate_values(projected_BG, state).values()
        size = 2 * self.hidden_size
        weight, bias = self.weight_hh[size:], self.bias_hh[size:]
        new = torch.tanh(projected_BG[..., size:] + functional.linear(reset * hidden, weight, bias))
        return (new + update * (hidden - new),)

    def gate_values(self, projected_BG: Tensor, state: State) -> dict[str, Tensor]:
        """``reset``, and ``update``, which is z: the share of the old state that is kept."""
        size = 2 * self.hidden_size
        recurrent = functional.linear(state[0], self.weight_hh[:size], self.bias_hh[:size])
        total = projected_BG[..., :size] + recurrent
        reset, update = torch.sigmoid(total).chunk(2, dim=-1)
        return {"reset": reset, "update": update}

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if self.options.reset == "before":
            return self.stepwise(x_BTE, state, lengths_B)
        hidden = state[0].unsqueeze(0).to(x_BTE.dtype)
        outputs, _ = fused(torch.gru, x_BTE, hidden, self.weights(), training=self.training)
        return outputs, (last_real(outputs, lengths_B),)


def gru(projected_BG: Tensor, recurrent_BG: Tensor, hidden_BH: Tensor) -> Tensor:
    """The state after a step, from the input's half of the gates, the state's, and the state."""
    reset_x, update_x, new_x = projected_BG.chunk(3, dim=-1)
    reset_h, update_h, new_h = recurrent_BG.chunk(3, dim=-1)
    reset = torch.sigmoid(reset_x + reset_h)
    update = torch.sigmoid(update_x + update_h)
    new = torch.tanh(new_x + reset * new_h)
    return new + update * (hidden_BH - new)
