"""The simple recurrent network (Elman 1990)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from seq2seq.nn.cells.base import GatedCell, State, fused, last_real
from seq2seq.recipe.base import Section

_ACTIVATIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid}


class RnnCell(GatedCell):
    """h' = f(U x + W h + b) with f tanh, ReLU or the logistic sigmoid."""

    class Options(Section):
        """With ReLU and ``model.recurrent_init = "identity"`` it is the IRNN of Le et al. 2015.

        ``input_std`` is the standard deviation of the input weights at first; 0: Glorot's rule.
        """

        activation: Literal["tanh", "relu", "sigmoid"] = "tanh"
        input_std: Annotated[float, Field(ge=0, le=1e6)] = 0.0

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__(input_size, hidden_size, options)
        self.activation: str = self.options.activation
        self.bound = None if self.activation == "relu" else 1.0

    def reset_parameters(self, rule: str) -> None:
        super().reset_parameters(rule)
        if self.options.input_std:
            self.weight_ih.normal_(0.0, self.options.input_std)

    def step(self, projected_BG: Tensor, state: State) -> State:
        return (_ACTIVATIONS[self.activation](projected_BG + self.recur(state[0])),)

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        run = torch.rnn_relu if self.activation == "relu" else torch.rnn_tanh
        hidden, weights = state[0].unsqueeze(0).to(x_BTE.dtype), self.weights()
        if self.activation == "sigmoid":
            hidden, weights = 2.0 * hidden - 1.0, self._as_tanh()
        outputs, _ = fused(run, x_BTE, hidden, weights, training=self.training)
        if self.activation == "sigmoid":
            outputs = (outputs + 1.0) / 2.0
        return outputs, (last_real(outputs, lengths_B),)

    def _as_tanh(self) -> list[Tensor]:
        """The weights of a tanh network whose state is 2 h - 1: torch has no fused sigmoid network.

        It is that of h, as sigmoid(x) = (1 + tanh(x / 2)) / 2.
        """
        of_x, of_h, bias_x, bias_h = self.weights()
        return [of_x / 2.0, of_h / 4.0, bias_x / 2.0, bias_h / 2.0 + of_h.sum(dim=1) / 4.0]
