"""What is shown of updates: loss, speed and padding, how far the weights moved, memory."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from seq2seq.processors import load_average
from seq2seq.tasks import PaddedBatch, Words
from seq2seq.training.monitoring import Step

if TYPE_CHECKING:
    from seq2seq.training.state import Plan, TrainingState
    from seq2seq.training.updater import Update

PARTS = ("encoder", "bridge", "decoder", "attention", "embedding", "output")
"""The parts of a network, in the order in which they are shown; others come after them."""


class Interval:
    """Sums over the updates since the last record of ``metrics.jsonl``."""

    def __init__(self) -> None:
        self.nll, self.tokens, self.seconds = 0.0, 0, 0.0
        self._real, self._padded = 0, 0

    def add(self, nll: float, tokens: int, pairs: Sequence[PaddedBatch], seconds: float) -> None:
        """Adds an update; if its ``nll``, a sum, is not finite, only its time and padding."""
        if math.isfinite(nll):
            self.nll += nll
            self.tokens += tokens
        self.seconds += seconds
        for one in pairs:
            self._real += one.tokens
            self._padded += one.cells

    @property
    def loss(self) -> float:
        """Nats a target token; not a number where every update was skipped."""
        return self.nll / self.tokens if self.tokens else math.nan

    @property
    def speed(self) -> float:
        """Target tokens a second."""
        return self.tokens / max(1e-9, self.seconds)

    @property
    def padding(self) -> float:
        """The share of padding in the matrices of both sides."""
        return 1.0 - self._real / self._padded if self._padded else 0.0


class Figures:
    """The figures of a session's updates, and the time that training takes, which it counts."""

    def __init__(
        self, plan: Plan, state: TrainingState, unit: str, words: Words | None = None
    ) -> None:
        self._plan, self._state, self._unit = plan, state, unit
        self._words = words or Words()
        self._at_start = (plan.progress(state), state.seconds)
        self._clock = time.monotonic()
        self.begin_interval()

    def begin_interval(self) -> None:
        """From here on, losses and speed are those of the next record."""
        self._interval = Interval()
        self._load = load_average()

    def count_time(self) -> float:
        """Counts the seconds since the last call as training, and returns them."""
        now = time.monotonic()
        passed, self._clock = now - self._clock, now
        self._state.seconds += passed
        return passed

    def step(self, update: Update, batches: Sequence[PaddedBatch], rate: float | None) -> Step:
        """The figures of an update that the state counts already."""
        found, state = update.found, self._state
        nll = found.nll if found.finite else math.nan
        self._interval.add(nll, found.tokens, batches, self.count_time())
        progress, (progress_then, seconds_then) = self._plan.progress(state), self._at_start
        done, spent = progress - progress_then, state.seconds - seconds_then
        return Step(
            update=state.update,
            epoch=self._plan.epochs(state),
            progress=progress,
            loss=self._interval.loss,
            tokens_per_second=self._interval.speed,
            learning_rate=rate,
            gradient_norm=found.norm,
            remaining=spent * (1 - progress) / done if done > 0 else math.inf,
            padding=self._interval.padding,
            skipped=state.skipped,
            halved=state.halved,
            memory=found.memory,
            gpu_memory=found.gpu_memory,
            update_ratio=update.movement,
            load=self._load,
            unit=self._unit,
            words=self._words,
        )


class Movement:
    """How far an update moves the weights: made before it, asked after it.

    The norm of the change over the norm of the weights before, about 1e-3 where the learning rate
    fits. Weights that two parts share count where the network first names them. The weights are
    copied, which is why the loop measures only the updates that it logs.
    """

    def __init__(self, model: nn.Module) -> None:
        self._now = [(part_of(name), weight) for name, weight in model.named_parameters()]
        self._before = [weight.detach().clone() for _, weight in self._now]

    @torch.no_grad()
    def ratios(self) -> dict[str, float]:
        """The ratios, after the update: of "all" and of each part that is not all zeros."""
        norm = torch.linalg.vector_norm
        moved = [norm(now - old) for (_, now), old in zip(self._now, self._before, strict=True)]
        sizes = [norm(old) for old in self._before]
        squares: Tensor = torch.stack([torch.stack(moved), torch.stack(sizes)]).double().square()
        sums: dict[str, list[float]] = {}
        for (part, _), change, size in zip(self._now, *squares.tolist(), strict=True):
            for key in ("all", part):
                total = sums.setdefault(key, [0.0, 0.0])
                total[0] += change
                total[1] += size
        order = dict.fromkeys(["all", *PARTS, *sums])
        known = [key for key in order if key in sums and sums[key][1] > 0.0]
        return {key: math.sqrt(sums[key][0] / sums[key][1]) for key in known}


def part_of(name: str) -> str:
    """The part of the network that a parameter belongs to: one of ``PARTS``, or another model's."""
    words = name.split(".")
    for inner in ("attention", "embedding"):
        if inner in words:
            return inner
    return words[0]


def gpu_memory(device: torch.device) -> int | None:
    """The most bytes that tensors have taken on a GPU; None on a processor."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
