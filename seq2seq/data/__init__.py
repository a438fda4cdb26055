"""Data: corpora become prepared folders, and these become batches; and how long work reports it."""

from __future__ import annotations

import os
from typing import Protocol, TextIO


class Progress(Protocol):
    """Hears how far work is: tasks come one after another, each started and finished once."""

    def start(self, task: str, total: int | None) -> None:
        """Begins a task ("reading train") of so many units; None if nobody knows how many."""

    def advance(self, count: int) -> None:
        """Reports the units done since the last report."""

    def finish(self) -> None:
        """Ends the task."""


class Silent(Progress):
    """Draws nothing: what a library call has where the command line has bars."""

    def start(self, task: str, total: int | None) -> None:
        """Does nothing."""

    def advance(self, count: int) -> None:
        """Does nothing."""

    def finish(self) -> None:
        """Does nothing."""


def can_redraw(stream: TextIO) -> bool:
    """Whether a stream goes to a terminal that understands more than text."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
