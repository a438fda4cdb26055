"""Learning-rate schedules: each a pure function of where training stands."""

from __future__ import annotations

import math

from seq2seq.recipe.training import Constant, Cosine, InverseSqrt, Plateau


def learning_rate(
    peak: float,
    schedule: Constant | InverseSqrt | Cosine | Plateau,
    *,
    update: int,
    progress: float,
    reductions: int,
) -> float:
    """The rate of an update.

    Args:
        peak: The recipe's learning rate.
        schedule: The recipe's schedule.
        update: The update, from 1.
        progress: The share of training that is done before it, 0 to 1; so the last update of a
            cosine that falls to zero still moves the weights.
        reductions: How often the plateau rule has cut the rate.

    Returns:
        The rate. Every schedule rises linearly over its warm-up.
    """
    rise = min(1.0, update / schedule.warmup) if schedule.warmup else 1.0
    if isinstance(schedule, InverseSqrt):
        return peak * min(rise, math.sqrt(schedule.warmup / update))
    if isinstance(schedule, Cosine):
        fall = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
        return peak * rise * (schedule.floor + (1.0 - schedule.floor) * fall)
    if isinstance(schedule, Plateau):
        return peak * rise * schedule.factor**reductions
    return peak * rise
