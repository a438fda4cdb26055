"""Ending on request: the first signal asks, the second insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Whether a signal has asked training to save and end.

    Attributes:
        by: The signal's name; empty while there was none.
    """

    def __init__(self) -> None:
        self.by = ""

    def __bool__(self) -> bool:
        return bool(self.by)


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request, the second into KeyboardInterrupt.

    Yields:
        The request. In a thread other than the main one signals cannot be caught, and it is never
        set.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if request:
            raise KeyboardInterrupt
        request.by = signal.Signals(number).name

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
