"""Looks, now and then in training, at how the gradient fares on its way back through time.

What is found goes into ``metrics.jsonl``. No number of the training depends on it: the weights,
their gradients, the mode of the model and torch's random numbers stay as they are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

from torch import nn

from seq2seq.inspection.gradients import StateGradients, state_gradients
from seq2seq.tasks import PaddedBatch
from seq2seq.training.monitoring.curves import Curve, curve

ROWS = 4
"""Rows of a batch that are looked at: step by step a few take about as long as one."""
SHARE = 0.01
"""Of the time of training, at most."""


class GradientSamples:
    """Decides when to look, and looks.

    Args:
        every: Updates between two looks; None: never. They are rarer where they would take more
            than a hundredth of the time.
        say: Told once if a model's gradients cannot be seen; no more are looked at then.
    """

    def __init__(self, every: int | None, say: Callable[[str], None]) -> None:
        self._every = every
        self._say = say
        self._due = time.monotonic()

    def due(self, update: int) -> bool:
        """Whether to look after an update."""
        every = self._every
        return every is not None and update % every == 0 and time.monotonic() >= self._due

    def sample(self, loss: nn.Module, model: nn.Module, batch: PaddedBatch) -> dict[str, Any]:
        """Looks at some rows of a batch; the figures as ``metrics.jsonl`` has them.

        They are empty if there is nothing to see. Nothing that goes wrong here ends the training.
        """
        begun = time.monotonic()
        try:
            while len(batch) > ROWS:
                batch, _ = batch.halves()
            found = state_gradients(loss, model, batch)
        except Exception as error:
            self._every = None
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self._say(
                "warning: gradients through time cannot be looked at "
                f"(training.gradients_every): {reason}"
            )
            return {}
        ended = time.monotonic()
        self._due = ended + (ended - begun) / SHARE
        return record(found, ended - begun)


def record(found: list[StateGradients], seconds: float) -> dict[str, Any]:
    """Factors, and norms at both ends, by cell and part of its state; those with a gradient."""
    seen = {one.label: one for one in found if one.norms_T.size}
    if not seen:
        return {}
    return {
        "seconds": seconds,
        "steps": {label: len(one.norms_T) for label, one in seen.items()},
        "factor": {label: one.factor for label, one in seen.items()},
        "first": {label: float(one.norms_T[0]) for label, one in seen.items()},
        "last": {label: float(one.norms_T[-1]) for label, one in seen.items()},
    }


def gradient_curves(samples: Sequence[dict[str, Any]], key: str, most: int) -> list[Curve]:
    """A figure of the gradient through time, a curve a cell and part of its state.

    Where there are more than ``most``, only the cells' outputs are shown.
    """
    labels = list(dict.fromkeys(label for one in samples for label in one.get("factor") or {}))
    if len(labels) > most:
        labels = [label for label in labels if label.endswith(" h")]
    styles = cycle(("-", "--", "-.", ":"))
    return [
        curve(samples, key, label, label=label, style=style)
        for label, style in zip(labels[:most], styles, strict=False)
    ]
