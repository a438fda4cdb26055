"""Recurrent cells, stacks of them, attention, and how their weights begin."""
