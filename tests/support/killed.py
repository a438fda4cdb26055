"""Trains in a process that sends itself a signal at a given moment.

    python -m support.killed RECIPE DATA RUN update|sync NUMBER [INIT_FROM]
    python -m support.killed SIGTERM|SIGINT NUMBER train ARGUMENTS
    python -m support.killed fsync NUMBER ARGUMENTS

The first sends SIGKILL: "update" counts updates of this process, "sync" the times that it waits for
the disk, so that every moment in the writing of a checkpoint can be hit. The second runs the
command line and sends the signal at the given update. The third runs any command line, and sends
SIGKILL when it waits for the disk for the given time; 0: never.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import seq2seq
from seq2seq.storage import atomic
from seq2seq.training.monitoring import Monitor, Silent, Step


class Countdown:
    """Kills the process at the given call."""

    def __init__(self, number: int, by: signal.Signals = signal.SIGKILL) -> None:
        self.left = number
        self.by = by

    def __call__(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), self.by)


class Deadly(Silent):
    """Counts updates."""

    def __init__(self, countdown: Countdown) -> None:
        super().__init__()
        self.countdown = countdown

    def step(self, step: Step) -> None:
        self.countdown()


def main() -> None:
    if sys.argv[1].startswith("SIG"):
        command_line()
        return
    if sys.argv[1] == "fsync":
        waiting()
        return
    recipe, data, run, what, number, *first = sys.argv[1:]
    countdown = Countdown(int(number))
    monitor = Deadly(countdown) if what == "update" else Silent()
    if what == "sync":
        real = atomic.sync

        def counted(path: Path) -> None:
            countdown()
            real(path)

        atomic.sync = counted
    begin = first[0] if first else None
    seq2seq.train(recipe, run, data=data, init_from=begin, threads=1, monitor=monitor)


def command_line() -> None:
    from seq2seq.cli.app import main as run_command

    countdown = Countdown(int(sys.argv[2]), signal.Signals[sys.argv[1]])
    Monitor.step = lambda self, step: countdown()  # type: ignore[method-assign]
    sys.argv[1:] = sys.argv[3:]
    run_command()


def waiting() -> None:
    from seq2seq.cli.app import main as run_command

    countdown, real = Countdown(int(sys.argv[2])), os.fsync

    def counted(number: int) -> None:
        countdown()
        real(number)

    os.fsync = counted
    sys.argv[1:] = sys.argv[3:]
    run_command()


if __name__ == "__main__":
    main()
