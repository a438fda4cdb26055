"""What is special to one cell, and cells of other packages; laws of all: tests/conformance."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from support.models import lstm_in_bfloat16, make_batch, model_options, random_cell, random_tensor
from torch import Tensor, nn

from seq2seq.errors import ModelError
from seq2seq.models.translation import TranslationModel
from seq2seq.nn.cells import Cell, GatedCell, Section, State, errors_naming, make_cell
from seq2seq.nn.cells.lstm import LstmCell
from seq2seq.nn.recurrence import RecurrentStack
from seq2seq.recipe import Recipe
from seq2seq.recipe import model as recipe
from seq2seq.recipe.base import Checks
from seq2seq.recipe.registry import CELLS
from seq2seq.tasks.translation import TranslationTask


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
    """One gate (Zhou et al. 2016): f = sigmoid(...), n = tanh(U x + f W h), h' = h + f (n - h)."""

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


class ForgetsParts(GatedCell):
    """A package's LSTM that does not say that its state is two tensors."""

    gates = 4
    step = LstmCell.step


class PlainOptions(ForgetsParts):
    class Options:
        scale: float = 1.0


class TakesKind(ForgetsParts):
    class Options(Section):
        kind: int = 1


class NoCell:
    pass


def test_a_foreign_cell_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS.own, "other", ForgetsParts)
    stack = RecurrentStack(recipe.Cell(kind="other"), 3, 4)
    failed = (
        r"the cell 'other' \(.*test_cells:ForgetsParts, of the package .*\) failed: "
        r"ValueError: not enough values to unpack \(expected 2, got 1\) "
        r"\(its class says parts = 1\); --debug shows where"
    )
    with pytest.raises(ModelError, match=failed):
        stack(torch.zeros(2, 5, 3))
    with pytest.raises(ModelError, match=failed):
        stack.step(0, torch.zeros(2, 3), (torch.zeros(2, 4),))


def test_other_errors_of_a_cell_say_nothing_of_its_parts() -> None:
    with pytest.raises(ModelError) as error, errors_naming(ForgetsParts):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
    assert str(error.value).endswith(
        "failed: RuntimeError: mat1 and mat2 shapes cannot be multiplied; --debug shows where"
    )


METHODS = ["__init__", "reset_parameters", "scale_inputs", "initial_state", "project", "step"]


def failing(error: Exception) -> Callable[..., Any]:
    def fail(*values: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize("method", METHODS)
def test_whatever_method_of_a_foreign_cell_fails(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch([([4, 5], [6])])
    for error, seen, words in [
        (ZeroDivisionError("mine"), ModelError, r"'other' \(.*:Other, .*failed: ZeroDiv.*: mine"),
        (MemoryError(), MemoryError, "^$"),  # halving the batch may help, and is somebody else's
        (ModelError("said well"), ModelError, "^(model.encoder: )?said well$"),
    ]:
        other = type("Other", (MinimalGatedCell,), {method: failing(error)})
        monkeypatch.setitem(CELLS.own, "other", other)
        with pytest.raises(seen, match=words):
            TranslationModel(model_options({"cell": "other"}, {}), 9, 9)(batch)


def test_a_failing_cell_of_our_own_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LstmCell, "step", failing(ZeroDivisionError("ours")))
    with pytest.raises(ZeroDivisionError, match="ours"):
        RecurrentStack(recipe.Cell(kind="lstm"), 3, 4).step(0, torch.zeros(2, 3), ())


@pytest.mark.parametrize("cell", [PlainOptions, NoCell])
def test_options_are_a_section(monkeypatch: pytest.MonkeyPatch, cell: type) -> None:
    monkeypatch.setitem(CELLS.own, "other", cell)
    wanted = rf"the cell 'other' .*{cell.__name__}.* its Options must be a subclass of seq2seq\.nn"
    with pytest.raises(ModelError, match=wanted):
        make_cell(recipe.Cell(kind="other"), 3, 4)


class Shapes(GatedCell):
    """Its state is whatever a test says of the right one."""

    given: Callable[[Tensor], Any]

    def step(self, projected_BG: Tensor, state: State) -> State:
        wrong: State = type(self).given(projected_BG + self.recur(state[0]))
        return wrong


WRONG_STATES: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "narrow": (lambda h: (h[:, :1],), r"it is 1 of \(2, 1\)$"),
    "wide": (lambda h: (torch.cat([h, h], dim=1),), r"it is 1 of \(2, 8\)$"),
    "one row": (lambda h: (h[:1],), r"it is 1 of \(1, 4\)$"),
    "two parts": (lambda h: (h, h), r"it is 2 of \(2, 4\) and \(2, 4\)$"),
    "no tuple": (lambda h: h, r"it is no tuple, but a tensor \(2, 4\)$"),
}


@pytest.mark.parametrize("lengths_B", [None, torch.tensor([3, 1])])
@pytest.mark.parametrize(("given", "words"), WRONG_STATES.values(), ids=WRONG_STATES)
def test_a_cell_whose_state_has_another_shape_is_named(
    given: Callable[[Tensor], Any],
    words: str,
    lengths_B: Tensor | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(
        CELLS.own, "other", type("Other", (Shapes,), {"given": staticmethod(given)})
    )
    stack = RecurrentStack(recipe.Cell(kind="other"), 3, 4)
    words = (
        r"the cell 'other' .*: the state after a step must be a tuple of 1 \(the class's parts\) "
        r"tensors of \(2, 4\), rows and hidden size; " + words
    )
    with pytest.raises(ModelError, match=words):
        stack(torch.zeros(2, 3, 3), lengths_B)
    with pytest.raises(ModelError, match=words):
        stack.step(0, torch.zeros(2, 3), (torch.zeros(2, 4),))


class WrongSequence(MinimalGatedCell):
    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        outputs, after = super().sequence(x_BTE, state, lengths_B)
        return outputs.transpose(0, 1), after


def test_a_cell_whose_outputs_have_another_shape_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS.own, "other", WrongSequence)
    words = r"the cell 'other' .* must be \(2, 5, 4\): rows, .* size; they are \(5, 2, 4\)$"
    with pytest.raises(ModelError, match=words):
        RecurrentStack(recipe.Cell(kind="other"), 3, 4)(torch.zeros(2, 5, 3))


def test_a_cell_that_ends_the_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = type("Ends", (MinimalGatedCell,), {"step": failing(SystemExit(4))})
    monkeypatch.setitem(CELLS.own, "other", ends)
    with pytest.raises(ModelError, match=r"the cell 'other' .*failed: SystemExit: 4"):
        RecurrentStack(recipe.Cell(kind="other"), 3, 4)(torch.zeros(2, 5, 3))


class Scaled(MinimalGatedCell):
    """A scale that its constructor sets, or forgets, and no other method does."""

    made: Callable[[int], Tensor] = torch.ones

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__(input_size, hidden_size, options)
        self.scale = nn.Parameter(type(self).made(hidden_size))


def infinite(size: int) -> Tensor:
    return torch.full((size,), math.inf)


@pytest.mark.parametrize("made", [torch.empty, infinite])
def test_a_forgotten_parameter_is_found_before_a_training(
    made: Callable[[int], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CELLS.own, "scaled", Scaled)
    options = model_options({"cell": "scaled"}, {})
    task = TranslationTask(Recipe.model_construct(model=options))
    tokenizers: Any = SimpleNamespace(
        source=SimpleNamespace(size=9), target=SimpleNamespace(size=9)
    )
    torch.manual_seed(1)
    weights = task.build_model(tokenizers).state_dict()
    monkeypatch.setattr(Scaled, "made", staticmethod(made))
    torch.manual_seed(1)
    again = TranslationModel(options, 9, 9).state_dict()  # one whose weights will be read
    for name, one in weights.items():
        assert torch.equal(one, again[name]) == (not name.endswith(".scale")), name
    words = (
        r"the cell 'scaled' .*:Scaled.*: scale has values that are not finite after "
        "reset_parameters, which must give every parameter its first value"
    )
    with pytest.raises(ModelError, match=words):
        task.build_model(tokenizers)


def test_no_option_is_called_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS.own, "other", TakesKind)
    words = "the cell 'other' .*TakesKind.*: its Options have the key 'kind', which names the cell"
    with pytest.raises(ModelError, match=words):
        recipe.Cell.model_validate({"kind": "other"}, context=Checks(cells=True))


class InPlace(MinimalGatedCell):
    def reset_parameters(self, rule: str) -> None:
        self.weight_hh.fill_(0.5)

    def scale_inputs(self, size: int, factor: float) -> None:
        self.weight_ih.fill_(factor)


def test_nobody_needs_to_hold_no_grad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS.own, "in_place", InPlace)
    model = TranslationModel(model_options({"cell": "in_place"}, {}), 9, 9)
    cell = model.encoder.stack.first()[0]
    assert torch.equal(cell.weight_hh, torch.full_like(cell.weight_hh, 0.5))
    assert cell.weight_hh.requires_grad
