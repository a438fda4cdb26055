"""Laws that every registered cell obeys; registering a cell enrols it here."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from support.models import cell_variants, random_cell, random_tensor, variant_name
from torch import Tensor

from seq2seq.nn.cells import State
from seq2seq.recipe.registry import CELLS

every_cell = pytest.mark.parametrize("options", cell_variants(), ids=variant_name)


def random_state(cell: torch.nn.Module, batch: int, seed: int = 5) -> State:
    """A state as a cell might have left it: bounded, and no part zero."""
    assert isinstance(cell.parts, int)
    return tuple(
        torch.tanh(random_tensor(batch, 4, seed=seed + part)) for part in range(cell.parts)
    )


def assert_states_equal(ours: State, theirs: State, tolerance: float = 1e-12) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=tolerance)


def test_some_cells_are_registered() -> None:
    assert {"rnn", "gru", "lstm"} <= {*CELLS.names()}


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
def test_gradients_of_a_step_are_right(options: dict[str, Any]) -> None:
    cell = random_cell(options)
    inputs = [random_tensor(2, 3), *random_state(cell, 2)]

    def step(x_NE: Tensor, *rest: Tensor) -> State:
        return cell.step(cell.project(x_NE), rest[: cell.parts])  # reads the weights in place

    assert torch.autograd.gradcheck(
        step, [*(value.requires_grad_() for value in inputs), *cell.parameters()]
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
        leaves = [x_BTE, *start, *cell.parameters()]
        found.append(torch.autograd.grad(loss, leaves))
        assert all(gradient.any() for gradient in found[-1])
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
        gradients = torch.autograd.grad(loss, [x_BTE, *cell.parameters()])
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
@pytest.mark.parametrize("rule", ["orthogonal", "uniform", "identity"])
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


def _row(state: State, row: int) -> State:
    return tuple(part[row : row + 1] for part in state)
