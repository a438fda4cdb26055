"""What cells put out, seen from outside: their states over time, as tensors of the graph.

Shapes: B batch, T time, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from seq2seq.nn.cells import Cell, State


@dataclass(frozen=True)
class Recorded:
    """The outputs of one layer in one direction; a single step has T = 1."""

    outputs_BTH: Tensor
    final_BH: Tensor  # the output part of the state after each row's last real step
    lengths_B: Tensor | None  # real steps of each row; None: nobody has said


@contextmanager
def recorded_outputs(model: nn.Module) -> Iterator[list[Recorded]]:
    """A context in which whatever the model's cells put out is recorded, in the order of calls.

    They run step by step there, unless they are ``twice_fast``.
    """
    cells = [module for module in model.modules() if isinstance(module, Cell)]
    record: list[Recorded] = []
    for cell in cells:
        _Recorder(cell, record)
    try:
        yield record
    finally:
        for cell in cells:
            del cell.__dict__["sequence"], cell.__dict__["step"]


class _Recorder:
    """Stands before a cell's ``sequence`` and ``step``; of calls within calls sees the outermost.

    An attribute of the object goes before the method of its class.
    """

    def __init__(self, cell: Cell, record: list[Recorded]) -> None:
        self.record = record
        self.within = False
        self._sequence = cell.sequence if cell.twice_fast else cell.stepwise
        self._step = cell.step
        cell.__dict__.update(sequence=self.sequence, step=self.step)

    def sequence(
        self, x_BTE: Tensor, state: State, lengths_B: Tensor | None = None
    ) -> tuple[Tensor, State]:
        outside, (outputs, after) = self._call(self._sequence, x_BTE, state, lengths_B)
        if outside:
            self.record.append(Recorded(outputs, after[0], lengths_B))
        return outputs, after

    def step(self, projected_BG: Tensor, state: State) -> State:
        after: State
        outside, after = self._call(self._step, projected_BG, state)
        if outside:
            output_BH = after[0]
            self.record.append(Recorded(output_BH.unsqueeze(1), output_BH, None))
        return after

    def _call(self, method: Callable[..., Any], *args: Any) -> tuple[bool, Any]:
        outside, self.within = not self.within, True
        try:
            return outside, method(*args)
        finally:
            self.within = not outside
