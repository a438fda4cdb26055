"""How torch's threads wait for one another: awake on a quiet machine, asleep on a busy one."""

from __future__ import annotations

import contextlib
import os
import sys
from threading import Event, Thread

import torch

from seq2seq.processors import SPINS, usable_processors

if sys.platform == "linux":
    import resource

LOOK_SECONDS = 1.0
"""Between two looks at how often this process was interrupted."""

QUIET, MORE = 150, 25
"""Interruptions in a second, and for each thread, from which on others want the processors.

Seen with two threads on two cores: at most 63 on a quiet machine; 490 and more beside another busy
process while threads wait awake, 2,100 and more while they wait asleep.
"""

QUIET_LOOKS = 5
"""After so many quiet looks in a row threads wait awake again."""

_ENOUGH = 2**17  # numbers: torch adds up so many with all its threads
_MOST_TEAMS = 8


class Waits:
    """Lets torch's threads wait asleep as long as other processes want the processors, too.

    Awake, a thread is there at once when the next operation begins, and two threads take a fifth
    to two fifths less time than asleep. But where others have work, it takes the processor from
    them, and from the thread that it waits for, and two threads are several times slower than one.
    What is computed is the same either way, so that it may change at any time.

    A thread looks once a second how often this process was made to yield a processor. GNU's OpenMP
    can't be told how to wait once it runs, but it stops waiting awake by itself where it manages
    more threads than there are processors (``gomp_managed_threads`` in its ``wait.h``): threads
    that do nothing are enough. Nothing is done where the user has said how threads wait, on other
    systems than Linux, and where there are so many more processors than threads that this would
    take many. Another OpenMP than GNU's does not care.

    Args:
        threads: How many compute; ``torch.get_num_threads()`` in this thread.
    """

    def __init__(self, threads: int) -> None:
        self._over = False
        self._end = Event()
        self._watch: Thread | None = None
        if sys.platform != "linux" or threads < 2:
            return
        is_ours = os.environ.get("GOMP_SPINCOUNT") == SPINS
        teams = -(-(usable_processors() + 1 - threads) // (threads - 1))
        if is_ours and "OMP_WAIT_POLICY" not in os.environ and teams <= _MOST_TEAMS:
            args = (threads, max(1, teams))
            self._watch = Thread(target=self._look, args=args, name="waits", daemon=True)
            with contextlib.suppress(RuntimeError):  # no more threads: it was a help, no need
                self._watch.start()

    def end(self) -> None:
        """Stops looking within a second; takes no lock, so that a finalizer may call it."""
        self._over = True

    def close(self) -> None:
        """Stops looking; threads wait awake."""
        self.end()
        self._end.set()
        if self._watch is not None and self._watch.ident is not None:
            self._watch.join()

    def _look(self, threads: int, teams: int) -> None:
        idle: list[_IdleTeam] = []
        quiet, before = 0, _interruptions()
        while not self._end.wait(LOOK_SECONDS) and not self._over:
            now = _interruptions()
            busy = now - before > (QUIET + MORE * threads) * LOOK_SECONDS
            quiet, before = 0 if busy else quiet + 1, now
            if busy and not idle:
                with contextlib.suppress(RuntimeError):
                    for _ in range(teams):  # those that began are closed, too, if another cannot
                        idle.append(_IdleTeam())
            elif quiet == QUIET_LOOKS:
                _close(idle)
        _close(idle)


class _IdleTeam:
    """As many threads of OpenMP's as torch computes with, doing nothing until they are closed.

    They belong to the Python thread that called for them, and end with it.
    """

    def __init__(self) -> None:
        self._end, begun = Event(), Event()
        self._owner = Thread(target=self._own, args=(begun,), name="idle team", daemon=True)
        self._owner.start()
        begun.wait()

    def close(self) -> None:
        self._end.set()
        self._owner.join()

    def _own(self, begun: Event) -> None:
        try:
            torch.ones(_ENOUGH).sum()
        finally:
            begun.set()
        self._end.wait()


def _close(idle: list[_IdleTeam]) -> None:
    while idle:
        idle.pop().close()


def _interruptions() -> int:
    """How often this process's threads had to yield a processor so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
