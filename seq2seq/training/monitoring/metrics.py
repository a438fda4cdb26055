"""What is measured of updates besides their loss: padding, how far the weights moved, memory."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from seq2seq.tasks import PaddedBatch

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
