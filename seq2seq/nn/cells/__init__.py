"""Recurrent cells, one file each; what a cell of your own builds on stands in :mod:`.base`."""

from seq2seq.nn.cells.base import Cell, GatedCell, State, last_real, make_cell

__all__ = ["Cell", "GatedCell", "State", "last_real", "make_cell"]
