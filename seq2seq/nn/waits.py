"""How torch's threads wait for one another: awake on a quiet machine, asleep on a busy one."""

from __future__ import annotations

import os
import sys
from threading import Event, Thread

import torch

from seq2seq.processors import SPINS, usable_processors

if sys.platform == "linux":
    import resource

LOOK_SECONDS = 1.0
"""Between two looks at how often this process was interrupted."""

BUSY = 75
"""Interruptions of a thread in a second from which on others want its processor.

Seen with two threads on two cores: at most 63 in all on a quiet machine; 490 and more beside
another busy process while threads wait awake, 2,100 and more while they wait asleep.
"""

QUIET_LOOKS = 5
"""So many quiet looks one after the other, and threads wait awake again."""

_GRAIN = 2**15  # of numbers that torch gives a thread at least


class Waits:
    """Has threads that wait sleep as long as other processes want the processors, too.

    Awake, a thread is there at once when the next operation begins, and two threads take a fifth
    to two fifths less time than asleep; but where others have work, it takes from them, and what
    it waits for, the processor, and two threads are several times slower than one. What is
    computed is the same either way, so that it may change at any time.

    A thread looks once a second how often this process was made to yield a processor. GNU's OpenMP
    can't be told how to wait once it runs, but it stops waiting awake by itself where it manages
    more threads than there are processors (``gomp_managed_threads`` in its ``wait.h``): threads
    that do nothing are enough. Where the user has said how threads wait, and with other systems'
    OpenMP, nothing is done.

    Args:
        threads: How many compute.
    """

    def __init__(self, threads: int) -> None:
        self._end = Event()
        self._watch: Thread | None = None
        ours = os.environ.get("GOMP_SPINCOUNT") == SPINS and "OMP_WAIT_POLICY" not in os.environ
        if threads > 1 and ours and sys.platform == "linux":
            self._watch = Thread(target=self._look, args=(threads,), name="waits", daemon=True)
            self._watch.start()

    def close(self) -> None:
        """Stops looking; threads wait awake."""
        self._end.set()
        if self._watch is not None:
            self._watch.join()

    def _look(self, threads: int) -> None:
        idle: _IdleThreads | None = None
        quiet, before = 0, _interruptions()
        while not self._end.wait(LOOK_SECONDS):
            now = _interruptions()
            busy = now - before > BUSY * threads * LOOK_SECONDS
            quiet, before = 0 if busy else quiet + 1, now
            if busy and idle is None:
                idle = _IdleThreads()
            elif idle is not None and quiet == QUIET_LOOKS:
                idle.close()
                idle = None
        if idle is not None:
            idle.close()


class _IdleThreads:
    """One more thread of OpenMP's than there are processors, doing nothing until they are closed.

    They belong to the Python thread that called for them, and end with it.
    """

    def __init__(self) -> None:
        self._end, begun = Event(), Event()
        self._owner = Thread(target=self._own, args=(begun,), name="idle threads", daemon=True)
        self._owner.start()
        begun.wait()

    def close(self) -> None:
        self._end.set()
        self._owner.join()

    def _own(self, begun: Event) -> None:
        asked, count = torch.get_num_threads(), usable_processors() + 1
        torch.set_num_threads(count)
        torch.ones(count * _GRAIN).sum()
        torch.set_num_threads(asked)  # what threads that begin later take over
        begun.set()
        self._end.wait()


def _interruptions() -> int:
    """How often this process's threads had to yield a processor so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
