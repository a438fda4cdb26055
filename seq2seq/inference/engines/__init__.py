"""Engines run the network for a search: ONNX Runtime or torch. Here it is chosen which."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from seq2seq.errors import MissingExtraError, ModelError, Seq2SeqError
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.search import StepModel
from seq2seq.storage.layout import SHORTLIST, STEPS

logger = logging.getLogger("seq2seq")

ENGINES = ("auto", "onnx", "torch")
"""What a user may ask for."""

PRECISIONS = tuple(STEPS)
"""Of the engine "onnx"; torch has float32."""

# What the drivers of NVIDIA's and AMD's GPUs leave on a machine.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def check_engine(name: str) -> None:
    """Checks an engine's name, raising ``Seq2SeqError`` if there is none of it."""
    if name == "numpy":
        raise Seq2SeqError(
            "engine is 'numpy', which there is no longer: use 'onnx', which is faster (or 'auto')"
        )
    if name not in ENGINES:
        raise Seq2SeqError(f"engine is {name!r}; allowed: {', '.join(ENGINES)}")


def check_precision(name: str | None) -> None:
    """Checks a precision's name, raising ``Seq2SeqError``; None is none asked for."""
    if name is not None and name not in PRECISIONS:
        raise Seq2SeqError(f"precision is {name!r}; allowed: {', '.join(PRECISIONS)}")


def check_shortlists(models: Sequence[ModelFolder]) -> None:
    """Checks that the models of an ensemble choose from the same tokens.

    Where one could not say a token, the others' opinion on it would not count.
    """
    first, *others = models
    expected = (first.path / SHORTLIST).read_bytes() if others else b""
    for other in others:
        if (other.path / SHORTLIST).read_bytes() != expected:
            raise ModelError(
                f"{other.path}: its shortlist is not that of {first.path}: models translate "
                "together only with the same one: leave the shortlist out, or export them with one "
                "from the same model"
            )


def load_engine(
    model: ModelFolder,
    name: str,
    threads: int | None,
    precision: str | None = None,
    *,
    shortlist: bool = False,
) -> StepModel[Any]:
    """Loads a model into an engine.

    Args:
        model: The model's folder.
        name: One of ``ENGINES``.
        threads: The most processor threads to use; None: as many as the engine likes.
        precision: One of ``PRECISIONS``; None: float32.
        shortlist: Whether to choose from the exported model's shortlist.

    Returns:
        The engine.

    Raises:
        Seq2SeqError: If the engine does not have that precision, or the model no graphs.
        ModelError: If the weights are damaged or do not fit.
        MissingExtraError: If the engine's packages are not installed.
    """
    only_onnx = shortlist or precision not in (None, "float32")
    if name == "auto":
        name = _choice(model, only_onnx=only_onnx)
    if name == "onnx":
        if not model.has_graphs:
            raise Seq2SeqError(
                f"{model.path}: the engine 'onnx' needs a model's ONNX graphs, which this run does "
                f"not have: seq2seq export {model.path} -o MODEL"
            )
        from seq2seq.inference.engines import onnx as onnx_engine

        return onnx_engine.load_engine(
            model, precision=precision or "float32", threads=threads, shortlist=shortlist
        )
    if only_onnx:
        raise Seq2SeqError(
            f"the engine {name!r} has no {'shortlist' if shortlist else precision}: export the "
            f"model and translate with that: seq2seq export {model.path} -o MODEL"
            f"{' --shortlist DATA' if shortlist else ''}"
        )
    return _torch_engine(model, threads)


def _torch_engine(model: ModelFolder, threads: int | None) -> StepModel[Any]:
    try:
        from seq2seq.inference.engines import torch as torch_engine
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "torch":
            raise
        if model.has_graphs:
            raise MissingExtraError("the engine 'torch'", "train", "torch") from None
        raise ModelError(
            f"{model.path}: this run has no ONNX graphs (seq2seq 0.3 and older wrote none), so it "
            "needs torch: pip install 'seq2seq[train]'; or where torch is installed, make a model "
            f"that does without: seq2seq export {model.path} -o MODEL"
        ) from None
    return torch_engine.load_engine(model, threads=threads)


def _choice(model: ModelFolder, *, only_onnx: bool) -> str:
    """ONNX Runtime where the model has graphs, unless torch sees a GPU and the run has weights.

    Importing torch takes longer than translating some lines, so it is not asked whether it sees a
    GPU unless a driver is there.
    """
    if model.is_exported or (model.has_graphs and only_onnx):
        return "onnx"
    if not model.has_graphs:
        older = model.card and "files" not in model.card
        if older and not only_onnx and _torch() is not None:
            logger.warning(
                "%s: an older run, without ONNX graphs: torch translates it; a model that starts "
                "and translates faster: seq2seq export %s -o MODEL",
                model.path,
                model.path,
            )
        return "torch"  # which says what it lacks
    if _has_gpu_driver():
        torch = _torch()
        if torch is not None and torch.cuda.is_available():
            return "torch"
    return "onnx"


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
