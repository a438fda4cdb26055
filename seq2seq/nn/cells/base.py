"""What every recurrent cell is, and the parameters that most of them share.

A cell is one class in one file: its options, parameters, initialization and arithmetic. It becomes
a choice in recipes (``model.encoder.cell = "name"``) by a line in :mod:`seq2seq.recipe.registry`,
or by an entry point of another package.

Shapes: B batch, T time, E input size, H hidden size, G what a cell needs of a step's input, N rows.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from seq2seq.errors import (
    ModelError,
    RecipeError,
    Seq2SeqError,
    is_out_of_memory,
    is_terminated,
)
from seq2seq.nn.initialization import glorot_, recurrent_
from seq2seq.nn.steps import stacked, unstacked
from seq2seq.recipe import model as recipe
from seq2seq.recipe.base import Section
from seq2seq.recipe.registry import CELLS

State = tuple[Tensor, ...]
"""A cell's state, each part (B, H); part 0 is the output h. A value: cells never keep one."""


class Cell(nn.Module, ABC):
    """One recurrent layer in one direction.

    A cell splits into the half that does not depend on the state (``project``, for all time steps
    at once) and the half that does (``step``). ``sequence`` runs a whole sequence; what is written
    here does it step by step and is right for every cell. Cells that torch has fused override it:
    same parameters, same numbers, less time.

    An exported model runs ``project``, ``step`` and ``initial_state`` as torch's ONNX exporter
    traces them: any arithmetic on tensors, indexing and loops over a fixed range among it, but no
    branch on a tensor's values, nothing random and no numpy. The number of rows varies.

    Args:
        input_size: E.
        hidden_size: H.
        options: An instance of the class's ``Options``; None: its defaults.
    """

    class Options(Section):
        """The cell's keys in the recipe, beside ``kind``."""

    parts: ClassVar[int] = 1  # tensors in the state
    unread_parts: ClassVar[int] = 0
    """How many parts of the state, from the first, a step does not read."""
    twice_fast: ClassVar[bool] = False
    """Whether ``sequence`` is made for second derivatives; else they are taken of ``stepwise``."""
    bound: float | None = None
    """What no number of h exceeds, so that exported models may round it to 8 bits.

    Leave None if unsure: a wrong number makes exported int8 models wrong.
    """

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.options: Any = self.Options() if options is None else options

    @abstractmethod
    def reset_parameters(self, rule: str) -> None:
        """Gives every parameter its first value, in place; the caller holds ``torch.no_grad``.

        What is drawn comes from torch's global generator, which the run's seed has set. ``rule``
        says how recurrent matrices begin: the recipe's ``model.recurrent_init``.
        """

    @abstractmethod
    def scale_inputs(self, size: int, factor: float) -> None:
        """Multiplies the weights of the first ``size`` inputs: embeddings, small at first.

        In place; the caller holds ``torch.no_grad``.
        """

    def initial_state(self, batch: int, like: Tensor) -> State:
        """The state before the first step: zeros, if the cell does not say otherwise.

        It is ``parts`` tensors (B, H) of the device and type of ``like``.
        """
        return tuple(like.new_zeros(batch, self.hidden_size) for _ in range(self.parts))

    @abstractmethod
    def project(self, x_BTE: Tensor) -> Tensor:
        """What steps need of their inputs, for any number at once: (..., E) to (..., G)."""

    @abstractmethod
    def step(self, projected_BG: Tensor, state: State) -> State:
        """One time step, from what ``project`` made of its input and the state before.

        Part 0 of the state after is the output.
        """

    def gate_values(self, projected_BG: Tensor, state: State) -> dict[str, Tensor]:
        """The gates of one step, from what ``step`` gets: for looking at, not for running.

        Each is (B, H), from 0 (shut) to 1 (open), under its usual name: "input", "forget",
        "output", "reset", "update". A cell without gates has none.
        """
        del projected_BG, state
        return {}

    def saturation(self, state: State) -> Tensor | None:
        """How near each unit is to the most that it can put out, (B, H) from 0 to 1.

        For looking at, too. None: nothing bounds the output.
        """
        return None if self.bound is None else state[0].abs() / self.bound

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
        """``sequence`` by ``step`` alone."""
        # Taken apart at once: a slice a step costs a whole gradient matrix a step.
        steps = unstacked(self.project(x_BTE))
        outputs = []
        for t, projected_BG in enumerate(steps):
            after = self.step(projected_BG, state)
            if t == 0:
                check_state(self, after, x_BTE.shape[0])
            outputs.append(after[0])
            if lengths_B is None:
                state = after
            else:
                real_B1 = (t < lengths_B).unsqueeze(1)
                state = tuple(
                    torch.where(real_B1, new, old) for new, old in zip(after, state, strict=True)
                )
        return stacked(outputs), state


class GatedCell(Cell):
    """A cell whose gates each read input and state by a matrix and a bias, as torch lays them out.

    The matrices of all gates stand above each other: ``weight_ih`` (gates x H, E) and ``weight_hh``
    (gates x H, H), each with its bias. A subclass may add parameters of its own.
    """

    gates: int = 1

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__(input_size, hidden_size, options)
        rows = self.gates * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        self.bias_ih = nn.Parameter(torch.zeros(rows))
        self.bias_hh = nn.Parameter(torch.zeros(rows))

    def reset_parameters(self, rule: str) -> None:
        """Input weights after Glorot and Bengio, recurrent ones by the rule, biases zero."""
        glorot_(self.weight_ih, self.gates)
        recurrent_(self.weight_hh, rule, self.gates)
        self.bias_ih.zero_()
        self.bias_hh.zero_()

    def scale_inputs(self, size: int, factor: float) -> None:
        self.weight_ih[:, :size] *= factor

    def project(self, x_BTE: Tensor) -> Tensor:
        return functional.linear(x_BTE, self.weight_ih, self.bias_ih)

    def recur(self, hidden_BH: Tensor) -> Tensor:
        """The state's half of all gates, (B, gates x H)."""
        return functional.linear(hidden_BH, self.weight_hh, self.bias_hh)

    def weights(self) -> list[Tensor]:
        """The parameters in the order of torch's fused functions."""
        return [self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh]


def fused(
    run: Callable[..., tuple[Tensor, ...]],
    x_BTE: Tensor,
    hidden: Tensor | State,
    weights: list[Tensor],
    *,
    training: bool,
) -> tuple[Tensor, ...]:
    """Calls one of torch's fused recurrent networks: one layer, one direction.

    On a GPU autocast would run it in float16, whatever it is set to, where small gradients vanish.
    It stays in the weights' type instead: cuDNN's products in TF32 are as fast as in bfloat16, and
    batches of many shapes cost less. And cuDNN wants all weights in one piece of memory: others it
    would copy, with a warning.

    Args:
        run: ``torch.lstm`` or one of its kin.
        x_BTE: Inputs, (B, T, E).
        hidden: The state before, as ``run`` takes it, each part (1, B, H).
        weights: As ``GatedCell.weights`` orders them.
        training: Whether a backward pass follows.

    Returns:
        What ``run`` does: outputs (B, T, H), then the state after.
    """
    if x_BTE.device.type != "cuda":
        return run(x_BTE, hidden, weights, True, 1, 0.0, training, False, True)
    with torch.autocast("cuda", enabled=False):
        flat = torch.cat([weight.flatten() for weight in weights])
        pieces = torch.split(flat, [weight.numel() for weight in weights])
        joined = [piece.view_as(one) for piece, one in zip(pieces, weights, strict=True)]
        exact = flat.dtype
        if isinstance(hidden, Tensor):
            hidden = hidden.to(exact)
        else:
            hidden = tuple(part.to(exact) for part in hidden)
        return run(x_BTE.to(exact), hidden, joined, True, 1, 0.0, training, False, True)


def last_real(outputs_BTH: Tensor, lengths_B: Tensor | None) -> Tensor:
    """The outputs (B, H) at each row's last real step."""
    if lengths_B is None:
        return outputs_BTH[:, -1]
    rows = torch.arange(outputs_BTH.shape[0], device=outputs_BTH.device)
    return outputs_BTH[rows, lengths_B.to(outputs_BTH.device) - 1]


def check_state(cell: Cell, state: Any, rows: int) -> None:
    """Checks the state that a cell gives: ``parts`` tensors (rows, H).

    A wrong one would fail far from the cell, or be spread over all rows in silence.
    """
    parts = (state,) if isinstance(state, Tensor) else state
    found = [tuple(part.shape) for part in parts]
    wanted = (rows, cell.hidden_size)
    if isinstance(state, Tensor) or found != [wanted] * cell.parts:
        given = "no tuple, but a tensor" if isinstance(state, Tensor) else f"{len(found)} of"
        raise ModelError(
            f"{CELLS.described(type(cell))}: the state after a step must be a tuple of "
            f"{cell.parts} (the class's parts) tensors of {wanted}, rows and hidden size; it is "
            f"{given} {' and '.join(map(str, found))}"
        )


def check_sequence(cell: Cell, outputs_BTH: Tensor, state: Any, x_BTE: Tensor) -> None:
    """Checks what a cell's ``sequence`` gives for some inputs."""
    check_state(cell, state, x_BTE.shape[0])
    found, wanted = tuple(outputs_BTH.shape), (*x_BTE.shape[:2], cell.hidden_size)
    if found != wanted:
        raise ModelError(
            f"{CELLS.described(type(cell))}: the outputs of its sequence must be {wanted}: rows, "
            f"steps and hidden size; they are {found}"
        )


def check_first_values(model: nn.Module) -> None:
    """Checks that the tensors of a model's cells have the values that a training begins with.

    Those on the meta device have none: only their shapes are asked for.
    """
    for cell in model.modules():
        if isinstance(cell, Cell):
            for name, tensor in cell.state_dict(keep_vars=True).items():
                _check_first_value(cell, name, tensor)


def _check_first_value(cell: Cell, name: str, tensor: Tensor) -> None:
    if tensor.is_meta:
        return
    learned = isinstance(tensor, nn.Parameter)  # a mask, say, may be infinite
    if tensor.isnan().any() or (learned and tensor.isinf().any()):
        raise ModelError(
            f"{CELLS.described(type(cell))}: {name} has values that are not finite after "
            "reset_parameters, which must give every parameter its first value"
        )


_EMPTY = (torch.empty, torch.empty_like, Tensor.new_empty)


class _EmptyIsNan(TorchFunctionMode):
    """Fills memory that nobody has set with NaN, so that a forgotten parameter is found always.

    Nothing is drawn for it; what a constructor sets itself stays as it is.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        if func in _EMPTY and made.is_floating_point():
            made.detach().fill_(math.nan)
        return made


def make_cell(table: recipe.Cell, input_size: int, hidden_size: int) -> Cell:
    """Builds the cell that a recipe's table names, its parameters not yet initialized.

    It is a ``ModelError`` if its class cannot be imported, or another package's fails, and a
    ``RecipeError`` if it has no such keys.
    """
    try:
        options = table.options()
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise RecipeError(f"table of the cell {table.kind!r}", problems) from None
    kind = CELLS.load(table.kind)
    with errors_naming(kind), _EmptyIsNan():
        made: Cell = kind(input_size, hidden_size, options)
    return made


@contextmanager
def errors_naming(kind: type[Cell]) -> Iterator[None]:
    """Errors of a cell of another package become a ``ModelError`` that names the cell."""
    try:
        yield
    except (Exception, SystemExit) as error:
        own = kind.__module__.startswith("seq2seq.")
        known = isinstance(error, Seq2SeqError) or is_out_of_memory(error)
        if own or known or is_terminated(error):
            raise
        words = " ".join(str(error).split())
        if "unpack" in words or words == "tuple index out of range":  # a state of other parts
            words += f" (its class says parts = {getattr(kind, 'parts', '?')})"
        raise ModelError(
            f"{CELLS.described(kind)} failed: {type(error).__name__}: {words}; --debug shows where"
        ) from error
