"""A run's folder: checkpoints, the published model, and what was measured."""
