"""Ending on request: the first signal asks, the second insists."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interrupted(KeyboardInterrupt):
    """A signal came during work that changes nothing before its end, and was abandoned."""


class StopRequest:
    """Whether a signal has asked training to save and end.

    ``asked`` names the signal that came, ``by`` the one by which training ends; both are empty
    before. ``alone``: this process ends by itself; if not, when it has agreed with others.
    """

    NAMES = ("SIGTERM", "SIGINT")

    def __init__(self, *, alone: bool = True) -> None:
        self.asked = self.by = ""
        self._alone = alone
        self._interruptible = False

    def __bool__(self) -> bool:
        return bool(self.by)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A context for work that changes nothing before its end: a signal need not wait for it.

        Raises ``Interrupted`` when the first signal comes, or if it has come before.
        """
        before, self._interruptible = self._interruptible, True
        try:
            if self.asked or self.by:
                raise Interrupted
            yield
        finally:
            self._interruptible = before

    def ask(self, number: int) -> None:
        """Notes a signal that has come; the first raises ``Interrupted`` in interruptible work.

        A second one raises ``KeyboardInterrupt``, but not in one of several processes: a signal to
        all of them can come twice, and who started them kills them in time.
        """
        if self.asked:
            if self._alone:
                raise KeyboardInterrupt
            return
        self.asked = signal.Signals(number).name
        if self._alone:
            self.by = self.asked
        if self._interruptible:
            raise Interrupted

    def agree(self, name: str) -> None:
        """Ends training by the name of a signal that came to any of several processes."""
        self.by = self.by or name


@contextmanager
def stop_on_signals(*, alone: bool = True) -> Iterator[StopRequest]:
    """Turns the first SIGINT or SIGTERM into a request, the second into KeyboardInterrupt.

    ``alone``: see ``StopRequest``.
    """
    request = StopRequest(alone=alone)
    with signals_handled(request.ask):
        yield request


@contextmanager
def signals_handled(handler: Callable[[int], None]) -> Iterator[None]:
    """Has SIGINT and SIGTERM handled; does nothing in threads, which cannot catch them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    # A script's background job ignores SIGINT, which is meant for what the script does in front.
    both = (signal.SIGINT, signal.SIGTERM)
    watched = [number for number in both if signal.getsignal(number) != signal.SIG_IGN]
    before = [signal.signal(number, lambda came, _: handler(came)) for number in watched]
    try:
        yield
    finally:
        for number, earlier in zip(watched, before, strict=True):
            signal.signal(number, earlier)
