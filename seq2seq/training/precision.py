"""How a training computes: seeds, types, threads, and whether always by the same way."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from seq2seq.errors import number_of
from seq2seq.nn.waits import Waits
from seq2seq.recipe import Recipe

DROPOUT, SAMPLING = 1, 2
"""What random streams are for; see ``stream_seed``."""

THREAD_WORK = 2**17
"""Tokens of a batch times hidden units for which a thread more is worth it.

With less each thread has so little to do between two meetings that waiting costs more than it
gains. Seen on two cores: at 2**16 two threads take 1.1 times as long as one, and beside another
busy process 1.3 times; at 2**17 0.86 and 1.2 times; at 2**18 0.7 and 1.1 times.
"""


def stream_seed(seed: int, purpose: int, number: int, rank: int = 0) -> int:
    """A seed, of 31 bits, for one of many random streams of a process.

    By splitmix64's finalizer: near seeds, far streams; two purposes have nothing in common.
    """
    purpose += rank << 8
    value = seed * 0x9E3779B97F4A7C15 + purpose * 0xD1B54A32D192ED03 + number
    value &= 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (value ^ (value >> 31)) & 0x7FFFFFFF


def bound_primitive_cache() -> None:
    """Keeps oneDNN from remembering every shape of batch it has met.

    It compiles each operation for each shape and keeps 1,024 of the results, which for batches of
    many lengths grows to gigabytes over the first epochs. A quarter of them costs a few percent of
    the time. It must be said before oneDNN is first used; a setting of the user's is left alone.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")


@contextmanager
def enough_threads(asked: int | None, recipe: Recipe, device: torch.device) -> Iterator[str]:
    """Has torch compute with no more threads than an update keeps busy; yields what to tell users.

    Where the user asks for a number, here or by ``OMP_NUM_THREADS``, it is that, and there is
    nothing to tell. Afterwards torch has as many as before.
    """
    before = threads = torch.get_num_threads()
    note = ""
    if asked is not None:
        threads = asked
    elif device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
        hidden = recipe.model.encoder.hidden
        if recipe.data.kind is None:
            hidden = max(hidden, recipe.model.decoder.hidden)
        threads = max(1, min(before, recipe.training.batch_tokens * hidden // THREAD_WORK))
        if threads < before:
            each = number_of(threads, "thread")
            note = f"training with {each} of {before}: for so small a network more gain little"
    try:
        torch.set_num_threads(threads)
        waits = Waits(threads if device.type == "cpu" else 1)
        try:
            yield note
        finally:
            waits.close()
    finally:
        torch.set_num_threads(before)


def give_back_memory() -> None:
    """Gives the system the memory that is free but kept for later, where the C library can.

    glibc keeps what is freed between pieces in use. Batches of many shapes leave many such holes
    around what oneDNN remembers of them: over some hours, more than all that is in use.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


@contextmanager
def same_bits(wanted: bool) -> Iterator[None]:
    """Holds torch to algorithms that give the same bits every time, if that is wanted.

    Without it they are the same from run to run on a processor, too, with the same number of
    threads; a GPU adds up in whatever order its threads arrive. Afterwards torch is as it was.
    """
    if not wanted:
        yield
        return
    # cuBLAS reads it when it starts; without it its deterministic ways are refused.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    options: Any = torch.utils.deterministic
    fill = options.fill_uninitialized_memory
    options.fill_uninitialized_memory = False  # a help to find bugs, at the cost of time
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        options.fill_uninitialized_memory = fill


def precision_of(recipe: Recipe, device: torch.device) -> torch.dtype:
    """The precision of a recipe's training; left to us, it is float32 for a problem.

    Its answers are numbers that must be right to a few hundredths, over hundreds of steps. Always
    float32 are Hessian-free updates, whose products with the curvature cancel.
    """
    asked = recipe.training.precision
    if recipe.training.needs_float32 or (asked == "auto" and recipe.data.kind is not None):
        return torch.float32
    return resolve_precision(asked, device)


def resolve_precision(asked: str, device: torch.device) -> torch.dtype:
    """What the recipe's ``training.precision`` means on a device: float32 or bfloat16.

    Weights and the optimizer's state are float32 either way.
    """
    if asked != "auto":
        return getattr(torch, asked)  # type: ignore[no-any-return]
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = bool(has.get("avx512_bf16") or has.get("amx_bf16"))
    return torch.bfloat16 if fast else torch.float32
