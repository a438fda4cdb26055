"""A cell with more than learned weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.nn.cells import GatedCell, State
from seq2seq.nn.initialization import recurrent_


class ReservoirCell(GatedCell):
    """An echo state network (Jaeger 2001) with learned input weights: the recurrent ones are drawn.

    They are a buffer; ``order``, of integers, and ``scale``, a parameter that is not learned, are
    there to be kept as they are.
    """

    bound = 1.0

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__(input_size, hidden_size, options)
        del self.weight_hh, self.bias_hh
        self.register_buffer("reservoir", torch.zeros(hidden_size, hidden_size))
        self.register_buffer("order", torch.arange(hidden_size))
        self.scale = nn.Parameter(torch.ones(hidden_size), requires_grad=False)

    def reset_parameters(self, rule: str) -> None:
        self.weight_ih.uniform_(-0.5, 0.5)
        self.bias_ih.zero_()
        recurrent_(self.reservoir, rule, 1)
        self.order.copy_(torch.randperm(self.hidden_size))
        self.scale.uniform_(0.5, 1.0)

    def step(self, projected_BG: Tensor, state: State) -> State:
        (hidden,) = state
        recurrent = nn.functional.linear(hidden[:, self.order], self.reservoir)
        return (self.scale * torch.tanh(projected_BG + recurrent),)
