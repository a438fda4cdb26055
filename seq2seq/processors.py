"""How many processors this process may use, and whether torchrun has started others beside it."""

from __future__ import annotations

import contextlib
import os
import sys

WAIT_SETTINGS = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}
"""How OpenMP's threads wait, in the environment."""

SPINS = "20000"
"""How often a waiting thread looks before it sleeps: a millisecond at most.

On two quiet cores an update takes as long with torch's own 300,000, and with none a quarter to
three quarters longer.
"""


def usable_processors() -> int:
    """The processors that this process may run on; all of them where the system does not say."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float:
    """How many threads wanted a processor in the last minute; 0 where the system does not say."""
    with contextlib.suppress(AttributeError, OSError):  # not on Windows
        return os.getloadavg()[0]
    return 0.0


def set_thread_waits() -> None:
    """Says how torch's threads wait for one another; to be called before its import.

    By itself torch has them try for milliseconds, each taking a processor from whoever has work:
    where others use the processors too, two threads are then many times slower than one. GNU's
    OpenMP, which torch for Linux brings, tries as long as an operation's shortest waits and can be
    told while it runs to stop that (:class:`seq2seq.nn.waits.Waits`); other threads sleep at once.
    A setting of the user's is left alone.
    """
    if WAIT_SETTINGS & os.environ.keys():
        return
    if sys.platform == "linux":
        os.environ["GOMP_SPINCOUNT"] = SPINS
        os.environ["KMP_BLOCKTIME"] = "0"
    else:
        os.environ["OMP_WAIT_POLICY"] = "passive"


def started_by_torchrun() -> bool:
    """Whether torchrun has started other processes beside this one."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and "RANK" in os.environ
