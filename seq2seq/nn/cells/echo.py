"""The echo state network's reservoir."""

from __future__ import annotations

from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from seq2seq.errors import ModelError
from seq2seq.nn.cells.base import Cell, State, fused, last_real
from seq2seq.recipe.base import Section


class EchoCell(Cell):
    """A reservoir of random weights that are never learned (Jaeger 2001; leaky: 2007).

    h' = (1 - leak) * h + leak * tanh(U x + W h + b). W is sparse; what is learned is the readout.
    The weights are buffers: drawn with the seed, saved with the model, and left alone by training.
    """

    class Options(Section):
        """How strong the echo is, and how fast it fades.

        ``spectral_radius`` is the largest absolute eigenvalue of W; below 1 the first state is
        mostly forgotten in time. ``input_scale`` is the bound of the uniform input weights,
        ``bias_scale`` that of the biases (0: none, as in the paper), ``connections`` how many other
        units each unit reads, if there are so many.
        """

        spectral_radius: Annotated[float, Field(gt=0.0, le=100.0)] = 0.9
        input_scale: Annotated[float, Field(gt=0.0, le=100.0)] = 0.1
        bias_scale: Annotated[float, Field(ge=0.0, le=100.0)] = 0.1
        leak: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
        connections: Annotated[int, Field(ge=1, le=65536)] = 10

    bound = 1.0
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__(input_size, hidden_size, options)
        self.register_buffer("weight_ih", torch.zeros(hidden_size, input_size))
        self.register_buffer("weight_hh", torch.zeros(hidden_size, hidden_size))
        self.register_buffer("bias_ih", torch.zeros(hidden_size))

    def reset_parameters(self, rule: str) -> None:
        """Draws the reservoir, whose rule is its own; a ``ModelError`` if there is but one unit."""
        del rule
        if self.hidden_size < 2:
            raise ModelError(
                "the cell 'echo' needs at least 2 units a direction, as a unit reads others, and "
                f"has {self.hidden_size}: set hidden to 2 or more, with both directions to 4"
            )
        if self.weight_hh.is_meta:  # only its shape is asked for
            return
        scale, bias = self.options.input_scale, self.options.bias_scale
        self.weight_ih.uniform_(-scale, scale)
        self.bias_ih.uniform_(-bias, bias)
        self.weight_hh.copy_(self._reservoir())

    def _reservoir(self) -> Tensor:
        """W in float64, with exactly its spectral radius."""
        size = self.hidden_size
        chances = torch.rand(size, size, dtype=torch.float64).fill_diagonal_(-1.0)
        read = chances.topk(min(self.options.connections, size - 1), dim=1).indices
        drawn = torch.empty(read.shape, dtype=torch.float64).uniform_(-1.0, 1.0)
        weight = torch.zeros_like(chances).scatter_(1, read, drawn)
        factor: float = self.options.spectral_radius / spectral_radius(weight)
        return weight * factor

    def scale_inputs(self, size: int, factor: float) -> None:
        self.weight_ih[:, :size] *= factor

    def project(self, x_BTE: Tensor) -> Tensor:
        return functional.linear(x_BTE, self.weight_ih, self.bias_ih)

    def step(self, projected_BG: Tensor, state: State) -> State:
        (hidden,) = state
        new = torch.tanh(projected_BG + functional.linear(hidden, self.weight_hh))
        return (new if self.options.leak == 1.0 else hidden + self.options.leak * (new - hidden),)

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if self.options.leak != 1.0:
            return self.stepwise(x_BTE, state, lengths_B)
        hidden = state[0].unsqueeze(0).to(x_BTE.dtype)
        weights = [self.weight_ih, self.weight_hh, self.bias_ih, torch.zeros_like(self.bias_ih)]
        outputs, _ = fused(torch.rnn_tanh, x_BTE, hidden, weights, training=self.training)
        return outputs, (last_real(outputs, lengths_B),)


def spectral_radius(weight: Tensor) -> float:
    """The largest absolute eigenvalue of a square matrix."""
    return float(torch.linalg.eigvals(weight).abs().max())
