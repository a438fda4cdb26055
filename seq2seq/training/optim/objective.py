"""What an update rule may ask of an update's batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn


@dataclass(frozen=True)
class LossAndGradient:
    """The loss and gradient of an update's batch at some weights, over all processes."""

    loss: float  # the mean smoothed loss, in nats a target token
    nll: float  # the sum of the negative log-likelihood, in nats, over ``tokens`` target tokens
    tokens: int
    norm: float  # the gradient's, before clipping
    halved: int = 0  # how often a batch had to be halved to fit into memory
    memory: int = 0  # most bytes that a process has held
    gpu_memory: int | None = None  # most bytes that tensors have taken on a GPU, if there is one
    curvature: float | None = None  # along the gradient or near it, where it is not finite

    @property
    def finite(self) -> bool:
        """Whether the weights may move by it."""
        return math.isfinite(self.loss) and math.isfinite(self.norm) and self.curvature is None


class NotFiniteError(Exception):
    """A gradient, its loss or a curvature is infinite or not a number: the update is skipped."""

    def __init__(self, evaluation: LossAndGradient) -> None:
        super().__init__()
        self.evaluation = evaluation


class Objective(Protocol):
    """The mean loss over an update's target tokens, as a function of the model's weights.

    Every evaluation has the same batches and the same dropout. Several processes evaluate
    together, so all of them must make the same calls; all get the same values.
    """

    @property
    def parameters(self) -> Sequence[nn.Parameter]:
        """The weights. Change them only within ``trial``."""

    def loss(self) -> float:
        """The loss at the present weights, in nats a target token; it may be infinite or NaN."""

    def gradient(self, *, clipped: bool = True) -> LossAndGradient:
        """Leaves the gradient at the present weights in each parameter's ``grad``.

        It is clipped as the recipe says, if the rule does not ask for the whole. The loss found is
        that of ``loss``. Raises ``NotFiniteError`` if the gradient cannot be used, which the rule
        lets pass.
        """

    def gauss_newton(
        self, structural: float = 0.0, batches: int | None = None
    ) -> Callable[[Sequence[Tensor]], list[Tensor]]:
        """Readies products with the Gauss-Newton matrix at the present weights (see ``curvature``).

        What it returns gives the product with a direction. With ``structural`` so many times the
        same matrix of half the hidden states' squared distance is added. The matrix is that of the
        mean loss over the first so many of each process's batches; None: of all. It holds graphs of
        them until it is dropped, and can be used until the weights are changed.
        """

    def products(self) -> tuple[Tensor, Tensor]:
        """The sums of products that decide a linear regression of targets that are numbers.

        Those of what the output layer reads, with a 1 after it for its bias, with itself
        (F + 1, F + 1) and with the targets (F + 1, K), in float64. The loss found is the present
        weights'. Raises ``NotFiniteError`` if that is not finite.
        """

    def trial(self) -> AbstractContextManager[None]:
        """A context in which weights may be changed; they are put back bit for bit at its end."""
