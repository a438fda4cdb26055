"""Beam search: its state, its candidates and what it has finished."""
