"""Recurrent cells. To add one, write a class here under ``@cell("name")``; nothing else is needed.

Registering a cell makes it a choice in recipes (``model.encoder.cell = "name"``) and enrols it in
the conformance tests.

Shapes: B batch, T time, E input size, H hidden size, G gates x H, N rows.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

State = tuple[Tensor, ...]
"""A cell's state, each part (B, H); part 0 is the output h. A value: cells never keep one."""

CELLS: dict[str, type[Cell]] = {}


def cell(name: str) -> Callable[[type[Cell]], type[Cell]]:
    """Registers a cell class under the name that recipes use.

    Args:
        name: The name.

    Returns:
        The class decorator.
    """

    def register(cls: type[Cell]) -> type[Cell]:
        CELLS[name] = cls
        return cls

    return register


class Cell(nn.Module, ABC):
    """One recurrent layer in one direction.

    A cell splits into the half that does not depend on the state (``project``, one matrix product
    for all time steps) and the half that does (``step``). ``sequence`` runs a whole sequence; what
    is written here does it step by step and is right for every cell. Cells that torch has fused
    override it: same parameters, same numbers, less time.

    Args:
        input_size: E.
        hidden_size: H.
        options: The recipe's table for this cell (see ``seq2seq.recipe.model``).
    """

    gates: ClassVar[int] = 1
    parts: ClassVar[int] = 1  # tensors in the state

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.options = options
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.zeros(rows))
        self.bias_hh = nn.Parameter(torch.zeros(rows))

    def initial_state(self, batch: int, like: Tensor) -> State:
        """The zero state.

        Args:
            batch: B.
            like: Any tensor of the wanted device and type.

        Returns:
            ``parts`` tensors (B, H).
        """
        return tuple(like.new_zeros(batch, self.hidden_size) for _ in range(self.parts))

    def project(self, x_BTE: Tensor) -> Tensor:
        """The input half of the gates, for any number of steps at once.

        Args:
            x_BTE: Inputs, (..., E).

        Returns:
            (..., G).
        """
        return functional.linear(x_BTE, self.weight_ih, self.bias_ih)

    @abstractmethod
    def step(self, projected_BG: Tensor, state: State) -> State:
        """One time step.

        Args:
            projected_BG: What ``project`` made of this step's input, (B, G).
            state: The state before, each part (B, H).

        Returns:
            The state after; its part 0 is the output.
        """

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """Runs over a right-padded batch.

        Args:
            x_BTE: Inputs, (B, T, E).
            state: The state before the first step, each part (B, H).
            lengths_B: How many steps of each row are real, (B,); None: all.

        Returns:
            Outputs (B, T, H), of no meaning at padding, and each row's state after its last real
            step.
        """
        return self.stepwise(x_BTE, state, lengths_B)

    def stepwise(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        """``sequence`` by ``step`` alone: the slow twin that the tests hold every cell to.

        Args:
            x_BTE: As for ``sequence``.
            state: As for ``sequence``.
            lengths_B: As for ``sequence``.

        Returns:
            As for ``sequence``.
        """
        projected_BTG = self.project(x_BTE)
        outputs = []
        for t in range(x_BTE.shape[1]):
            after = self.step(projected_BTG[:, t], state)
            outputs.append(after[0])
            if lengths_B is None:
                state = after
            else:
                real_B1 = (t < lengths_B).unsqueeze(1)
                state = tuple(
                    torch.where(real_B1, new, old) for new, old in zip(after, state, strict=True)
                )
        return torch.stack(outputs, dim=1), state

    def _weights(self) -> list[Tensor]:
        return [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]


def _last_real(outputs_BTH: Tensor, lengths_B: Tensor | None) -> Tensor:
    """The outputs (B, H) at each row's last real step."""
    if lengths_B is None:
        return outputs_BTH[:, -1]
    rows = torch.arange(outputs_BTH.shape[0], device=outputs_BTH.device)
    return outputs_BTH[rows, lengths_B.to(outputs_BTH.device) - 1]


@cell("rnn")
class RnnCell(Cell):
    """h' = f(W x + U h + b) with f tanh or ReLU (Elman 1990)."""

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__(input_size, hidden_size, options)
        self.activation: str = getattr(options, "activation", "tanh")

    def step(self, projected_BG: Tensor, state: State) -> State:
        total = projected_BG + functional.linear(state[0], self.weight_hh, self.bias_hh)
        return (torch.tanh(total) if self.activation == "tanh" else torch.relu(total),)

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        run = torch.rnn_tanh if self.activation == "tanh" else torch.rnn_relu
        hidden = state[0].unsqueeze(0).to(x_BTE.dtype)
        outputs, _ = run(x_BTE, hidden, self._weights(), True, 1, 0.0, self.training, False, True)
        return outputs, (_last_real(outputs, lengths_B),)


@cell("gru")
class GruCell(Cell):
    """Gated recurrent unit (Cho et al. 2014), in the form that cuDNN and torch have.

    r = sigmoid(W_r x + U_r h), z = sigmoid(W_z x + U_z h), n = tanh(W_n x + r * (U_n h)),
    h' = (1 - z) * n + z * h; each product with its bias.
    """

    gates: ClassVar[int] = 3

    def step(self, projected_BG: Tensor, state: State) -> State:
        (hidden,) = state
        recurrent = functional.linear(hidden, self.weight_hh, self.bias_hh)
        reset_x, update_x, new_x = projected_BG.chunk(3, dim=-1)
        reset_h, update_h, new_h = recurrent.chunk(3, dim=-1)
        reset = torch.sigmoid(reset_x + reset_h)
        update = torch.sigmoid(update_x + update_h)
        new = torch.tanh(new_x + reset * new_h)
        return (new + update * (hidden - new),)

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        hidden = state[0].unsqueeze(0).to(x_BTE.dtype)
        outputs, _ = torch.gru(
            x_BTE, hidden, self._weights(), True, 1, 0.0, self.training, False, True
        )
        return outputs, (_last_real(outputs, lengths_B),)


@cell("lstm")
class LstmCell(Cell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    i, f, o = sigmoid(...), g = tanh(...), c' = f * c + i * g, h' = o * tanh(c').
    """

    gates: ClassVar[int] = 4
    parts: ClassVar[int] = 2

    def step(self, projected_BG: Tensor, state: State) -> State:
        hidden, memory = state
        total = projected_BG + functional.linear(hidden, self.weight_hh, self.bias_hh)
        enter, forget, new, leave = total.chunk(4, dim=-1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(enter) * torch.tanh(new)
        return torch.sigmoid(leave) * torch.tanh(memory), memory

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        weights = self._weights()
        if lengths_B is not None:
            x_BTE, weights[0] = self._frozen_at_padding(x_BTE, lengths_B)
        hidden = tuple(part.unsqueeze(0).to(x_BTE.dtype) for part in state)
        outputs, _, memory = torch.lstm(
            x_BTE, hidden, weights, True, 1, 0.0, self.training, False, True
        )
        return outputs, (_last_real(outputs, lengths_B), memory[0])

    def _frozen_at_padding(self, x_BTE: Tensor, lengths_B: Tensor) -> tuple[Tensor, Tensor]:
        """Holds c still over padding inside one fused call.

        A fused LSTM returns h for every step but c for the last one only, and packing the batch
        instead leaves oneDNN's fast path. So the input gets one more column, 1 at padding, whose
        weight closes the input gate and opens the forget gate for good: sigmoid is then exactly 0
        and 1, and c after the last column is c after the last real step, to the bit.
        """
        shut = 1e4
        times_T = torch.arange(x_BTE.shape[1], device=x_BTE.device)
        padding_BT1 = (times_T >= lengths_B.to(x_BTE.device).unsqueeze(1)).unsqueeze(2)
        column = torch.cat(
            [
                x_BTE.new_full((self.hidden_size, 1), -shut),
                x_BTE.new_full((self.hidden_size, 1), shut),
                x_BTE.new_zeros((2 * self.hidden_size, 1)),
            ]
        )
        flagged = torch.cat([x_BTE, padding_BT1.to(x_BTE.dtype)], dim=2)
        return flagged, torch.cat([self.weight_ih, column.to(self.weight_ih.dtype)], dim=1)
