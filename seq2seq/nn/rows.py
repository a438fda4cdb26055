"""Choosing and turning rows, with gradients that know that no place is taken twice.

torch must expect that an index names a place more than once, and adds gradients up one by one.
Here each place is named once, so that the gradient is the same kind of copy.

Shapes: B batch, T time, R rows, M chosen rows, D size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _Chosen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_RD: Tensor, where_M: Tensor) -> Tensor:
        ctx.save_for_backward(where_M)
        ctx.rows = len(x_RD)
        return x_RD.index_select(0, where_M)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (where_M,) = ctx.saved_tensors
        zeros = grads[0].new_zeros(ctx.rows, *grads[0].shape[1:])
        return zeros.index_copy_(0, where_M, grads[0]), None


def chosen_rows(x_RD: Tensor, where_M: Tensor) -> Tensor:
    """Chooses rows, each at most once."""
    chosen: Tensor = _Chosen.apply(x_RD, where_M)  # type: ignore[no-untyped-call]
    return chosen


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_RD: Tensor, index_R: Tensor) -> Tensor:
        ctx.save_for_backward(index_R)
        return x_RD.index_select(0, index_R)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        (index_R,) = ctx.saved_tensors
        return grads[0].index_select(0, index_R), None  # turning twice gives the input back


def reverse_within(x_BT: Tensor, lengths_B: Tensor) -> Tensor:
    """Turns each row around within its length; padding stays where it is.

    Doing it twice gives the input back.
    """
    batch, time = x_BT.shape[:2]
    times_1T = torch.arange(time, device=x_BT.device).unsqueeze(0)
    lengths_B1 = lengths_B.to(x_BT.device).unsqueeze(1)
    index_BT = torch.where(times_1T < lengths_B1, lengths_B1 - 1 - times_1T, times_1T)
    index_BT = index_BT + torch.arange(batch, device=x_BT.device).unsqueeze(1) * time
    turned: Tensor = _Reversed.apply(  # type: ignore[no-untyped-call]
        x_BT.flatten(0, 1), index_BT.flatten()
    )
    return turned.view(x_BT.shape)
