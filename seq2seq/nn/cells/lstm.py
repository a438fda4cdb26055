"""Long short-term memory."""

from __future__ import annotations

from functools import cache
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from seq2seq.nn.cells.base import GatedCell, State, fused, last_real
from seq2seq.recipe.base import Section


class LstmCell(GatedCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    i, f, o = sigmoid(...), g = tanh(...), c' = f * c + i * g, h' = o * tanh(c').
    """

    class Options(Section):
        """A forget bias of 1 lets an untrained cell remember (Jozefowicz et al. 2015)."""

        forget_bias: Annotated[float, Field(ge=-100.0, le=100.0)] = 1.0

    gates = 4
    parts = 2
    bound = 1.0

    def reset_parameters(self, rule: str) -> None:
        super().reset_parameters(rule)
        forget = slice(self.hidden_size, 2 * self.hidden_size)
        self.bias_ih[forget] = self.options.forget_bias

    def step(self, projected_BG: Tensor, state: State) -> State:
        hidden, memory = state
        total = projected_BG + self.recur(hidden)
        input_, forget, candidate, output = total.chunk(4, dim=-1)
        memory = torch.sigmoid(forget) * memory + torch.sigmoid(input_) * torch.tanh(candidate)
        return torch.sigmoid(output) * torch.tanh(memory), memory

    def gate_values(self, projected_BG: Tensor, state: State) -> dict[str, Tensor]:
        total = projected_BG + self.recur(state[0])
        input_, forget, _, output = torch.sigmoid(total).chunk(4, dim=-1)
        return {"input": input_, "forget": forget, "output": output}

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        kind, weights = x_BTE.device.type, self.weights()
        if torch.is_autocast_enabled(kind) and not _fused_in_bfloat16(kind):
            with torch.autocast(kind, enabled=False):
                exact = weights[0].dtype
                start = tuple(part.to(exact) for part in state)
                return self.sequence(x_BTE.to(exact), start, lengths_B)
        if lengths_B is not None:
            x_BTE, weights[0] = self._frozen_at_padding(x_BTE, lengths_B)
        hidden = tuple(part.unsqueeze(0).to(x_BTE.dtype) for part in state)
        outputs, _, memory = fused(torch.lstm, x_BTE, hidden, weights, training=self.training)
        return outputs, (last_real(outputs, lengths_B), memory[0])

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


@cache
def _fused_in_bfloat16(kind: str) -> bool:
    """Whether a kind of device has a fused LSTM in bfloat16.

    On a processor without AVX-512 oneDNN has none, and torch fails instead of taking another way;
    its other operations are emulated.
    """
    if kind != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return True
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
