"""How long work says where it is; the command line draws it, a library call is silent."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Tasks come one after another, each started once and finished once."""

    def start(self, task: str, total: int | None) -> None:
        """Begins a task.

        Args:
            task: What is done, in a few words ("reading train").
            total: How many units it has; None if nobody knows.
        """

    def advance(self, count: int) -> None:
        """Reports that more of the task is done.

        Args:
            count: Units done since the last report.
        """

    def finish(self) -> None:
        """Ends the task."""


class Silent:
    """Says nothing."""

    def start(self, task: str, total: int | None) -> None:
        """Does nothing."""

    def advance(self, count: int) -> None:
        """Does nothing."""

    def finish(self) -> None:
        """Does nothing."""
