"""What a model's gates let through at each piece of a sentence, and how its memory fares.

The figures are those by which Karpathy et al. (2015) look into recurrent networks: a gate's mean
over the units, the share of units where it is nearly shut (below 0.1) or nearly open (above 0.9),
the memory's size, and the share of its units that are saturated.

Shapes: T steps, H units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from seq2seq.errors import Seq2SeqError
from seq2seq.inspection.opening import Drawn, Opened, Pair, batch_of, labels_of, step_labels
from seq2seq.inspection.recording import CellRun, Place, evaluating, part_name, recorded

Floats = NDArray[np.float64]

SHUT, OPEN = 0.1, 0.9


@dataclass(frozen=True)
class CellGates:
    """What a cell's gates did with a sentence, its steps in the order of the pieces.

    Attributes:
        place: The cell.
        pieces: What it read, (T).
        gates: By name, how far each unit's gate was open, each (T, H); empty: it has none.
        part: What is called its memory: the last part of its state.
        memory_TH: Its values after each step.
        saturation_TH: As ``Cell.saturation`` gives it for each step.
    """

    place: Place
    pieces: Sequence[str]
    gates: Mapping[str, Floats]
    part: str
    memory_TH: Floats
    saturation_TH: Floats | None

    @property
    def size(self) -> Floats:
        """The memory's root mean square over the units."""
        return np.asarray(np.sqrt((self.memory_TH**2).mean(axis=1)))

    @property
    def saturated(self) -> Floats | None:
        """The share of units whose output the memory can hardly change; None: it has no bound."""
        if self.saturation_TH is None:
            return None
        return np.asarray((self.saturation_TH > OPEN).mean(axis=1))

    def record(self) -> dict[str, Any]:
        """The numbers as plain values, of each piece."""
        gates = {
            name: {
                "mean": one.mean(axis=1).tolist(),
                "shut": (one < SHUT).mean(axis=1).tolist(),
                "open": (one > OPEN).mean(axis=1).tolist(),
            }
            for name, one in self.gates.items()
        }
        return {
            "stack": self.place.stack,
            "layer": self.place.layer,
            "direction": self.place.direction,
            "pieces": list(self.pieces),
            "gates": gates,
            "memory": {
                "state": self.part,
                "size": self.size.tolist(),
                "saturated": None if self.saturated is None else self.saturated.tolist(),
            },
        }


def gates_of(opened: Opened, line: Pair | Drawn) -> list[CellGates]:
    """Looks at the gates while a model reads a line, and says its translation if it has one.

    Cells without gates are left out; if no cell has any, that is a ``Seq2SeqError``.
    """
    loss, batch = opened.task.loss(opened.model), batch_of(opened, [line])
    with evaluating(opened.model), torch.no_grad(), recorded(opened.model, gates=True) as runs:
        loss(batch)
    if isinstance(line, Drawn):
        source, read = step_labels(batch), list[str]()
    else:
        source, read = labels_of(opened, line)
    turned = opened.recipe.model.encoder.reverse
    found = []
    for run in runs:
        decodes = run.place.stack == "decoder"
        backward = not decodes and turned != (run.place.direction == "backward")
        if run.gates and run.gates[0]:
            found.append(_gates_of(run, read if decodes else source, backward))
    if not found:
        model = opened.recipe.model
        kinds = {model.encoder.cell.kind}
        if opened.translates:
            kinds.add(model.decoder.cell.kind)
        raise Seq2SeqError(
            f"{opened.name}: its cells ({' and '.join(sorted(kinds))}) have no gates to look at: "
            "'inspect gradients' and 'inspect states' work with every cell"
        )
    return found


def _gates_of(run: CellRun, pieces: Sequence[str], backward: bool) -> CellGates:
    order = slice(None, None, -1 if backward else 1)  # steps of a cell that reads backwards

    def by_piece(values: Sequence[torch.Tensor]) -> Floats:
        return torch.cat(list(values)).double().cpu().numpy()[order]

    last = run.cell.parts - 1
    saturation = [run.cell.saturation(state) for state in run.states]
    bounded = [one for one in saturation if one is not None]
    return CellGates(
        run.place,
        pieces,
        {name: by_piece([step[name] for step in run.gates]) for name in run.gates[0]},
        part_name(last),
        by_piece([state[last] for state in run.states]),
        by_piece(bounded) if bounded else None,
    )
