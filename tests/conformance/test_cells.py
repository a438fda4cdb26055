"""Laws that every registered cell obeys; registering a cell enrols it here.

A cell of another package, too, once it is installed. The laws are held by each cell with each of
its options: choices as they are listed, numbers moved. A cell with buffers is enrolled by the test.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.cells import ReservoirCell
from support.engines import (
    assert_same_steps,
    eight_bits_off,
    onnx_engine,
    random_engine,
    sources,
    weights_of,
)
from support.models import (
    cell_options,
    cell_variants,
    model_options,
    random_cell,
    random_tensor,
    randomize,
    variant_name,
)
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seq2seq.nn.cells import Cell, State, make_cell
from seq2seq.nn.cells.scanned import ScannedCell
from seq2seq.recipe.registry import CELLS

TORCH: dict[str, Any] = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
BUFFERED = {"kind": "reservoir"}
# Options of which each by itself does not show how they go together, or that begin as none.
TOGETHER = [
    {"kind": "lstm", "peephole": True, "coupled": True, "layer_norm": True, "chrono": 9},
    {"kind": "lstm", "chrono": 9},
    {"kind": "echo", "leak": 0.3, "connections": 2},
]

every_cell = pytest.mark.parametrize(
    "options", [*cell_variants(numbers=True), *TOGETHER, BUFFERED], ids=variant_name
)
every_arithmetic = pytest.mark.parametrize(
    "options", [*cell_variants(), *TOGETHER, BUFFERED], ids=variant_name
)
every_cell_of_torch = pytest.mark.parametrize(
    "options",
    [
        one
        for one in cell_variants()
        if one["kind"] in TORCH and not {True, "sigmoid", "before"} & {*one.values()}
    ],
    ids=variant_name,
)


@pytest.fixture(autouse=True)
def enrolled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS.own, "reservoir", ReservoirCell)


def learned(cell: Cell) -> list[nn.Parameter]:
    return [parameter for parameter in cell.parameters() if parameter.requires_grad]


def drawn(options: dict[str, Any], seed: int, rule: str = "orthogonal") -> Cell:
    """A cell as a training begins with it."""
    cell = make_cell(cell_options(options), 3, 4).double()
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        cell.reset_parameters(rule)
    return cell


def random_state(cell: Cell, batch: int, dtype: torch.dtype = torch.float64) -> State:
    """A state as a cell might have left it: bounded, and no part zero."""
    return tuple(
        torch.tanh(random_tensor(batch, 4, seed=5 + part, dtype=dtype))
        for part in range(cell.parts)
    )


def assert_states_equal(ours: State, theirs: State, tolerance: float = 1e-12) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def test_some_cells_are_registered() -> None:
    own = "rnn gru lstm mgu transition sru ssru mingru minlstm echo".split()
    assert {*own} <= {*CELLS.names()}


@every_cell
def test_shapes(options: dict[str, Any]) -> None:
    cell = random_cell(options)
    x_BTE = random_tensor(2, 5, 3)
    state = cell.initial_state(2, x_BTE)
    assert len(state) == cell.parts
    assert all(part.shape == (2, 4) and not part.any() for part in state)
    assert all(part.dtype == x_BTE.dtype for part in state)
    projected_BTG = cell.project(x_BTE)
    assert projected_BTG.shape[:2] == (2, 5)
    after = cell.step(projected_BTG[:, 0], state)
    assert [part.shape for part in after] == [(2, 4)] * cell.parts
    outputs, final = cell.sequence(x_BTE, state)
    assert outputs.shape == (2, 5, 4)
    assert [part.shape for part in final] == [(2, 4)] * cell.parts


@every_cell
def test_a_step_leaves_the_state_it_is_given_alone(options: dict[str, Any]) -> None:
    cell = random_cell(options)
    state = random_state(cell, 2)
    before = [part.clone() for part in state]
    cell.step(cell.project(random_tensor(2, 3)), state)
    cell.sequence(random_tensor(2, 3, 3), state, torch.tensor([1, 3]))
    assert all(torch.equal(*pair) for pair in zip(state, before, strict=True))


@every_cell
def test_gates_are_between_shut_and_open(options: dict[str, Any]) -> None:
    cell = random_cell(options)
    projected_BG = cell.project(random_tensor(2, 3))
    state = random_state(cell, 2)
    for gate_BH in cell.gate_values(projected_BG, state).values():
        assert gate_BH.shape == (2, 4)
        assert gate_BH.min() > 0
        assert gate_BH.max() < 1


@pytest.mark.parametrize(
    ("kind", "names"),
    [("rnn", []), ("gru", ["reset", "update"]), ("lstm", ["input", "forget", "output"])],
)
def test_a_cell_is_what_its_gates_say(kind: str, names: list[str]) -> None:
    """The new state, put together of the gates and torch's weights for what is not a gate."""
    cell = random_cell({"kind": kind})
    x_NE, state = random_tensor(2, 3), random_state(cell, 2)
    gates = cell.gate_values(cell.project(x_NE), state)
    assert [*gates] == names
    weights = dict(cell.named_parameters())
    of_x = (x_NE @ weights["weight_ih"].T + weights["bias_ih"])[:, 8:12]
    of_h = (state[0] @ weights["weight_hh"].T + weights["bias_hh"])[:, 8:12]
    if kind == "gru":
        new = torch.tanh(of_x + gates["reset"] * of_h)
        expected = gates["update"] * state[0] + (1 - gates["update"]) * new
    elif kind == "lstm":
        memory = gates["forget"] * state[1] + gates["input"] * torch.tanh(of_x + of_h)
        expected = gates["output"] * torch.tanh(memory)
    else:
        return
    after = cell.step(cell.project(x_NE), state)
    torch.testing.assert_close(after[0], expected, rtol=0, atol=1e-12)


@every_cell
def test_gradients_of_a_step_are_right(options: dict[str, Any]) -> None:
    cell = random_cell(options)
    inputs = [random_tensor(2, 3), *random_state(cell, 2)]

    def step(x_NE: Tensor, *rest: Tensor) -> State:
        return cell.step(cell.project(x_NE), rest[: cell.parts])  # reads the weights in place

    assert torch.autograd.gradcheck(
        step, [*(value.requires_grad_() for value in inputs), *learned(cell)]
    )


@every_cell
def test_a_sequence_is_its_steps(options: dict[str, Any]) -> None:
    cell = random_cell(options)
    x_BTE, start = random_tensor(3, 6, 3), random_state(cell, 3)
    state, outputs = start, []
    for t in range(6):
        state = cell.step(cell.project(x_BTE[:, t]), state)
        outputs.append(state[0])
    for run in (cell.sequence, cell.stepwise):
        ours, final = run(x_BTE, start)
        torch.testing.assert_close(ours, torch.stack(outputs, dim=1), rtol=0, atol=1e-12)
        assert_states_equal(final, state)


@every_cell
def test_gradients_of_a_sequence_are_those_of_its_steps(options: dict[str, Any]) -> None:
    lengths_B = torch.tensor([6, 1, 4])
    weights = random_tensor(3, 6, 4, seed=8) * (torch.arange(6) < lengths_B[:, None])[..., None]
    found = []
    for name in ("sequence", "stepwise"):
        cell = random_cell(options)
        start = tuple(part.requires_grad_() for part in random_state(cell, 3))
        x_BTE = random_tensor(3, 6, 3).requires_grad_()
        outputs, final = getattr(cell, name)(x_BTE, start, lengths_B)
        loss = (outputs * weights).sum() + sum((k + 2) * part.sum() for k, part in enumerate(final))
        leaves = [x_BTE, *start, *learned(cell)]
        gradients = torch.autograd.grad(loss, leaves, materialize_grads=True)
        found.append(gradients)
        idle = isinstance(cell, ScannedCell) and cell.parts == 2  # its steps read the memory only
        assert [bool(one.any()) for one in gradients] == [
            not (idle and place == 1) for place in range(len(gradients))
        ]
    assert_states_equal(*found)


@every_cell
@pytest.mark.parametrize("width", [4, 6])
def test_padding_changes_nothing(options: dict[str, Any], width: int) -> None:
    """Rows of every mix of lengths give what each gives alone, whatever stands at their padding."""
    cell = random_cell(options)
    x_BTE, start = random_tensor(3, width, 3), random_state(cell, 3)
    alone = {
        (row, length): cell.stepwise(x_BTE[row : row + 1, :length], _row(start, row))
        for row in range(3)
        for length in (1, 2, 4)
    }
    garbage = 100.0 * random_tensor(3, width, 3, seed=77)
    for lengths in itertools.product([1, 2, 4], repeat=3):
        lengths_B = torch.tensor(lengths)
        real = (torch.arange(width) < lengths_B[:, None])[..., None]
        for run in (cell.sequence, cell.stepwise):
            outputs, final = run(torch.where(real, x_BTE, garbage), start, lengths_B)
            for row, length in enumerate(lengths):
                expected, state = alone[row, length]
                torch.testing.assert_close(outputs[row, :length], expected[0], rtol=0, atol=1e-12)
                assert_states_equal(_row(final, row), state)


@every_cell
def test_padding_gets_and_gives_no_gradient(options: dict[str, Any]) -> None:
    lengths_B = torch.tensor([2, 5, 1])
    real = (torch.arange(5) < lengths_B[:, None])[..., None]
    found = []
    for filler in (0.0, 100.0):
        cell = random_cell(options)
        x_BTE = torch.where(real, random_tensor(3, 5, 3), filler).requires_grad_()
        outputs, final = cell.sequence(x_BTE, random_state(cell, 3), lengths_B)
        loss = (outputs * real).sum() + sum((k + 2) * part.sum() for k, part in enumerate(final))
        gradients = torch.autograd.grad(loss, [x_BTE, *learned(cell)])
        assert not (gradients[0] * ~real).any()
        found.append(gradients)
    assert_states_equal(*found)


@every_cell
def test_a_sequence_in_two_halves_is_the_whole(options: dict[str, Any]) -> None:
    cell = random_cell(options)
    x_BTE, start = random_tensor(2, 7, 3), random_state(cell, 2)
    whole, final = cell.sequence(x_BTE, start)
    first, between = cell.sequence(x_BTE[:, :3], start)
    second, end = cell.sequence(x_BTE[:, 3:], between)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, rtol=0, atol=1e-12)
    assert_states_equal(end, final)


@every_cell
def test_rows_know_nothing_of_each_other(options: dict[str, Any]) -> None:
    cell = random_cell(options)
    x_BTE, start = random_tensor(4, 3, 3), random_state(cell, 4)
    order = torch.tensor([2, 0, 0, 3, 1])
    outputs, final = cell.sequence(x_BTE, start)
    moved, after = cell.sequence(x_BTE[order], tuple(part[order] for part in start))
    torch.testing.assert_close(moved, outputs[order], rtol=0, atol=1e-12)
    assert_states_equal(after, tuple(part[order] for part in final))


@every_cell
@pytest.mark.parametrize("rule", ["orthogonal", "uniform", "identity", "sparse", "echo"])
def test_initialization_leaves_no_weight_as_it_was(options: dict[str, Any], rule: str) -> None:
    cell = random_cell(options)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.fill_(torch.nan)
        cell.reset_parameters(rule)
    assert all(torch.isfinite(parameter).all() for parameter in cell.parameters())


@every_cell
def test_bfloat16_is_near_float32(options: dict[str, Any]) -> None:
    cell = random_cell(options, dtype=torch.float32)
    x_BTE = random_tensor(3, 6, 3, dtype=torch.float32)
    start = tuple(part.float() for part in random_state(cell, 3))
    lengths_B = torch.tensor([6, 1, 3])
    exact, final = cell.sequence(x_BTE, start, lengths_B)
    with torch.autocast("cpu", torch.bfloat16):
        for run in (cell.sequence, cell.stepwise):
            outputs, after = run(x_BTE, start, lengths_B)
            torch.testing.assert_close(outputs[0].float(), exact[0], rtol=0.05, atol=0.05)
            for ours, theirs in zip(after, final, strict=True):
                torch.testing.assert_close(ours.float(), theirs, rtol=0.05, atol=0.05)


@every_cell
def test_first_weights_are_decided_by_the_seed(options: dict[str, Any]) -> None:
    one, same, other = (drawn(options, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, same[name]) for name, value in one.items())
    assert not all(torch.equal(value, other[name]) for name, value in one.items())


@every_cell
def test_scaled_inputs_are_as_larger_embeddings(options: dict[str, Any]) -> None:
    cell = random_cell(options)
    x_NE = random_tensor(5, 3)
    expected = cell.project(x_NE * torch.tensor([2.5, 2.5, 1.0]))
    with torch.no_grad():
        cell.scale_inputs(2, 2.5)
    torch.testing.assert_close(cell.project(x_NE), expected, rtol=0, atol=1e-12)


@every_cell
def test_no_output_is_beyond_its_bound(options: dict[str, Any]) -> None:
    """However large weights and inputs are: 8 bits are shared out by it."""
    for seed, scale in itertools.product(range(3), (0.5, 5.0, 50.0)):
        cell = drawn(options, seed)
        randomize(cell, seed, scale)
        if cell.bound is None:
            continue
        x_BTE = 10.0 * random_tensor(8, 20, 3, seed=seed)
        for start in (cell.initial_state(8, x_BTE), random_state(cell, 8)):
            outputs, _ = cell.sequence(x_BTE, start)
            assert outputs.abs().max() <= cell.bound


@every_cell
def test_its_tensors_are_all_that_it_keeps(options: dict[str, Any], tmp_path: Path) -> None:
    """Saved and loaded, buffers and their types included, it is the same cell."""
    theirs, ours = drawn(options, seed=1), drawn(options, seed=2)
    randomize(theirs, seed=3)
    saved = tmp_path / "cell.safetensors"
    save_file(theirs.state_dict(), saved)
    ours.load_state_dict(load_file(saved))
    for name, value in theirs.state_dict().items():
        assert ours.state_dict()[name].dtype == value.dtype
        assert torch.equal(ours.state_dict()[name], value)
    x_BTE, start = random_tensor(2, 5, 3), random_state(theirs, 2)
    (outputs, final), (expected, after) = (one.sequence(x_BTE, start) for one in (ours, theirs))
    assert torch.equal(outputs, expected)
    assert all(torch.equal(*pair) for pair in zip(final, after, strict=True))
    first, then = (one.initial_state(2, x_BTE) for one in (ours, theirs))
    assert all(torch.equal(*pair) for pair in zip(first, then, strict=True))


@pytest.mark.timeout(600)  # tracing takes seconds a method, on an idle machine
@every_arithmetic
def test_its_graphs_give_the_numbers_of_torch(options: dict[str, Any]) -> None:
    """In an encoder of both directions over sentences of unequal length, and in a decoder.

    In int8 they are near: what is rounded by the cell's bound loses nothing but digits.
    """
    model = model_options({"cell": options}, {"cell": options})
    theirs = random_engine(model)
    assert_same_steps(onnx_engine(model, weights_of(theirs)), theirs, sources())
    assert 0.0 < eight_bits_off(model) < 0.05


def twin(ours: Cell, options: dict[str, Any]) -> nn.RNNBase:
    """torch's module with our cell's weights."""
    more = {"nonlinearity": options["activation"]} if "activation" in options else {}
    make = TORCH[options["kind"]]
    theirs: nn.RNNBase = make(ours.input_size, ours.hidden_size, batch_first=True, **more)
    theirs = theirs.to(next(ours.parameters()).dtype)
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


def loss(outputs: Tensor, final: State, lengths_B: Tensor) -> Tensor:
    """A sum to which every real output and every final value adds with a weight of its own."""
    real = (torch.arange(outputs.shape[1]) < lengths_B[:, None])[..., None]
    weighed = torch.where(real, outputs * random_tensor(*outputs.shape, seed=31), 0.0).sum()
    return weighed + sum((part * random_tensor(*part.shape, seed=32)).sum() for part in final)


@every_cell_of_torch
@pytest.mark.parametrize("way", ["sequence", "stepwise"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_outputs_and_states_are_those_of_torch(
    options: dict[str, Any], way: str, dtype: torch.dtype, tolerance: float
) -> None:
    ours = random_cell(options, dtype=dtype)
    x_BTE, start = random_tensor(3, 7, 3, dtype=dtype), random_state(ours, 3, dtype=dtype)
    outputs, final = getattr(ours, way)(x_BTE, start)
    expected, after = run_twin(twin(ours, options), x_BTE, start)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=tolerance)
    torch.testing.assert_close(final, after, rtol=0, atol=tolerance)


@every_cell_of_torch
@pytest.mark.parametrize("way", ["sequence", "stepwise"])
def test_every_mix_of_lengths_is_as_packed(options: dict[str, Any], way: str) -> None:
    ours = random_cell(options)
    theirs = twin(ours, options)
    x_BTE, start = random_tensor(3, 5, 3), random_state(ours, 3)
    for lengths in itertools.product([1, 2, 5], repeat=3):
        lengths_B = torch.tensor(lengths)
        outputs, final = getattr(ours, way)(x_BTE, start, lengths_B)
        expected, after = run_twin(theirs, x_BTE, start, lengths_B)
        for row, length in enumerate(lengths):
            torch.testing.assert_close(
                outputs[row, :length], expected[row, :length], rtol=0, atol=1e-12
            )
        torch.testing.assert_close(final, after, rtol=0, atol=1e-12)


@every_cell_of_torch
@pytest.mark.parametrize("way", ["sequence", "stepwise"])
@pytest.mark.parametrize("lengths", [(4, 4, 4), (4, 1, 3), (1, 1, 1), (2, 4, 1)])
def test_gradients_are_those_of_torch_packed(
    options: dict[str, Any], way: str, lengths: tuple[int, ...]
) -> None:
    lengths_B = torch.tensor(lengths)
    ours = random_cell(options)
    theirs = twin(ours, options)
    x_BTE = random_tensor(3, 4, 3).requires_grad_()
    start = tuple(part.requires_grad_() for part in random_state(ours, 3))
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
    outputs, _ = ours.sequence(random_tensor(3, 7, 3), random_state(ours, 3))
    assert outputs.min() == 0
    assert outputs.max() > 1


def _row(state: State, row: int) -> State:
    return tuple(part[row : row + 1] for part in state)
