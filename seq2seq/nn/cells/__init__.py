"""Recurrent cells, one file each; what a cell of your own builds on stands in :mod:`.base`."""

from seq2seq.nn.cells.base import (
    Cell,
    GatedCell,
    State,
    check_first_values,
    check_sequence,
    check_state,
    errors_naming,
    last_real,
    make_cell,
)
from seq2seq.recipe.base import Section

__all__ = [
    "Cell",
    "GatedCell",
    "Section",
    "State",
    "check_first_values",
    "check_sequence",
    "check_state",
    "errors_naming",
    "last_real",
    "make_cell",
]
