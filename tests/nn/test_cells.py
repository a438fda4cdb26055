"""The cells against torch's own modules, packed where rows are of unequal length."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from support.models import lstm_in_bfloat16, random_cell, random_tensor, variant_name
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2seq.nn.cells import Cell, GatedCell, State
from seq2seq.nn.recurrence import RecurrentStack
from seq2seq.recipe import model as recipe
from seq2seq.recipe.registry import CELLS

FUSED = [
    {"kind": "lstm"},
    {"kind": "gru"},
    {"kind": "rnn", "activation": "tanh"},
    {"kind": "rnn", "activation": "relu"},
]
every_fused = pytest.mark.parametrize("options", FUSED, ids=variant_name)


def twin(ours: Cell, options: dict[str, Any]) -> nn.RNNBase:
    """torch's module with our cell's weights."""
    make: Any = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}[options["kind"]]
    more = {"nonlinearity": options["activation"]} if "activation" in options else {}
    theirs: nn.RNNBase = make(ours.input_size, ours.hidden_size, batch_first=True, **more)
    theirs = theirs.to(ours.weight_ih.dtype)
    theirs.load_state_dict({f"{name}_l0": value for name, value in ours.state_dict().items()})
    return theirs


def run_twin(
    theirs: nn.RNNBase, x_BTE: Tensor, start: State, lengths_B: Tensor | None = None
) -> tuple[Tensor, State]:
    """torch's outputs and final state, by the packed path where there are lengths."""
    parts = tuple(part.unsqueeze(0) for part in start)
    before = parts if len(parts) > 1 else parts[0]
    if lengths_B is None:
        outputs, after = theirs(x_BTE, before)
    else:
        packed = pack_padded_sequence(x_BTE, lengths_B, batch_first=True, enforce_sorted=False)
        packed, after = theirs(packed, before)
        outputs, _ = pad_packed_sequence(packed, batch_first=True, total_length=x_BTE.shape[1])
    finals = after if isinstance(after, tuple) else (after,)
    return outputs, tuple(part[0] for part in finals)


def start_state(parts: int, batch: int, dtype: torch.dtype = torch.float64) -> State:
    return tuple(torch.tanh(random_tensor(batch, 4, seed=9 + k, dtype=dtype)) for k in range(parts))


def loss(outputs: Tensor, final: State, lengths_B: Tensor) -> Tensor:
    """A sum to which every real output and every final value adds with a weight of its own."""
    real = (torch.arange(outputs.shape[1]) < lengths_B[:, None])[..., None]
    weighed = torch.where(real, outputs * random_tensor(*outputs.shape, seed=31), 0.0).sum()
    return weighed + sum((part * random_tensor(*part.shape, seed=32)).sum() for part in final)


@every_fused
@pytest.mark.parametrize("way", ["sequence", "stepwise"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_outputs_and_states_are_those_of_torch(
    options: dict[str, Any], way: str, dtype: torch.dtype, tolerance: float
) -> None:
    ours = random_cell(options, dtype=dtype)
    x_BTE, start = random_tensor(3, 7, 3, dtype=dtype), start_state(ours.parts, 3, dtype)
    outputs, final = getattr(ours, way)(x_BTE, start)
    expected, after = run_twin(twin(ours, options), x_BTE, start)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(final, after, rtol=0, atol=tolerance)


@every_fused
@pytest.mark.parametrize("way", ["sequence", "stepwise"])
def test_every_mix_of_lengths_is_as_packed(options: dict[str, Any], way: str) -> None:
    ours = random_cell(options)
    theirs = twin(ours, options)
    x_BTE, start = random_tensor(3, 5, 3), start_state(ours.parts, 3)
    for lengths in itertools.product([1, 2, 5], repeat=3):
        lengths_B = torch.tensor(lengths)
        outputs, final = getattr(ours, way)(x_BTE, start, lengths_B)
        expected, after = run_twin(theirs, x_BTE, start, lengths_B)
        for row, length in enumerate(lengths):
            torch.testing.assert_close(
                outputs[row, :length], expected[row, :length], rtol=0, atol=1e-12
            )
        torch.testing.assert_close(final, after, rtol=0, atol=1e-12)


@every_fused
@pytest.mark.parametrize("way", ["sequence", "stepwise"])
@pytest.mark.parametrize("lengths", [(4, 4, 4), (4, 1, 3), (1, 1, 1), (2, 4, 1)])
def test_gradients_are_those_of_torch_packed(
    options: dict[str, Any], way: str, lengths: tuple[int, ...]
) -> None:
    lengths_B = torch.tensor(lengths)
    ours = random_cell(options)
    theirs = twin(ours, options)
    x_BTE = random_tensor(3, 4, 3).requires_grad_()
    start = tuple(part.requires_grad_() for part in start_state(ours.parts, 3))
    mine = torch.autograd.grad(
        loss(*getattr(ours, way)(x_BTE, start, lengths_B), lengths_B),
        [x_BTE, *start, *ours.parameters()],
    )
    expected = torch.autograd.grad(
        loss(*run_twin(theirs, x_BTE, start, lengths_B), lengths_B),
        [x_BTE, *start, *theirs.parameters()],
    )
    torch.testing.assert_close(mine, expected, rtol=0, atol=1e-11)


def test_a_relu_network_is_one() -> None:
    """Else the tests above could compare tanh with tanh."""
    ours = random_cell({"kind": "rnn", "activation": "relu"})
    outputs, _ = ours.sequence(random_tensor(3, 7, 3), start_state(1, 3))
    assert outputs.min() == 0
    assert outputs.max() > 1


@pytest.mark.parametrize("grad", [True, False])
def test_the_frozen_lstm_is_exact_in_bfloat16(grad: bool) -> None:
    """c, held over padding, is to the bit what the row gives without any padding.

    In float32 the products of a row alone are added up in another order than those of a batch.
    """
    tolerance = 0.0 if lstm_in_bfloat16() else 1e-6
    ours = random_cell({"kind": "lstm"}, 8, 8, dtype=torch.float32)
    x_BTE = random_tensor(4, 9, 8, dtype=torch.float32)
    start = ours.initial_state(4, x_BTE)
    lengths = [9, 1, 5, 3]
    with torch.set_grad_enabled(grad), torch.autocast("cpu", torch.bfloat16):
        outputs, (hidden, memory) = ours.sequence(x_BTE, start, torch.tensor(lengths))
        assert outputs.dtype == (torch.bfloat16 if lstm_in_bfloat16() else torch.float32)
        for row, length in enumerate(lengths):
            one = slice(row, row + 1)
            _, (h, c) = ours.sequence(x_BTE[one, :length], tuple(part[one] for part in start))
            torch.testing.assert_close((hidden[one], memory[one]), (h, c), rtol=0, atol=tolerance)


@pytest.mark.parametrize("lengths", [None, [9, 1, 5, 3]])
def test_where_the_processor_has_no_bfloat16_lstm_it_is_that_of_float32(
    monkeypatch: pytest.MonkeyPatch, lengths: list[int] | None
) -> None:
    """Its fused path then knows nothing of autocast, whatever type its input has."""
    monkeypatch.setattr("seq2seq.nn.cells.lstm._fused_in_bfloat16", lambda kind: False)
    ours = random_cell({"kind": "lstm"}, 8, 8, dtype=torch.float32)
    x_BTE = random_tensor(4, 9, 8, dtype=torch.bfloat16)
    start = tuple(part.bfloat16() for part in ours.initial_state(4, x_BTE))
    lengths_B = None if lengths is None else torch.tensor(lengths)
    expected = ours.sequence(x_BTE.float(), tuple(part.float() for part in start), lengths_B)
    with torch.autocast("cpu", torch.bfloat16):
        found = ours.sequence(x_BTE, start, lengths_B)
    assert torch.equal(found[0], expected[0])
    assert all(torch.equal(*pair) for pair in zip(found[1], expected[1], strict=True))
    outputs, (_, memory) = found
    (outputs.sum() + memory.sum()).backward()
    assert all(parameter.grad.any() for parameter in ours.parameters())


class MinimalGatedCell(GatedCell):
    """One gate (Zhou et al. 2016): f = sigmoid(...), n = tanh(W x + f U h), h' = h + f (n - h)."""

    gates = 2

    def step(self, projected_BG: Tensor, state: State) -> State:
        recurrent = nn.functional.linear(state[0], self.weight_hh, self.bias_hh)
        forget_x, new_x = projected_BG.chunk(2, dim=-1)
        forget_h, new_h = recurrent.chunk(2, dim=-1)
        forget = torch.sigmoid(forget_x + forget_h)
        return (state[0] + forget * (torch.tanh(new_x + forget * new_h) - state[0]),)


def by_hand(ours: Cell, x_TE: list[list[float]]) -> list[float]:
    """The last output of the minimal gated cell, number by number."""
    values = {name: parameter.tolist() for name, parameter in ours.named_parameters()}
    size = ours.hidden_size
    h = [0.0] * size

    def gate(row: int, x: list[float]) -> tuple[float, float]:
        w, u = values["weight_ih"][row], values["weight_hh"][row]
        from_x = sum(a * b for a, b in zip(w, x, strict=True)) + values["bias_ih"][row]
        from_h = sum(a * b for a, b in zip(u, h, strict=True)) + values["bias_hh"][row]
        return from_x, from_h

    for x in x_TE:
        after = []
        for j in range(size):
            f = 1.0 / (1.0 + math.exp(-sum(gate(j, x))))
            new_x, new_h = gate(size + j, x)
            after.append((1.0 - f) * h[j] + f * math.tanh(new_x + f * new_h))
        h = after
    return h


def test_a_new_cell_is_one_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS.own, "mgu_test", MinimalGatedCell)
    stack = RecurrentStack(recipe.Cell(kind="mgu_test"), 3, 4, bidirectional=True).double()
    for seed, parameter in enumerate(stack.parameters()):
        parameter.data = random_tensor(*parameter.shape, seed=seed)
    x_BTE, lengths_B = random_tensor(2, 5, 3), torch.tensor([5, 2])
    outputs, ((final,),) = stack(x_BTE, lengths_B)
    forward, backward = stack.layers[0]
    for row, length in enumerate([5, 2]):
        x_TE = x_BTE[row, :length].tolist()
        expected = by_hand(forward, x_TE) + by_hand(backward, x_TE[::-1])
        torch.testing.assert_close(final[row], torch.tensor(expected, dtype=torch.float64))
        torch.testing.assert_close(outputs[row, length - 1, :2], final[row, :2])
        torch.testing.assert_close(outputs[row, 0, 2:], final[row, 2:])
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())
