"""The simple recurrent network (Elman 1990)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor

from seq2seq.nn.cells.base import GatedCell, State, fused, last_real
from seq2seq.recipe.base import Section


class RnnCell(GatedCell):
    """h' = f(W x + U h + b) with f tanh or ReLU."""

    class Options(Section):
        """With ReLU and identity weights it is the IRNN of Le et al. 2015."""

        activation: Literal["tanh", "relu"] = "tanh"

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__(input_size, hidden_size, options)
        self.activation: str = self.options.activation
        self.bound = 1.0 if self.activation == "tanh" else None

    def step(self, projected_BG: Tensor, state: State) -> State:
        total = projected_BG + self.recur(state[0])
        return (torch.tanh(total) if self.activation == "tanh" else torch.relu(total),)

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        run = torch.rnn_tanh if self.activation == "tanh" else torch.rnn_relu
        hidden = state[0].unsqueeze(0).to(x_BTE.dtype)
        outputs, _ = fused(run, x_BTE, hidden, self.weights(), training=self.training)
        return outputs, (last_real(outputs, lengths_B),)
