"""Long short-term memory."""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from seq2seq.nn.cells.base import GatedCell, State, fused, last_real
from seq2seq.recipe.base import MOST, Section


class LstmCell(GatedCell):
    """Long short-term memory (Hochreiter and Schmidhuber 1997; forget gate: Gers et al. 2000).

    i, f, o = sigmoid(...), g = tanh(...), c' = f * c + i * g, h' = o * tanh(c').
    """

    class Options(Section):
        """A forget bias of 1 lets an untrained cell remember (Jozefowicz et al. 2015).

        ``peephole``: gates see the memory too, each unit its own; i and f that before the step, o
        that after it (Gers and Schmidhuber 2000). ``coupled``: i = 1 - f (Greff et al. 2017).
        ``layer_norm``: the products with x and with h, and c' in the output, are normalized (Ba et
        al. 2016). ``chrono``: biases for dependencies of up to so many steps (0: none), f's
        log(U(1, chrono - 1)) and i's its negative, in the place of the forget bias (Tallec and
        Ollivier 2018).

        With ``peephole`` or ``layer_norm`` training goes step by step: torch has no faster one.
        """

        forget_bias: Annotated[float, Field(ge=-100.0, le=100.0)] = 1.0
        chrono: Annotated[int, Field(ge=0, le=MOST)] = 0
        peephole: bool = False
        coupled: bool = False
        layer_norm: bool = False

        def _broken_rules(self) -> dict[str, bool]:
            usual = LstmCell.Options.model_fields["forget_bias"].default
            return {
                f"chrono = {self.chrono} must be at least 3, or 0 for none": 0 < self.chrono < 3,
                f"chrono = {self.chrono} draws the forget gate's biases, so that forget_bias = "
                f"{self.forget_bias} has no effect: leave one of them out": (
                    self.chrono > 0 and self.forget_bias != usual
                ),
            }

    parts = 2
    bound = 1.0

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        options = self.Options() if options is None else options
        self.gates = 3 if options.coupled else 4  # [i,] f, g, o
        super().__init__(input_size, hidden_size, options)
        if options.peephole:  # of [i,] f, o
            self.peepholes = nn.Parameter(torch.empty(self.gates - 1, hidden_size))
        if options.layer_norm:  # their biases are those that there are
            self.gain_ih = nn.Parameter(torch.empty(self.gates * hidden_size))
            self.gain_hh = nn.Parameter(torch.empty(self.gates * hidden_size))
            self.gain_memory = nn.Parameter(torch.empty(hidden_size))
            self.bias_memory = nn.Parameter(torch.empty(hidden_size))

    def reset_parameters(self, rule: str) -> None:
        """As for every gated cell; peepholes begin at zero, gains of a normalization at one."""
        super().reset_parameters(rule)
        begin = 0 if self.options.coupled else self.hidden_size
        forget = self.bias_ih[begin : begin + self.hidden_size]
        if not self.options.chrono:
            forget.fill_(self.options.forget_bias)
        else:
            forget.uniform_(1.0, self.options.chrono - 1.0).log_()
            if not self.options.coupled:
                self.bias_ih[: self.hidden_size] = -forget
        if self.options.peephole:
            self.peepholes.zero_()
        if self.options.layer_norm:
            for gain in (self.gain_ih, self.gain_hh, self.gain_memory):
                gain.fill_(1.0)
            self.bias_memory.zero_()

    def project(self, x_BTE: Tensor) -> Tensor:
        if not self.options.layer_norm:
            return super().project(x_BTE)
        return _normed(functional.linear(x_BTE, self.weight_ih), self.gain_ih, self.bias_ih)

    def recur(self, hidden_BH: Tensor) -> Tensor:
        if not self.options.layer_norm:
            return super().recur(hidden_BH)
        return _normed(functional.linear(hidden_BH, self.weight_hh), self.gain_hh, self.bias_hh)

    def step(self, projected_BG: Tensor, state: State) -> State:
        hidden, memory = state
        gates, memory = self._advance(projected_BG + self.recur(hidden), memory)
        return gates["output"] * self._shown(memory), memory

    def _shown(self, memory: Tensor) -> Tensor:
        """What the output gate lets out, or not."""
        if self.options.layer_norm:
            memory = _normed(memory, self.gain_memory, self.bias_memory)
        return torch.tanh(memory)

    def saturation(self, state: State) -> Tensor:
        """That of tanh(c), however far the output gate is open."""
        return self._shown(state[1]).abs()

    def _advance(self, total_BG: Tensor, memory: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The gates, from what they read of x and h, and the memory after the step."""
        *first, candidate, output = total_BG.chunk(self.gates, dim=-1)
        if self.options.peephole:
            pairs = zip(first, self.peepholes, strict=False)  # the last is the output's
            first = [gate + weight * memory for gate, weight in pairs]
        forget = torch.sigmoid(first[-1])
        input_ = 1.0 - forget if self.options.coupled else torch.sigmoid(first[0])
        memory = forget * memory + input_ * torch.tanh(candidate)
        if self.options.peephole:
            output = output + self.peepholes[-1] * memory
        return {"input": input_, "forget": forget, "output": torch.sigmoid(output)}, memory

    def gate_values(self, projected_BG: Tensor, state: State) -> dict[str, Tensor]:
        hidden, memory = state
        return self._advance(projected_BG + self.recur(hidden), memory)[0]

    def weights(self) -> list[Tensor]:
        """As torch's, of gates i, f, g, o; coupled, 1 - sigmoid(x) is sigmoid(-x)."""
        if not self.options.coupled:
            return super().weights()
        return [torch.cat([-one[: self.hidden_size], one]) for one in super().weights()]

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        if self.options.peephole or self.options.layer_norm:
            return self.stepwise(x_BTE, state, lengths_B)
        kind, weights = x_BTE.device.type, self.weights()
        if torch.is_autocast_enabled(kind) and not _fused_in_bfloat16(kind):
            with torch.autocast(kind, enabled=False):
                exact = weights[0].dtype
                start = tuple(part.to(exact) for part in state)
                return self.sequence(x_BTE.to(exact), start, lengths_B)
        if lengths_B is not None:
            x_BTE, weights[0] = self._frozen_at_padding(x_BTE, lengths_B, weights[0])
        hidden = tuple(part.unsqueeze(0).to(x_BTE.dtype) for part in state)
        outputs, _, memory = fused(torch.lstm, x_BTE, hidden, weights, training=self.training)
        return outputs, (last_real(outputs, lengths_B), memory[0])

    def _frozen_at_padding(
        self, x_BTE: Tensor, lengths_B: Tensor, weight: Tensor
    ) -> tuple[Tensor, Tensor]:
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
        return flagged, torch.cat([weight, column.to(weight.dtype)], dim=1)


def _normed(x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
    return functional.layer_norm(x, gain.shape, gain, bias)


@cache
def _fused_in_bfloat16(kind: str) -> bool:
    """Whether a kind of device has a fused LSTM in bfloat16.

    On a processor without AVX-512 oneDNN has none, and torch fails instead of taking another way;
    its other operations are emulated.
    """
    if kind != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return True
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
