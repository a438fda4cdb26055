"""Cells against what others have written: ONNX's operators, and the papers' formulas in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper
from onnx.reference import ReferenceEvaluator
from support.models import random_cell, random_tensor, variant_name

from seq2seq.nn.cells import Cell

Array = NDArray[np.float64]
Weights = dict[str, Array]
STEPS, ROWS, INPUTS, SIZE = 7, 2, 3, 4


def sigmoid(x: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-x))


def normalized(x: Array) -> Array:
    """Each row with mean 0 and variance 1; Ba et al. 2016, equation 4, and torch's epsilon."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return np.asarray(centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5))


def tensors(cell: Cell) -> Weights:
    return {name: one.detach().numpy() for name, one in cell.state_dict().items()}


def gate(w: Weights, number: int, x: Array, h: Array) -> Array:
    """W h + U x + b of a gate, by its place."""
    rows = slice(number * SIZE, (number + 1) * SIZE)
    of_x = x @ w["weight_ih"][rows].T + w["bias_ih"][rows]
    return np.asarray(of_x + h @ w["weight_hh"][rows].T + w["bias_hh"][rows])


def given(w: Weights, number: int, x: Array) -> Array:
    """W x + b of a gate that reads the input alone."""
    rows = slice(number * SIZE, (number + 1) * SIZE)
    return np.asarray(x @ w["weight_ih"][rows].T + w["bias_ih"][rows])


Parts = tuple[Array, ...]
Found = tuple[Parts, dict[str, Array]]


def rnn(w: Weights, x: Array, state: Parts) -> Found:
    return (sigmoid(gate(w, 0, x, state[0])),), {}


def mgu(w: Weights, x: Array, state: Parts) -> Found:
    (h,) = state
    f = sigmoid(gate(w, 0, x, h))
    new = np.tanh(gate(w, 1, x, f * h))
    return ((1 - f) * h + f * new,), {"forget": f}


def transition(w: Weights, x: Array, state: Parts) -> Found:
    """GRUs as torch writes them, all but the first without an input (Miceli Barone et al. 2017)."""
    (h,) = state
    first = {"weight_hh": w["weight_hh"], "bias_ih": w["bias_ih"], "bias_hh": w["bias_hh"]}
    deep = [{name: w[f"{name}_deep"][k] for name in first} for k in range(2)]
    shut = {}
    for k, one in enumerate([first, *deep]):
        of_x = one["bias_ih"] + (x @ w["weight_ih"].T if k == 0 else 0.0)
        (r_x, z_x, n_x), of_h = np.split(of_x, 3, -1), h @ one["weight_hh"].T + one["bias_hh"]
        r_h, z_h, n_h = np.split(of_h, 3, -1)
        r, z = sigmoid(r_x + r_h), sigmoid(z_x + z_h)
        h = (1 - z) * np.tanh(n_x + r * n_h) + z * h
        shut = shut or {"reset": r, "update": z}
    return (h,), shut


def sru(w: Weights, x: Array, state: Parts) -> Found:
    f, r = sigmoid(given(w, 0, x)), sigmoid(given(w, 1, x))
    c = f * state[1] + (1 - f) * given(w, 2, x)
    return (r * c + (1 - r) * given(w, 3, x), c), {"forget": f, "reset": r}


def ssru(w: Weights, x: Array, state: Parts) -> Found:
    f = sigmoid(given(w, 0, x))
    c = f * state[1] + (1 - f) * given(w, 1, x)
    return (np.maximum(c, 0), c), {"forget": f}


def mingru(w: Weights, x: Array, state: Parts) -> Found:
    z = sigmoid(given(w, 0, x))
    return ((1 - z) * state[0] + z * given(w, 1, x),), {"update": z}


def minlstm(w: Weights, x: Array, state: Parts) -> Found:
    f, i = sigmoid(given(w, 0, x)), sigmoid(given(w, 1, x))
    f, i = f / (f + i), i / (f + i)
    return (f * state[0] + i * given(w, 2, x),), {"input": i, "forget": f}


def echo(w: Weights, x: Array, state: Parts) -> Found:
    new = np.tanh(given(w, 0, x) + state[0] @ w["weight_hh"].T)
    return ((1 - 0.3) * state[0] + 0.3 * new,), {}


def normed_lstm(w: Weights, x: Array, state: Parts) -> Found:
    """Ba et al. 2016, equations 20 to 22 of the supplement, with gates i, f, g, o."""
    h, c = state
    of_x = normalized(x @ w["weight_ih"].T) * w["gain_ih"] + w["bias_ih"]
    of_h = normalized(h @ w["weight_hh"].T) * w["gain_hh"] + w["bias_hh"]
    i, f, g, o = np.split(of_x + of_h, 4, axis=-1)
    i, f, o = sigmoid(i), sigmoid(f), sigmoid(o)
    c = f * c + i * np.tanh(g)
    seen = normalized(c) * w["gain_memory"] + w["bias_memory"]
    return (o * np.tanh(seen), c), {"input": i, "forget": f, "output": o}


FORMULAS: list[tuple[dict[str, Any], Callable[[Weights, Array, Parts], Found]]] = [
    ({"kind": "rnn", "activation": "sigmoid"}, rnn),
    ({"kind": "mgu"}, mgu),
    ({"kind": "transition", "depth": 3}, transition),
    ({"kind": "sru"}, sru),
    ({"kind": "ssru"}, ssru),
    ({"kind": "mingru"}, mingru),
    ({"kind": "minlstm"}, minlstm),
    ({"kind": "echo", "leak": 0.3}, echo),
    ({"kind": "lstm", "layer_norm": True}, normed_lstm),
]


@pytest.mark.parametrize(
    ("options", "formula"), FORMULAS, ids=[variant_name(one) for one, _ in FORMULAS]
)
def test_a_cell_is_its_paper_s_formula(
    options: dict[str, Any], formula: Callable[[Weights, Array, Parts], Found]
) -> None:
    cell = random_cell(options, INPUTS, SIZE)
    x_BTE = random_tensor(ROWS, STEPS, INPUTS)
    start = tuple(torch.tanh(random_tensor(ROWS, SIZE, seed=part)) for part in range(cell.parts))
    gates = cell.gate_values(cell.project(x_BTE[:, 0]), start)
    outputs, final = cell.sequence(x_BTE, start)
    state: Parts = tuple(part.numpy() for part in start)
    expected = []
    for t in range(STEPS):
        state, shut = formula(tensors(cell), x_BTE[:, t].numpy(), state)
        expected.append(state[0])
        if t == 0:
            assert [*gates] == [*shut]
            for name, one in shut.items():
                np.testing.assert_allclose(gates[name].detach(), one, rtol=0, atol=1e-12)
    np.testing.assert_allclose(outputs.detach(), np.stack(expected, 1), rtol=0, atol=1e-12)
    for ours, theirs in zip(final, state, strict=True):
        np.testing.assert_allclose(ours.detach(), theirs, rtol=0, atol=1e-12)


def operator(kind: str, inputs: dict[str, Array], **attributes: Any) -> onnx.ModelProto:
    """A model of one operator of the standard's, of the inputs that are there."""
    order = ["X", "W", "R", "B", "", "initial_h", *(["initial_c", "P"] if kind == "LSTM" else [])]
    names = [name if name in inputs else "" for name in order]
    outputs = ["Y", "Y_h", *(["Y_c"] if kind == "LSTM" else [])]
    node = helper.make_node(kind, names, outputs, hidden_size=SIZE, **attributes)
    number = helper.np_dtype_to_tensor_dtype(inputs["X"].dtype)
    graph = helper.make_graph(
        [node],
        kind,
        [helper.make_tensor_value_info(name, number, one.shape) for name, one in inputs.items()],
        [helper.make_tensor_value_info(name, number, None) for name in outputs],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)


def ordered(weight: Array, *order: int) -> Array:
    """A weight of all gates as the standard has them; below 0, one less than its place, negated."""
    gates = weight.reshape(-1, SIZE, *weight.shape[1:])
    picked = [gates[place] if place >= 0 else -gates[-1 - place] for place in order]
    return np.concatenate(picked)


def as_operator(cell: Cell, start: tuple[torch.Tensor, ...], x: torch.Tensor, *order: int) -> Any:
    """The cell's weights, inputs and state as the standard has them."""
    w = tensors(cell)
    names = ("initial_h", "initial_c")
    state = {name: part.numpy()[None] for name, part in zip(names, start, strict=False)}
    biases = [ordered(w[name], *order) for name in ("bias_ih", "bias_hh")]
    return {
        "X": x.transpose(0, 1).numpy().copy(),
        "W": ordered(w["weight_ih"], *order)[None],
        "R": ordered(w["weight_hh"], *order)[None],
        "B": np.concatenate(biases)[None],
        **state,
    }


def assert_as_operator(
    cell: Cell, kind: str, order: tuple[int, ...], peepholes: tuple[int, ...], **attributes: Any
) -> Any:
    """It gives the inputs of the operator too."""
    x_BTE = random_tensor(ROWS, STEPS, INPUTS)
    start = tuple(torch.tanh(random_tensor(ROWS, SIZE, seed=part)) for part in range(cell.parts))
    inputs = as_operator(cell, start, x_BTE, *order)
    if peepholes:
        inputs["P"] = ordered(tensors(cell)["peepholes"].ravel(), *peepholes)[None]
    model = operator(kind, inputs, **attributes)
    expected = ReferenceEvaluator(model).run(None, inputs)
    for run in (cell.sequence, cell.stepwise):
        outputs, final = run(x_BTE, start)
        found = [outputs.transpose(0, 1).unsqueeze(1), *(part[None] for part in final)]
        for ours, theirs in zip(found, expected, strict=True):
            np.testing.assert_allclose(ours.detach(), theirs, rtol=0, atol=1e-12)
    return inputs, expected


def test_peepholes_are_those_of_onnx() -> None:
    """The standard's order of gates is i, o, f, g, that of peepholes i, o, f."""
    cell = random_cell({"kind": "lstm", "peephole": True}, INPUTS, SIZE)
    assert_as_operator(cell, "LSTM", (0, 3, 1, 2), (0, 2, 1))


@pytest.mark.parametrize("peephole", [False, True])
def test_coupled_gates_are_those_of_onnx(peephole: bool) -> None:
    """1 - sigmoid(x) = sigmoid(-x): so the standard's i reads the negative of f's weights.

    That its ``input_forget`` is the same, ONNX Runtime shows: with it, f = 1 - i.
    """
    cell = random_cell({"kind": "lstm", "coupled": True, "peephole": peephole}, INPUTS, SIZE)
    peepholes = (-1, 1, 0) if peephole else ()
    inputs, expected = assert_as_operator(cell, "LSTM", (-1, 2, 0, 1), peepholes)
    blind = {name: one.astype(np.float32) for name, one in inputs.items()}
    for name in ("W", "R"):
        blind[name][:, 2 * SIZE : 3 * SIZE] = 7.0  # f's own are not read
    model = operator("LSTM", blind, input_forget=1)  # type: ignore[arg-type]
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for ours, theirs in zip(session.run(None, blind), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("reset", "linear"), [("before", 0), ("after", 1)])
def test_both_gru_are_those_of_onnx(reset: str, linear: int) -> None:
    cell = random_cell({"kind": "gru", "reset": reset}, INPUTS, SIZE)
    assert_as_operator(cell, "GRU", (1, 0, 2), (), linear_before_reset=linear)


def test_both_gru_differ() -> None:
    before, after = (
        random_cell({"kind": "gru", "reset": reset}, INPUTS, SIZE) for reset in ("before", "after")
    )
    x_NE, state = random_tensor(ROWS, INPUTS), (random_tensor(ROWS, SIZE),)
    one, other = (cell.step(cell.project(x_NE), state)[0] for cell in (before, after))
    assert (one - other).abs().max() > 0.01
