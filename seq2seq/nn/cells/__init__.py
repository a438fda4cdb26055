"""Recurrent cells, one file each; what a cell of your own builds on stands in :mod:`.base`."""

from seq2seq.nn.cells.base import Cell, GatedCell, State, errors_naming, last_real, make_cell
from seq2seq.recipe.base import Section

__all__ = ["Cell", "GatedCell", "Section", "State", "errors_naming", "last_real", "make_cell"]
