"""Batches: what each update of a training learns from."""
