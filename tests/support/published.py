"""The files of a model as a training leaves them: their names tell their content."""

from __future__ import annotations

from pathlib import Path


def weights_file(run: Path) -> Path:
    """The one file of weights in a run's folder."""
    (found,) = run.glob("weights*.safetensors")
    return found
