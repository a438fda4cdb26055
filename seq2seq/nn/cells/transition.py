"""The deep transition GRU."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from seq2seq.nn.cells.base import State
from seq2seq.nn.cells.gru import GruCell, gru
from seq2seq.nn.initialization import recurrent_
from seq2seq.recipe.base import Section


class TransitionCell(GruCell):
    """A step of several GRUs, one after the other (Pascanu et al. 2014; Miceli Barone et al. 2017).

    The first reads the input and the state, each other one only the state that the one before it
    has made: it has no input weights, but both biases. The last one's state is the output, and what
    the next step begins from. Such a step is as deep as so many layers, with gradients as through
    one: the layers of a stack can be combined with it ("BiDeep").
    """

    class Options(Section):
        """How many GRUs a step has; Miceli Barone et al. take 4, and 2 to 8 in a decoder."""

        depth: Annotated[int, Field(ge=2, le=64)] = 4

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__(input_size, hidden_size, options)
        more, rows = self.options.depth - 1, self.gates * hidden_size
        self.weight_hh_deep = nn.Parameter(torch.empty(more, rows, hidden_size))
        self.bias_ih_deep = nn.Parameter(torch.zeros(more, rows))
        self.bias_hh_deep = nn.Parameter(torch.zeros(more, rows))

    def reset_parameters(self, rule: str) -> None:
        """As for every gated cell, each GRU's recurrent weights by themselves."""
        super().reset_parameters(rule)
        for weight in self.weight_hh_deep:
            recurrent_(weight, rule, self.gates)
        self.bias_ih_deep.zero_()
        self.bias_hh_deep.zero_()

    def step(self, projected_BG: Tensor, state: State) -> State:
        (hidden,) = state
        hidden = gru(projected_BG, self.recur(hidden), hidden)
        deep = zip(self.weight_hh_deep, self.bias_ih_deep, self.bias_hh_deep, strict=True)
        for weight, inner, outer in deep:
            hidden = gru(inner, functional.linear(hidden, weight, outer), hidden)
        return (hidden,)

    def gate_values(self, projected_BG: Tensor, state: State) -> dict[str, Tensor]:
        """The first GRU's, which alone sees the input."""
        return super().gate_values(projected_BG, state)

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        return self.stepwise(x_BTE, state, lengths_B)
