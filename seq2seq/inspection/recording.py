"""Runs a model's cells step by step, and keeps the states and the gates of every step.

All recurrent layers of this package stand in a ``RecurrentStack``, so that nothing else needs to be
known of a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from seq2seq.nn.cells import Cell, State
from seq2seq.nn.recording import standing_in
from seq2seq.nn.recurrence import RecurrentStack

DIRECTIONS = ("forward", "backward")
PARTS = ("h", "c")
"""The parts of a state by their usual names: the output, and the memory of an LSTM."""


@dataclass(frozen=True)
class Place:
    """Where a cell stands: in which stack of the model, and there in which layer and direction."""

    stack: str
    layer: int  # from 1
    direction: str
    layers: int  # of the stack
    directions: int

    @property
    def label(self) -> str:
        """The place in words, as short as the stack allows."""
        layer = f" {self.layer}" if self.layers > 1 else ""
        return self.stack + layer + (f" {self.direction}" if self.directions > 1 else "")


@dataclass
class CellRun:
    """What a cell has done, in the order in which it made its steps."""

    place: Place
    cell: Cell
    states: list[State] = field(default_factory=list)  # after each step
    gates: list[dict[str, Tensor]] = field(default_factory=list)  # by name, each (B, H)


def part_name(part: int) -> str:
    """The name of a part of a cell's state."""
    return PARTS[part] if part < len(PARTS) else f"part {part + 1}"


def cells_of(model: nn.Module) -> list[CellRun]:
    """The cells of a model's stacks, in the order of its modules; none has run yet."""
    found = []
    for name, stack in model.named_modules():
        if isinstance(stack, RecurrentStack):
            short = name.removesuffix(".stack") or "network"
            for number, layer in enumerate(stack.layers, start=1):
                cells = list(layer.children())
                for cell, direction in zip(cells, DIRECTIONS, strict=False):
                    assert isinstance(cell, Cell)
                    place = Place(short, number, direction, len(stack.layers), len(cells))
                    found.append(CellRun(place, cell))
    return found


@contextmanager
def recorded(model: nn.Module, *, gates: bool = False) -> Iterator[list[CellRun]]:
    """Records what the model's cells do within the block, which runs the model.

    They run by ``Cell.step`` alone: a fused sequence shows no state between its ends.
    """
    runs = cells_of(model)
    with ExitStack() as undo:
        for run in runs:
            step = _recording(run, gates)
            undo.enter_context(standing_in(run.cell, step=step, sequence=run.cell.stepwise))
        yield runs


def _recording(run: CellRun, gates: bool) -> Callable[[Tensor, State], State]:
    """The cell's own step, which is recorded."""
    cell = run.cell
    own = cell.step

    def step(projected_BG: Tensor, state: State) -> State:
        if torch.is_grad_enabled() and not any(part.requires_grad for part in state):
            # The first state depends on nothing; with a cell that does not learn, neither would
            # those after it, and there would be no gradient to see.
            state = tuple(part.detach().requires_grad_() for part in state)
        after = own(projected_BG, state)
        run.states.append(after)
        if gates:
            run.gates.append(cell.gate_values(projected_BG, state))
        return after

    return step


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Runs a model without dropout, and leaves it and torch's random numbers as they were."""
    modes = [(module, module.training) for module in model.modules()]
    devices = {one.device for one in model.parameters() if one.device.type == "cuda"}
    with torch.random.fork_rng(sorted(devices, key=str), device_type="cuda"):
        model.eval()
        try:
            yield
        finally:
            for module, training in modes:
                module.training = training
