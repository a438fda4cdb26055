"""Engines run the network for a search: ONNX Runtime or torch. Here it is chosen which.

And here is what all of them need to know: which sentence each row of a search translates. The rows
of one sentence share one copy of what the encoder made of it (its memory), and memory that no row
needs any more is dropped.

Shapes: B sentences, A sentences in memory, W most rows of one sentence, N rows, S source length.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from seq2seq.errors import MissingExtraError, ModelError, Seq2SeqError, did_you_mean
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.search import StepModel
from seq2seq.search.model import Floats32, Ints
from seq2seq.storage.layout import SHORTLIST, STEPS
from seq2seq.storage.whole import read_bytes

logger = logging.getLogger("seq2seq")

# Importing ONNX Runtime reports to its maker unless this is set; no network is used unasked.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

ENGINES = ("auto", "onnx", "torch")
"""What a user may ask for."""

PRECISIONS = tuple(STEPS)
"""Of the engine "onnx"; torch has float32."""

# What the drivers of NVIDIA's and AMD's GPUs leave on a machine.
_GPU_DEVICES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")


def check_engine(name: str) -> None:
    """Refuses (``Seq2SeqError``) the name of an engine that there is not."""
    if name == "numpy":
        raise Seq2SeqError(
            "engine is 'numpy', which there is no longer: use 'onnx', which is faster (or 'auto')"
        )
    if name not in ENGINES:
        near = did_you_mean(name, ENGINES)
        raise Seq2SeqError(f"engine is {name!r}{near}; allowed: {', '.join(ENGINES)}")


def check_precision(name: str | None) -> None:
    """Refuses (``Seq2SeqError``) the name, if one is given, of a precision that there is not."""
    if name is not None and name not in PRECISIONS:
        near = did_you_mean(name, PRECISIONS)
        raise Seq2SeqError(f"precision is {name!r}{near}; allowed: {', '.join(PRECISIONS)}")


def check_shortlists(models: Sequence[ModelFolder]) -> None:
    """Refuses (``ModelError``) models of an ensemble that choose from different tokens.

    Where one could not say a token, the others' opinion on it would not count.
    """
    first, *others = models
    expected = read_bytes(first.path / SHORTLIST) if others else b""
    for other in others:
        if read_bytes(other.path / SHORTLIST) != expected:
            raise ModelError(
                f"{other.path}: its shortlist is not that of {first.path}: models translate "
                "together only with the same one: leave the shortlist out, or export them with one "
                "from the same model"
            )


def check_directions(models: Sequence[ModelFolder]) -> None:
    """Refuses (``ModelError``) models of an ensemble that write in different directions."""
    first, *others = models
    words = {False: "from left to right", True: "from right to left"}
    ours = first.recipe.model.decoder.reverse
    for other in others:
        if other.recipe.model.decoder.reverse != ours:
            raise ModelError(
                f"{other.path}: it writes {words[not ours]}, and {first.path} {words[ours]} "
                "(model.decoder.reverse): models that write in different directions cannot take "
                "steps together: have one translate with n-best lists, and the other score them"
            )


def load_engine(
    model: ModelFolder,
    name: str,
    threads: int | None,
    precision: str | None = None,
    *,
    shortlist: bool = False,
) -> StepModel[Any]:
    """Loads a model into one of ``ENGINES``, in one of ``PRECISIONS`` (None: float32).

    ``threads`` are the most to use (None: as many as the engine likes); with ``shortlist`` it
    chooses from the exported model's shortlist. It is a Seq2SeqError if the engine does not have
    that precision, or the model no graphs, a ModelError if the weights are damaged or do not fit,
    and a MissingExtraError if the engine's packages are not installed.
    """
    only_onnx = shortlist or precision not in (None, "float32")
    if name == "auto":
        name = _choice(model, only_onnx=only_onnx)
    if name == "onnx":
        _check_graphs(model, precision or "float32")
        from seq2seq.inference.engines.onnx import OnnxEngine

        return OnnxEngine.load(
            model, precision=precision or "float32", threads=threads, shortlist=shortlist
        )
    if only_onnx and model.graphs_were_tried and not model.has_graphs:
        _check_graphs(model, precision or "float32")
    if only_onnx:
        raise Seq2SeqError(
            f"the engine {name!r} has no {'shortlist' if shortlist else precision}: export the "
            f"model and translate with that: seq2seq export {model.path} -o MODEL"
            f"{' --shortlist DATA' if shortlist else ''}"
        )
    return _torch_engine(model, threads)


def _check_graphs(model: ModelFolder, precision: str) -> None:
    """Refuses (``Seq2SeqError``) a run without the graphs that ONNX Runtime needs."""
    if model.has_precision(precision):
        return
    if model.has_graphs:
        raise Seq2SeqError(
            f"{model.path}: this run has no graph in {precision}, as it did not give the model's "
            "numbers when it was published: translate in float32"
        )
    if model.graphs_were_tried:
        raise Seq2SeqError(
            f"{model.path}: no ONNX graphs could be made of this model when it was trained: "
            "translate it with the engine 'torch', in float32 and without a shortlist"
        )
    raise Seq2SeqError(
        f"{model.path}: the engine 'onnx' needs a model's ONNX graphs, which this run does not "
        f"have: seq2seq export {model.path} -o MODEL"
    )


def _torch_engine(model: ModelFolder, threads: int | None) -> StepModel[Any]:
    try:
        from seq2seq.inference.engines.torch import TorchEngine
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "torch":
            raise
        if model.has_graphs:
            raise MissingExtraError("the engine 'torch'", "train", "torch") from None
        if model.graphs_were_tried:
            raise ModelError(
                f"{model.path}: no ONNX graphs could be made of this model when it was trained, so "
                "it needs torch: pip install 'seq2seq[train]'"
            ) from None
        raise ModelError(
            f"{model.path}: this run has no ONNX graphs (seq2seq 0.3 and older wrote none), so it "
            "needs torch: pip install 'seq2seq[train]'; or where torch is installed, make a model "
            f"that does without: seq2seq export {model.path} -o MODEL"
        ) from None
    return TorchEngine.load(model, threads=threads)


def _choice(model: ModelFolder, *, only_onnx: bool) -> str:
    """ONNX Runtime where the model has graphs, unless torch sees a GPU and the run has weights.

    Importing torch takes longer than translating some lines, so it is not asked whether it sees a
    GPU unless a driver is there.
    """
    if model.is_exported or (model.has_graphs and only_onnx):
        return "onnx"
    if not model.has_graphs:
        older = model.card and not model.graphs_were_tried
        if older and not only_onnx and _torch() is not None:
            logger.warning(
                "%s: an older run, without ONNX graphs: torch translates it; a model that starts "
                "and translates faster: seq2seq export %s -o MODEL",
                model.path,
                model.path,
            )
        return "torch"  # which says what it lacks
    if model.recipe.model.parts_are_installed() and _has_gpu_driver():
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


@dataclass(frozen=True, eq=False)
class RowLayout:
    """Rows laid out in a padded table: for each sentence in memory W slots, some of them empty."""

    sentence_N: Ints  # of each row
    memory_A: Ints  # the sentences in memory, ascending

    @classmethod
    def first(cls, sentences: int) -> RowLayout:
        """One row for each sentence of a batch."""
        every = np.arange(sentences)
        return cls(every, every)

    def moved(self, parent_N: Ints, least_used: float) -> RowLayout:
        """The rows after a step of the search, each going on from its parent.

        Memory is kept as it is, the same object, while more than ``least_used`` of its sentences
        have rows (1: only while all have; 0: always); so are the rows themselves, if each place
        still belongs to the same sentence.
        """
        sentence_N = self.sentence_N[parent_N]
        same = len(sentence_N) == len(self.sentence_N)
        if same and (sentence_N == self.sentence_N).all():
            return self
        active_A = np.unique(sentence_N)
        used, size = len(active_A), len(self.memory_A)
        if used == size or used > least_used * size:
            active_A = self.memory_A
        return RowLayout(sentence_N, active_A)

    @cached_property
    def positions(self) -> Ints:
        """Where each row's sentence is among those in memory, (N,)."""
        return np.searchsorted(self.memory_A, self.sentence_N)

    @cached_property
    def _counts(self) -> Ints:
        return np.bincount(self.positions, minlength=len(self.memory_A))

    @cached_property
    def width(self) -> int:
        """W, the most rows of one sentence."""
        return int(self._counts.max())

    @cached_property
    def slots(self) -> Ints:
        """Each row's slot among those of its sentence, (N,): they are in the rows' order."""
        order_N = np.argsort(self.positions, kind="stable")
        slot_N = np.empty_like(self.positions)
        before_A = np.cumsum(self._counts) - self._counts
        slot_N[order_N] = np.arange(len(order_N)) - np.repeat(before_A, self._counts)
        return slot_N

    @cached_property
    def places(self) -> Ints:
        """Each row's place in the table (N,), counted sentence by sentence."""
        return self.positions * self.width + self.slots

    @cached_property
    def is_table(self) -> bool:
        """Whether the rows fill the table in their order, so that it is the rows, only reshaped."""
        size = len(self.memory_A) * self.width
        return len(self.positions) == size and bool(
            (self.positions[1:] >= self.positions[:-1]).all()
        )

    def table(self) -> Ints:
        """The row at each place of the table (A, W), 0 where none stands."""
        row_AW = np.zeros((len(self.memory_A), self.width), dtype=np.int64)
        row_AW[self.positions, self.slots] = np.arange(len(self.positions))
        return row_AW


def widened(attention_NX: Floats32, width: int) -> Floats32:
    """Gives attention the width of its batch, where the longest sentences have left the memory."""
    rows, narrow = attention_NX.shape
    if narrow == width:
        return attention_NX
    attention_NS = np.zeros((rows, width), dtype=np.float32)
    attention_NS[:, :narrow] = attention_NX
    return attention_NS
