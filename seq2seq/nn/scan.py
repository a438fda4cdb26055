"""A linear recurrence over time, h_t = a_t * h_{t-1} + b_t, all at once.

Where gates read the input alone they are known for all steps before the first, and this is what
remains of a cell. It is done outside of autograd, which would keep and undo thousands of small
operations: on a CPU one fused product and sum a step, over memory that is touched once; on a GPU,
where starting an operation is what costs, in parallel chunks (Blelloch 1990, in two levels), about
3 sqrt(T) operations. Nothing is divided and no logarithm taken, so it is as exact as steps are.

Shapes: B batch, T time, H hidden size, C chunks, L steps of a chunk.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

_SMALL = 2048  # numbers of a step: with fewer, a CPU too spends its time on starting operations
_LONG = 32  # steps; with fewer, chunks gain nothing


def linear_scan(keep_BTH: Tensor, write_BTH: Tensor, first_BH: Tensor) -> Tensor:
    """Runs h_t = keep_t * h_{t-1} + write_t from ``first``; it gives every h, (B, T, H).

    In float32 at least, as errors add up over steps. It can be differentiated any number of times,
    forwards too.
    """
    kind = torch.promote_types(torch.promote_types(keep_BTH.dtype, first_BH.dtype), torch.float32)
    made: Tensor = _Scan.apply(keep_BTH.to(kind), write_BTH.to(kind), first_BH.to(kind))  # type: ignore[no-untyped-call]
    return made


class _Scan(torch.autograd.Function):
    """The recurrence; its gradient is ``_Back``, whose gradient is the recurrence again."""

    @staticmethod
    def forward(keep_BTH: Tensor, write_BTH: Tensor, first_BH: Tensor) -> Tensor:
        made_BTH = torch.empty_like(write_BTH, memory_format=torch.contiguous_format)
        _fill(keep_BTH, write_BTH, first_BH, made_BTH)
        return made_BTH

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
        keep_BTH, _, first_BH = inputs
        ctx.save_for_backward(keep_BTH, first_BH, output)
        ctx.save_for_forward(keep_BTH, first_BH, output)

    @staticmethod
    def backward(ctx: Any, along_BTH: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        keep_BTH, first_BH, made_BTH = ctx.saved_tensors
        write_BTH: Tensor = _Back.apply(keep_BTH, along_BTH)  # type: ignore[no-untyped-call]
        return (
            write_BTH * _before(first_BH, made_BTH),
            write_BTH,
            keep_BTH[:, 0] * write_BTH[:, 0],
        )

    @staticmethod
    def jvp(ctx: Any, keep_BTH: Tensor, write_BTH: Tensor, first_BH: Tensor) -> Tensor:
        kept_BTH, began_BH, made_BTH = ctx.saved_tensors
        write_BTH = write_BTH + keep_BTH * _before(began_BH, made_BTH)
        made: Tensor = _Scan.apply(kept_BTH, write_BTH, first_BH)  # type: ignore[no-untyped-call]
        return made


class _Back(torch.autograd.Function):
    """v_t = g_t + keep_{t+1} * v_{t+1}, from the last step to the first: what each b_t is worth."""

    @staticmethod
    def forward(keep_BTH: Tensor, along_BTH: Tensor) -> Tensor:
        made_BTH = torch.empty_like(keep_BTH, memory_format=torch.contiguous_format)
        made_BTH[:, -1] = along_BTH[:, -1]
        rest = keep_BTH[:, 1:], along_BTH[:, :-1], along_BTH[:, -1], made_BTH[:, :-1]
        _fill(*rest, backwards=True)
        return made_BTH

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)
        ctx.save_for_forward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, along_BTH: Tensor) -> tuple[Tensor, Tensor]:
        keep_BTH, made_BTH = ctx.saved_tensors
        zero_BH = torch.zeros_like(along_BTH[:, 0])
        worth_BTH: Tensor = _Scan.apply(keep_BTH, along_BTH, zero_BH)  # type: ignore[no-untyped-call]
        return _before(zero_BH, worth_BTH) * made_BTH, worth_BTH

    @staticmethod
    def jvp(ctx: Any, keep_BTH: Tensor, along_BTH: Tensor) -> Tensor:
        kept_BTH, made_BTH = ctx.saved_tensors
        later_BTH = functional.pad(keep_BTH[:, 1:] * made_BTH[:, 1:], (0, 0, 0, 1))
        made: Tensor = _Back.apply(kept_BTH, along_BTH + later_BTH)  # type: ignore[no-untyped-call]
        return made


def _before(first_BH: Tensor, made_BTH: Tensor) -> Tensor:
    """What each step began from."""
    return torch.cat([first_BH.unsqueeze(1), made_BTH[:, :-1]], dim=1)


def _fill(
    keep_BTH: Tensor,
    write_BTH: Tensor,
    first_BH: Tensor,
    made_BTH: Tensor,
    *,
    backwards: bool = False,
) -> None:
    """Runs the recurrence into ``made``, from the last step to the first if ``backwards``."""
    small = keep_BTH.shape[1] >= _LONG and first_BH.numel() < _SMALL
    if small or keep_BTH.device.type != "cpu":
        if backwards:
            turned = _chunked(keep_BTH.flip(1), write_BTH.flip(1), first_BH)
            made_BTH.copy_(turned.flip(1))
        else:
            made_BTH.copy_(_chunked(keep_BTH, write_BTH, first_BH))
        return
    steps = list(zip(keep_BTH.unbind(1), write_BTH.unbind(1), made_BTH.unbind(1), strict=True))
    for keep_BH, write_BH, made_BH in reversed(steps) if backwards else steps:
        torch.addcmul(write_BH, keep_BH, first_BH, out=made_BH)
        first_BH = made_BH


def _chunked(keep_BTH: Tensor, write_BTH: Tensor, first_BH: Tensor) -> Tensor:
    """The same, with a step of all chunks at a time, then what each chunk got from those before."""
    rows, steps, size = keep_BTH.shape
    length = max(1, math.isqrt(steps))
    chunks = -(-steps // length)
    room = (0, 0, 0, chunks * length - steps)
    kept_BCLH = functional.pad(keep_BTH, room, value=1.0).view(rows, chunks, length, size)
    made_BCLH = functional.pad(write_BTH, room).view(rows, chunks, length, size)
    if room[-1] == 0:  # then nothing was copied yet
        kept_BCLH, made_BCLH = kept_BCLH.clone(), made_BCLH.clone()
    for t in range(1, length):
        made_BCLH[:, :, t].addcmul_(kept_BCLH[:, :, t], made_BCLH[:, :, t - 1])
        kept_BCLH[:, :, t] *= kept_BCLH[:, :, t - 1]
    starts = [first_BH]
    for chunk in range(chunks - 1):
        last = made_BCLH[:, chunk, -1], kept_BCLH[:, chunk, -1]
        starts.append(torch.addcmul(*last, starts[-1]))
    made_BCLH.addcmul_(kept_BCLH, torch.stack(starts, dim=1).unsqueeze(2))
    return made_BCLH.view(rows, chunks * length, size)[:, :steps]
