"""What cells put out, seen from outside: their states over time, as tensors of the graph.

Shapes: B batch, T time, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from seq2seq.nn.cells import Cell, State


@dataclass(frozen=True)
class Recorded:
    """The outputs of one layer in one direction; a single step has T = 1."""

    outputs_BTH: Tensor
    final: State  # after each row's last real step
    lengths_B: Tensor | None  # real steps of each row; None: nobody has said


@contextmanager
def recorded_outputs(model: nn.Module) -> Iterator[list[Recorded]]:
    """A context in which whatever the model's cells put out is recorded, in the order of calls.

    They run step by step there, unless they are ``twice_fast``.
    """
    record: list[Recorded] = []
    with ExitStack() as undo:
        for module in model.modules():
            if isinstance(module, Cell):
                recorder = _Recorder(module, record)
                undo.enter_context(
                    standing_in(module, sequence=recorder.sequence, step=recorder.step)
                )
        yield record


@contextmanager
def standing_in(cell: Cell, **methods: Any) -> Iterator[None]:
    """A context in which a cell has other methods, or weights: an object's own attributes go first.

    What stood in their place before, perhaps others of the kind, does so again at its end.
    """
    before = {name: vars(cell).get(name) for name in methods}
    vars(cell).update(methods)
    try:
        yield
    finally:
        for name, method in before.items():
            if method is None:
                del vars(cell)[name]
            else:
                vars(cell)[name] = method


class _Recorder:
    """Stands before a cell's own methods; of calls within calls it sees the outermost."""

    def __init__(self, cell: Cell, record: list[Recorded]) -> None:
        self.record = record
        self.within = False
        self._sequence = cell.sequence if cell.twice_fast else cell.stepwise
        self._step = cell.step

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        outside, (outputs, after) = self._call(self._sequence, x_BTE, state, lengths_B)
        if outside:
            self.record.append(Recorded(outputs, after, lengths_B))
        return outputs, after

    def step(self, projected_BG: Tensor, state: State) -> State:
        after: State
        outside, after = self._call(self._step, projected_BG, state)
        if outside:
            self.record.append(Recorded(after[0].unsqueeze(1), after, None))
        return after

    def _call(self, method: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
        outside, self.within = not self.within, True
        try:
            return outside, method(*args)
        finally:
            self.within = not outside
