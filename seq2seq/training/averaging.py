"""Averages of weights: smoother than the last ones, at no cost in translation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class MovingAverage:
    """An exponential moving average of a model's weights (Polyak and Juditsky 1992).

    Early on the average forgets faster than ``decay``, so that it does not lag behind the first,
    quick progress.

    Args:
        model: The model that is trained.
        copy: A model of the same make that holds the average.
        decay: The share that the average keeps at each update, in the long run.
    """

    def __init__(self, model: nn.Module, copy: nn.Module, decay: float) -> None:
        self.pairs = list(zip(copy.parameters(), model.parameters(), strict=True))
        self.decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes the model's weights in.

        Args:
            step: The update that made them, from 1.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        for average, current in self.pairs:
            average.lerp_(current, 1.0 - decay)


def mean_of(weights: Iterable[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The plain mean of several sets of weights.

    Args:
        weights: At least one set; all have the same names and shapes.

    Returns:
        The mean, summed in float64.
    """
    total: dict[str, Tensor] = {}
    count = 0
    for one in weights:
        count += 1
        for name, value in one.items():
            total[name] = total[name] + value.double() if name in total else value.double()
    return {name: (value / count).float() for name, value in total.items()}
