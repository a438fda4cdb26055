"""A training in a process of its own, which is asked for some updates at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from benchmarks.model import RECIPE
from seq2seq.data.batching import BatchOrder, Bounds
from seq2seq.data.collate import Batch, collate
from seq2seq.data.dataset import PreparedData, Ragged
from seq2seq.recipe.files import load_recipe
from seq2seq.text.tokenizer import Tokenizers
from seq2seq.training.precision import bound_primitive_cache
from seq2seq.training.session import completed
from seq2seq.training.updater import Updater

FIRST_PIECE = 4  # after pad, unk, bos and eos


@dataclass(frozen=True)
class _Sized:
    """All that a network needs to know of a tokenizer."""

    size: int


@dataclass(frozen=True)
class _Vocabulary:
    source: _Sized
    target: _Sized
    joint: bool = True


class Trial:
    """The training.

    Args:
        data: The prepared folder; the lengths of its sentences are what batches are made by.
        settings: What is set in the recipe.
        vocabulary: So many pieces, drawn by chance; None: the folder's.
        recipe: A packaged recipe's name, or a file; left out: the benchmark's.
    """

    def __init__(
        self,
        data: Path,
        settings: Sequence[str],
        vocabulary: int | None = None,
        recipe: str = str(RECIPE),
    ) -> None:
        bound_primitive_cache()
        prepared = PreparedData.open(data, verify=False)
        loaded = completed(load_recipe(recipe, settings), prepared, fine_tuned=False)
        tokenizers = prepared.tokenizers
        if vocabulary is not None:
            size = _Sized(vocabulary)
            tokenizers = cast("Tokenizers", _Vocabulary(size, size))
        self.updater = Updater(loaded, tokenizers)
        training = loaded.training
        bounds = Bounds(training.batch_tokens, training.batch_pairs, training.max_pieces)
        order = BatchOrder(prepared.train, bounds, loaded.seed)
        self.batches: Iterator[Batch] = (
            collate(*self._drawn(prepared.train.ids(batch.indices), vocabulary))
            for batch, _ in order.drawn()
        )
        self._random = np.random.default_rng(loaded.seed)
        self.done = 0

    def _drawn(self, sides: tuple[Ragged, Ragged], vocabulary: int | None) -> tuple[Ragged, Ragged]:
        if vocabulary is None:
            return sides
        source, target = (
            Ragged(
                self._random.integers(FIRST_PIECE, vocabulary, len(side.values), dtype=np.int32),
                side.offsets,
            )
            for side in sides
        )
        return source, target

    def turn(self, updates: int) -> dict[str, Any]:
        """Runs some updates.

        Args:
            updates: How many.

        Returns:
            Seconds, and target tokens.
        """
        ready = list(islice(self.batches, updates))
        self._wait()
        begun = time.perf_counter()
        tokens = sum(self._update(pairs) for pairs in ready)
        self._wait()
        return {"seconds": time.perf_counter() - begun, "tokens": tokens}

    def _update(self, pairs: Batch) -> int:
        self.done += 1
        return self.updater.update([pairs], self.done, 1e-3).found.tokens

    def _wait(self) -> None:
        if self.updater.device.type == "cuda":
            torch.cuda.synchronize(self.updater.device)

    def facts(self) -> dict[str, Any]:
        """What is trained, and where.

        Returns:
            The number of parameters, the device and the type of matrix products.
        """
        device = self.updater.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
        return {
            "parameters": sum(one.numel() for one in self.updater.model.parameters()),
            "device": name,
            "precision": str(self.updater.precision).removeprefix("torch."),
        }

    def launch(self, updates: int) -> dict[str, Any]:
        """Finds out how long the GPU computes, of the time that some updates take.

        The profiler slows what it watches, so the time is another turn's, the same updates again.

        Args:
            updates: How many.

        Returns:
            The share of the time in which no kernel and no copy runs.
        """
        from torch.profiler import ProfilerActivity, profile

        ready = list(islice(self.batches, updates))
        for pairs in ready:  # kernels are chosen by the first batch of a shape
            self._update(pairs)
        self._wait()
        begun = time.perf_counter()
        for pairs in ready:
            self._update(pairs)
        self._wait()
        seconds = time.perf_counter() - begun
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
            for pairs in ready:
                self._update(pairs)
            self._wait()
        spans = [
            (event.time_range.start, event.time_range.end)
            for event in found.events()
            if event.device_type.name == "CUDA" and not event.is_user_annotation
        ]
        return {"share": 1 - covered(spans) / 1e6 / seconds}


def covered(spans: Sequence[tuple[float, float]]) -> float:
    """Measures what some spans cover together; they may overlap.

    Args:
        spans: Begin and end of each.

    Returns:
        The length of their union.
    """
    total, reached = 0.0, float("-inf")
    for begin, end in sorted(spans):
        total += max(0.0, end - max(begin, reached))
        reached = max(reached, end)
    return total
