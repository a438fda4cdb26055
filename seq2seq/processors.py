"""How many processors this process may use, and whether torchrun has started others beside it."""

from __future__ import annotations

import contextlib
import os


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


def let_threads_sleep() -> None:
    """Has torch's threads sleep while they wait for one another; to be called before its import.

    They would spin, each taking a processor from whoever has work: where others use the processors
    too, two threads are then many times slower than one. A setting of the user's is left alone.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & os.environ.keys():
        os.environ["OMP_WAIT_POLICY"] = "passive"


def started_by_torchrun() -> bool:
    """Whether torchrun has started other processes beside this one."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and "RANK" in os.environ
