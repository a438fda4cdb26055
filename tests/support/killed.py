"""Trains in a process that kills itself with SIGKILL at a given moment.

    python -m support.killed RECIPE DATA RUN update|sync NUMBER

"update" counts updates of this process, "sync" the times that it waits for the disk, so that every
moment in the writing of a checkpoint can be hit.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import seq2seq
from seq2seq.training import checkpoint
from seq2seq.training.monitor import Silent, Step


class Countdown:
    """Kills the process at the given call."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Deadly(Silent):
    """Counts updates."""

    def __init__(self, countdown: Countdown) -> None:
        super().__init__()
        self.countdown = countdown

    def step(self, step: Step) -> None:
        self.countdown()


def main() -> None:
    recipe, data, run, what, number = sys.argv[1:]
    countdown = Countdown(int(number))
    monitor = Deadly(countdown) if what == "update" else Silent()
    if what == "sync":
        real = checkpoint.sync

        def counted(path: Path) -> None:
            countdown()
            real(path)

        checkpoint.sync = counted
    seq2seq.train(recipe, run, data=data, threads=1, monitor=monitor)


if __name__ == "__main__":
    main()
