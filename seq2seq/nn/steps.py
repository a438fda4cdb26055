"""From a tensor over time to its steps and back, each the other's derivative.

Torch's ``unbind`` and ``stack`` are the same, but their second derivatives (what products with a
curvature go through) make a gradient of the whole length for each step.

Shapes: B batch, T time, H size of a step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def unstacked(x_BTH: Tensor) -> tuple[Tensor, ...]:
    """The steps of a tensor, each (B, H)."""
    steps: tuple[Tensor, ...] = _Unstack.apply(x_BTH)  # type: ignore[no-untyped-call]
    return steps


def stacked(steps: list[Tensor]) -> Tensor:
    """A tensor (B, T, H) of steps (B, H)."""
    x_BTH: Tensor = _Stack.apply(*steps)  # type: ignore[no-untyped-call]
    return x_BTH


class _Unstack(torch.autograd.Function):
    @staticmethod
    def forward(x_BTH: Tensor) -> tuple[Tensor, ...]:
        return x_BTH.transpose(0, 1).contiguous().unbind(0)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, ...]) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, *steps: Tensor) -> Tensor:
        return stacked(list(steps))

    @staticmethod
    def jvp(ctx: Any, x_BTH: Tensor) -> tuple[Tensor, ...]:
        return unstacked(x_BTH)


class _Stack(torch.autograd.Function):
    @staticmethod
    def forward(*steps: Tensor) -> Tensor:
        return torch.stack(steps, dim=1)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, x_BTH: Tensor) -> tuple[Tensor, ...]:
        return unstacked(x_BTH)

    @staticmethod
    def jvp(ctx: Any, *steps: Tensor) -> Tensor:
        return stacked(list(steps))
