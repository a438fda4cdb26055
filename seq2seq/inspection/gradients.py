"""How the gradient of the loss fares on its way back through time.

For each cell and step t: the norm of d loss / d h_t, and of every other part of the state. Where it
shrinks from step to step, what lies many steps back is not learned from: it vanishes; where it
grows, it explodes (Bengio et al. 1994; Pascanu et al. 2013). The factor a step says which.

Shapes: B lines, T steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seq2seq.inspection.recording import CellRun, Place, evaluating, part_name, recorded
from seq2seq.tasks import PaddedBatch

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StateGradients:
    """The norms of the gradient by one part of a cell's state, step after step.

    Lines are aligned at their ends, where the way back begins: the last number is of the last step
    that the loss depends on. Over several lines each is the root of the mean square.

    Attributes:
        place: The cell.
        part: "h", or "c": the memory of an LSTM.
        norms_T: The norms, oldest step first; empty if the loss does not depend on the cell.
        lines_T: How many lines have the step.
    """

    place: Place
    part: str
    norms_T: Floats
    lines_T: NDArray[np.int64]

    @property
    def label(self) -> str:
        """The cell and the part, in words."""
        return f"{self.place.label} {self.part}"

    @property
    def factor(self) -> float | None:
        """What one step back multiplies the norm by: the slope of a line through the logarithms.

        Below 1 the gradient vanishes, above 1 it explodes. Steps count by their lines. None: fewer
        than two steps have a gradient.
        """
        with np.errstate(divide="ignore"):
            logs_T = np.log(self.norms_T)
        usable_T = np.isfinite(logs_T)
        if usable_T.sum() < 2:
            return None
        weights = self.lines_T[usable_T].astype(float)
        steps, logs = np.flatnonzero(usable_T) * 1.0, logs_T[usable_T]
        steps -= np.average(steps, weights=weights)
        logs = logs - np.average(logs, weights=weights)
        slope = float((weights * steps * logs).sum() / (weights * steps**2).sum())
        return math.exp(min(-slope, 700.0))

    def record(self) -> dict[str, Any]:
        """The numbers as plain values."""
        place, count = self.place, len(self.norms_T)
        return {
            "stack": place.stack,
            "layer": place.layer,
            "direction": place.direction,
            "state": self.part,
            "factor": self.factor,
            "steps": list(range(1 - count, 1)),
            "norms": [one if math.isfinite(one) else None for one in self.norms_T.tolist()],
            "lines": self.lines_T.tolist(),
        }


def state_gradients(loss: nn.Module, model: nn.Module, batch: PaddedBatch) -> list[StateGradients]:
    """Measures the gradients of a loss by the states of all the model's cells.

    The model is left as it was: its weights, their gradients, its mode, torch's random numbers.

    Args:
        loss: As ``Task.loss`` makes it of the model: from a batch to the sum of its losses.
        model: The model, whose cells stand in ``RecurrentStack``.
        batch: Some lines. The sum is divided by the mean number of targets of a line, so that
            norms are those of a line's mean loss.

    Returns:
        For each cell, in the order of the model's modules, each part of its state.
    """
    device = next(model.parameters()).device
    with evaluating(model), recorded(model) as runs, torch.enable_grad():
        with torch.autocast(device.type, enabled=False):
            total, _ = loss(batch.to(device))
        norms = _norms(total * (len(batch) / max(1, batch.targets)), runs)
    found = []
    for run in runs:
        for part in range(run.cell.parts):
            columns = [norms.get((id(run), t, part)) for t in range(len(run.states))]
            known = [one for one in columns if one is not None]
            blank = np.zeros(len(known[0]) if known else 0)
            norms_BT = np.array([blank if one is None else one for one in columns]).T
            found.append(StateGradients(run.place, part_name(part), *aligned(norms_BT)))
    return found


def _norms(total: Tensor, runs: Sequence[CellRun]) -> dict[tuple[int, int, int], Floats]:
    """The norms (B,) of the gradients by each run's states, by run, step and part."""
    wanted = {
        (id(run), t, number): part
        for run in runs
        for t, state in enumerate(run.states)
        for number, part in enumerate(state)
        if part.requires_grad
    }
    if not wanted or not total.requires_grad:
        return {}
    gradients = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
    rows: dict[int, list[tuple[tuple[int, int, int], Tensor]]] = {}
    for key, gradient in zip(wanted, gradients, strict=True):
        if gradient is not None:  # stacked by size: one transfer from a GPU for all of a size
            rows.setdefault(len(gradient), []).append(
                (key, torch.linalg.vector_norm(gradient.flatten(1).double(), dim=1))
            )
    found: dict[tuple[int, int, int], Floats] = {}
    for group in rows.values():
        together = torch.stack([norm for _, norm in group]).cpu().numpy()
        found.update(zip((key for key, _ in group), together, strict=True))
    return found


def aligned(norms_BT: Floats) -> tuple[Floats, NDArray[np.int64]]:
    """Means over lines whose last steps stand together, and how many lines each step has.

    A line ends with the last step that has a gradient: what follows is padding, or unused.
    """
    if norms_BT.ndim < 2 or not norms_BT.any():
        return np.zeros(0), np.zeros(0, dtype=np.int64)
    steps = norms_BT.shape[1]
    lengths_B = np.where(norms_BT != 0, np.arange(1, steps + 1), 0).max(axis=1)
    longest = int(lengths_B.max())
    places_BT = np.arange(longest) - (longest - lengths_B)[:, None]
    real_BT = places_BT >= 0
    taken_BT = np.take_along_axis(norms_BT, np.maximum(places_BT, 0), axis=1)
    lines_T = real_BT.sum(axis=0)
    squares_T = np.where(real_BT, taken_BT**2, 0.0).sum(axis=0)
    return np.sqrt(squares_T / lines_T), lines_T
