"""Which engine runs a model: numpy or torch."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

from seq2seq.errors import MissingExtraError, Seq2SeqError
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.inference.numpy_weights import supported
from seq2seq.search import StepModel

ENGINES = ("auto", "numpy", "torch")
"""What a user may ask for."""

# What the drivers of NVIDIA's and AMD's GPUs leave on a machine.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def check_engine(name: str) -> None:
    """Checks an engine's name.

    Args:
        name: What the user asked for.

    Raises:
        Seq2SeqError: If there is no such engine.
    """
    if name not in ENGINES:
        raise Seq2SeqError(f"engine is {name!r}; allowed: {', '.join(ENGINES)}")


def load_engine(model: ModelFolder, name: str, threads: int | None) -> StepModel[Any]:
    """Loads a model into an engine.

    Args:
        model: The model's folder.
        name: One of ``ENGINES``.
        threads: The most processor threads to use; None: as many as the engine likes.

    Returns:
        The engine.

    Raises:
        ModelError: If the weights are damaged or do not fit, or the engine lacks the model's parts.
        MissingExtraError: If the engine's packages are not installed.
    """
    if name == "auto":
        name = _choice(model)
    if name == "numpy":
        from seq2seq.inference import numpy_engine

        return numpy_engine.load_engine(model, threads=threads)
    try:
        from seq2seq.inference import torch_engine
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "torch":
            raise
        raise MissingExtraError("the engine 'torch'", "train", "torch") from None
    return torch_engine.load_engine(model, threads=threads)


def _choice(model: ModelFolder) -> str:
    """Numpy where it can be: it starts at once, and on a processor it is the faster one.

    Importing torch takes longer than translating some lines, so it is not asked whether it sees a
    GPU unless a driver is there.
    """
    if not supported(model.recipe.model):
        return "torch" if _torch() is not None else "numpy"  # which says what it lacks
    if _has_gpu_driver():
        torch = _torch()
        if torch is not None and torch.cuda.is_available():
            return "torch"
    return "numpy"


def _torch() -> ModuleType | None:
    try:
        import torch
    except ImportError:
        return None
    return torch


def _has_gpu_driver() -> bool:
    return shutil.which("nvidia-smi") is not None or any(
        Path(device).exists() for device in _GPU_DEVICES
    )
