"""Dropout (Srivastava et al. 2014), whose random numbers cost a fifth of torch's on a processor."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional

_STEPS = 2**16
"""A rate is rounded to whole steps of 1/65,536."""


class Dropout(nn.Module):
    """Zeroes each value with some chance in training, and scales the others up to make up for it.

    torch draws a random number of 32 bits for each value, one after the other, which is a twentieth
    of a training step on a processor. 16 bits decide as well, and four of them come in one draw.

    With ``variational`` the same values of a sequence are dropped at all of its steps (Gal and
    Ghahramani 2016). Where the steps come one at a time, ``same_masks`` must hold them together.
    """

    def __init__(self, rate: float, *, variational: bool = False) -> None:
        super().__init__()
        self.rate = rate
        self.variational = variational
        self.held: list[Tensor] | None = None  # the mask that later steps take; None: none is held

    def forward(self, x: Tensor, sequence_N: Tensor | None = None) -> Tensor:
        """Drops values of sequences (B, T, E), or of single steps (N, E).

        ``sequence_N`` tells the sequence that each step is of; None: each is of its own. Out of
        training, or where there is nothing to drop, it gives ``x`` itself.
        """
        steps = round(self.rate * _STEPS)
        if not self.training or steps == 0 or len(x) == 0:
            return x
        if not self.variational:
            return self._dropped(x, steps)
        held = [] if self.held is None else self.held
        if not held:
            count = len(x) if sequence_N is None else 1 + int(sequence_N.max())
            held.append(self._dropped(x.new_ones(count, x.shape[-1]), steps))
        mask = held[0] if sequence_N is None else held[0][sequence_N]
        return x * (mask.unsqueeze(1) if x.dim() == 3 else mask)

    def _dropped(self, x: Tensor, steps: int) -> Tensor:
        if x.device.type != "cpu" or steps == _STEPS:
            return functional.dropout(x, self.rate, True)
        return x * _kept(x, steps)

    def extra_repr(self) -> str:
        """The rate, for printing."""
        return f"rate={self.rate}, variational={self.variational}"


@contextmanager
def same_masks(*modules: nn.Module) -> Iterator[None]:
    """A context in which each variational dropout of some modules keeps the mask it draws first.

    What runs in it is one batch of sequences.
    """
    every = (one for module in modules for one in module.modules())
    found = [one for one in every if isinstance(one, Dropout) and one.variational]
    for one in found:
        one.held = []
    try:
        yield
    finally:
        for one in found:
            one.held = None


def _kept(x: Tensor, steps: int) -> Tensor:
    """0 where a value is dropped, 1 over the chance of staying elsewhere."""
    count = x.numel()
    draws = torch.empty(-(-count // 4), dtype=torch.int64).random_(-(2**63), None)
    bits = draws.view(torch.int16)[:count].view(x.shape)
    return (bits >= steps - _STEPS // 2).to(x.dtype).mul_(_STEPS / (_STEPS - steps))
