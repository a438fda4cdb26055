"""Data: corpora become prepared folders, and these become batches, and how far that work is."""

from __future__ import annotations

import os
from typing import TextIO


class Progress:
    """Reports how far work is; this one shows nothing, as a library call does.

    Tasks come one after another, each started once and finished once.
    """

    def start(self, task: str, total: int | None) -> None:
        """Begins a task ("reading train") of so many units; None if nobody knows how many."""

    def advance(self, count: float) -> None:
        """Reports the units done since the last report."""

    def finish(self) -> None:
        """Ends the task."""


def can_redraw(stream: TextIO) -> bool:
    """Whether a stream goes to a terminal that understands more than text."""
    return stream.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
