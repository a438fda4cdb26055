"""Ending on request: the first signal asks, the second insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A signal came during work that can be dropped: it will be done again from the start."""


class StopRequest:
    """Whether a signal has asked training to save and end.

    Attributes:
        by: The signal's name; empty while there was none.
    """

    def __init__(self) -> None:
        self.by = ""
        self._dropping = False

    def __bool__(self) -> bool:
        return bool(self.by)

    @contextmanager
    def dropping(self) -> Iterator[None]:
        """Marks work that changes nothing until it is done, so that a signal need not wait for it.

        Yields:
            Nothing.

        Raises:
            Interrupted: When the first signal comes, or if it has come before.
        """
        self._dropping = True
        try:
            if self.by:
                raise Interrupted
            yield
        finally:
            self._dropping = False

    def ask(self, number: int) -> None:
        """Takes a signal in.

        Args:
            number: Which.

        Raises:
            Interrupted: If it is the first, and work is under way that can be dropped.
            KeyboardInterrupt: If it is not the first.
        """
        if self.by:
            raise KeyboardInterrupt
        self.by = signal.Signals(number).name
        if self._dropping:
            raise Interrupted


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request, the second into KeyboardInterrupt.

    Yields:
        The request. In a thread other than the main one signals cannot be caught, and it is never
        set.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        request.ask(number)

    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    watched = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, handle) for number in watched]
    try:
        yield request
    finally:
        for number, handler in zip(watched, before, strict=True):
            signal.signal(number, handler)
