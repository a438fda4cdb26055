"""Work of C++ that must not keep a person waiting who wants to stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable


def heeding_signals(work: Callable[[threading.Event], None]) -> None:
    """Does long work of C++ in a thread, so that Ctrl-C need not wait for its end.

    Python minds signals in the main thread alone, and there only between its own instructions.

    Args:
        work: Called in the thread, with an event that is set when nobody waits for it any more.

    Raises:
        BaseException: What a signal's handler raises, or the work.
    """
    given_up, failed = threading.Event(), []

    def run() -> None:
        try:
            work(given_up)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    try:
        thread.start()
        while thread.is_alive():
            thread.join(0.1)
    except BaseException:
        given_up.set()
        thread.join(1.0)  # while it still asks for lines it ends at the next one
        raise
    if failed:
        raise failed[0]
