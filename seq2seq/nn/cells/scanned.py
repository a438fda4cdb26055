"""What cells share whose gates read the input alone: their state is a linear recurrence.

Shapes as in :mod:`.base`.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from seq2seq.nn.cells.base import Cell, State, last_real
from seq2seq.nn.initialization import glorot_
from seq2seq.nn.scan import linear_scan


class ScannedCell(Cell):
    """A cell with a memory c' = keep * c + write, where keep and write know nothing of the state.

    So training needs no steps: gates come from one product over the whole sequence, the memory from
    a parallel scan. The matrices of all gates stand above each other in ``weight_ih`` (gates x H,
    E), with a bias. With ``parts = 2`` the state is the output and the memory, of which a step
    reads the memory only; with one part the memory is the output.
    """

    gates: ClassVar[int]
    twice_fast = True  # the scan has all derivatives

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__(input_size, hidden_size, options)
        self.weight_ih = nn.Parameter(torch.empty(self.gates * hidden_size, input_size))
        self.bias_ih = nn.Parameter(torch.zeros(self.gates * hidden_size))

    def reset_parameters(self, rule: str) -> None:
        """Weights after Glorot and Bengio, biases zero; there is no recurrent matrix to draw."""
        del rule
        glorot_(self.weight_ih, self.gates)
        self.bias_ih.zero_()

    def scale_inputs(self, size: int, factor: float) -> None:
        self.weight_ih[:, :size] *= factor

    def project(self, x_BTE: Tensor) -> Tensor:
        return functional.linear(x_BTE, self.weight_ih, self.bias_ih)

    @abstractmethod
    def terms(self, projected_BTG: Tensor) -> tuple[Tensor, Tensor]:
        """What is kept of the memory (its share) and what is written to it, for any steps."""

    def output(self, projected_BTG: Tensor, memory_BTH: Tensor) -> Tensor:
        """What is given out of each memory; the memory itself, if a cell does not say otherwise."""
        del projected_BTG
        return memory_BTH

    def step(self, projected_BG: Tensor, state: State) -> State:
        keep, write = self.terms(projected_BG)
        memory = keep * state[-1] + write
        return (self.output(projected_BG, memory), memory)[: self.parts]

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        projected_BTG = self.project(x_BTE)
        memory_BTH = linear_scan(*self.terms(projected_BTG), state[-1])
        outputs_BTH = self.output(projected_BTG, memory_BTH)
        # Padding stands at the end, and the memory of a step knows only of the steps before it.
        every = (outputs_BTH, memory_BTH)[: self.parts]
        return outputs_BTH, tuple(last_real(part, lengths_B) for part in every)
