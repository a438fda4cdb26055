"""Update rules and learning rates: how the weights move, given the loss of an update's batch.

A rule works in two stages. ``evaluate`` asks the batch as often as it needs to: once for the
gradient (SGD, Adam), twice (sharpness-aware minimization, Foret et al. 2021), or many times (a line
search, conjugate gradients). ``apply`` then moves the weights. An update whose numbers are not
finite, or that a signal interrupts, ends before ``apply``, so nothing has to be undone.

A rule that needs the curvature (Hessian-free optimization, Martens 2010) asks for products of the
Gauss-Newton matrix with directions, many at the same weights. They come from a twin of the loss in
autograd's own operations, since the fused loss has no second derivatives, and so each takes longer
than a gradient.

A new rule is a class in a file here, made from ``(model, options)``, and a line in ``RULES``; its
options are a table in ``recipe/training.py``, in ``Optimizer``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from seq2seq.recipe import training as options
from seq2seq.recipe.training import Constant, Cosine, InverseSqrt, Plateau, Training
from seq2seq.training.optim.first_order import Adam, Sgd
from seq2seq.training.optim.hessian_free import HessianFree
from seq2seq.training.optim.objective import LossAndGradient, NotFiniteError, Objective
from seq2seq.training.optim.ridge import Ridge

__all__ = [
    "RULES",
    "LossAndGradient",
    "NotFiniteError",
    "Objective",
    "UpdateRule",
    "build_rule",
    "learning_rate",
]


class UpdateRule(Protocol):
    """Moves the weights; see the module."""

    @property
    def pending_copies(self) -> int:
        """How many tensors of each weight's size it will allocate and keep, and has not yet."""

    def evaluate(self, objective: Objective, rate: float) -> None:
        """Evaluates the batch; afterwards the weights and the rule's state are as before."""

    def apply(self, rate: float) -> None:
        """Moves the weights by what ``evaluate`` has found, at the same learning rate."""

    def state(self) -> dict[str, Tensor]:
        """All that the rule remembers between updates, for checkpoints."""

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what ``state`` gave."""


RULES: dict[str, Callable[[nn.Module, Any], UpdateRule]] = {
    "adam": Adam,
    "adamw": Adam,
    "hessian_free": HessianFree,
    "sgd": Sgd,
}
"""What makes a rule of a model and the recipe's table ``training.optimizer``, by its ``kind``."""


def build_rule(recipe: Training, model: nn.Module) -> UpdateRule:
    """The recipe's update rule for a model."""
    if isinstance(recipe.method, options.Ridge):
        return Ridge(model, recipe.method)
    return RULES[recipe.optimizer.kind](model, recipe.optimizer)


def learning_rate(
    peak: float,
    schedule: Constant | InverseSqrt | Cosine | Plateau,
    *,
    update: int,
    progress: float,
    reductions: int,
) -> float:
    """The rate of an update, counted from 1; every schedule rises linearly over its warm-up.

    ``progress`` is the share of training that is done before it, 0 to 1; so the last update of a
    cosine that falls to zero still moves the weights. ``reductions`` counts cuts by plateau.
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
