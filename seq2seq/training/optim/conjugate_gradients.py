"""Conjugate gradients (Hestenes and Stiefel 1952), ended early as Martens (2010) does."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import Tensor

SPREAD = 1.3
"""Iterates are kept at 1 and then each time after so many times as many iterations, and at last."""


class CurvatureError(Exception):
    """The matrix has given a number that is infinite or none."""

    def __init__(self, curvature: float) -> None:
        super().__init__()
        self.curvature = curvature


def conjugate_gradients(
    product: Callable[[Tensor], Tensor],
    target: Tensor,
    start: Tensor,
    *,
    iterations: int,
    tolerance: float,
) -> list[Tensor]:
    """Approaches the solution of A x = b, the minimum of x' A x / 2 - b' x.

    It ends where that model falls by less than ``tolerance`` an iteration, measured against all
    that it has fallen, over the last tenth of the iterations (10 at least): what is left would cost
    more than it gains. Then it ends at rounding too, where A has no curvature left.

    Args:
        product: Multiplies a vector by A, symmetric without negative eigenvalues.
        target: b.
        start: The first x.
        iterations: At most so many, one product each (and one for a start that is not zero).
        tolerance: See above.

    Returns:
        Iterates at growing distances, the last one last; the start alone if it is the solution.

    Raises:
        CurvatureError: If a product is not finite.
    """
    x, kept, models = start, [], list[float]()
    residual = target - product(x) if x.any() else target.clone()
    direction, square = residual, float(residual @ residual)
    due, iteration = 1, 0
    for iteration in range(1, iterations + 1):
        along = product(direction)
        curvature = float(direction @ along)
        if not math.isfinite(curvature):
            raise CurvatureError(curvature)
        if curvature <= 0.0:
            break
        x = x + direction * (square / curvature)
        residual = residual - along * (square / curvature)
        models.append(-0.5 * float(x @ (residual + target)))
        if iteration == due:
            kept.append(x)
            due = max(due + 1, math.ceil(SPREAD * due))
        if _ended(models, tolerance):
            break
        before, square = square, float(residual @ residual)
        direction = residual + direction * (square / before)
    if not kept or kept[-1] is not x:
        kept.append(x)
    return kept


def _ended(models: list[float], tolerance: float) -> bool:
    """Whether the model's last values have fallen little (Martens 2010, section 4.4)."""
    window = max(10, len(models) // 10)
    if len(models) <= window or models[-1] >= 0.0:
        return False
    return models[-1 - window] - models[-1] < -window * tolerance * models[-1]


def kept_iterates(iterations: int) -> int:
    """How many iterates so many iterations keep."""
    count, due = 1, 1
    while due < iterations:
        count, due = count + 1, max(due + 1, math.ceil(SPREAD * due))
    return count
