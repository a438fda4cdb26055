"""How many processors this process may use, and whether torchrun has started others beside it."""

from __future__ import annotations

import os


def usable_processors() -> int:
    """The processors that this process may run on; all of them where the system does not say."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def started_by_torchrun() -> bool:
    """Whether torchrun has started other processes beside this one."""
    return os.environ.get("WORLD_SIZE", "1") != "1" and "RANK" in os.environ
