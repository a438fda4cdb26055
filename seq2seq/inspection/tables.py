"""What was seen as tables of words: a head, then rows."""

from __future__ import annotations

from collections.abc import Sequence

from seq2seq.inspection.connectivity import Connectivity
from seq2seq.inspection.gates import CellGates
from seq2seq.inspection.gradients import StateGradients

Table = list[list[str]]


def gradients_table(models: Sequence[tuple[str, Sequence[StateGradients]]]) -> Table:
    """A row a part of a cell's state: its norms at both ends, and the factor a step back."""
    rows = [["model", "cell", "state", "steps", "first", "last", "factor a step back"]]
    for name, found in models:
        for one in found:
            ends = ["-", "-"]
            if one.norms_T.size:
                ends = [f"{one.norms_T[place]:.3g}" for place in (0, -1)]
            factor = "no gradient" if one.factor is None else f"{one.factor:.4g}"
            rows.append([name, one.place.label, one.part, str(len(one.norms_T)), *ends, factor])
    return rows


def gates_table(cells: Sequence[CellGates]) -> Table:
    """A row a piece that a cell reads: its gates' means, the memory's size and saturation."""
    names = list(dict.fromkeys(name for one in cells for name in one.gates))
    rows = [["cell", "piece", *names, "memory", "size", "saturated"]]
    for one in cells:
        means = {name: open_TH.mean(axis=1) for name, open_TH in one.gates.items()}
        for t, piece in enumerate(one.pieces):
            let_through = [f"{means[name][t]:.3f}" if name in means else "-" for name in names]
            share = "-" if one.saturated is None else f"{one.saturated[t]:.3f}"
            memory = [one.part, f"{one.size[t]:.3f}", share]
            rows.append([one.place.label, piece, *let_through, *memory])
    return rows


def connectivity_table(blocks: Sequence[Connectivity]) -> Table:
    """A row an output: what it depends on most, and how much on the first and the last input."""
    rows = [["outputs", "inputs", "output", "depends most on", "norm", "on the first", "the last"]]
    for one in blocks:
        for piece, norms in zip(one.rows, one.norms, strict=True):
            best = int(norms.argmax())
            numbers = [f"{norms[place]:.3g}" for place in (best, 0, -1)]
            rows.append([one.outputs, one.inputs, piece, one.columns[best], *numbers])
    return rows


def as_lines(table: Table) -> list[str]:
    """The rows as lines with columns below each other."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    ]
