from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from seq2seq.text.threads import heeding_signals


def test_the_work_is_done_elsewhere_and_its_error_is_raised_here() -> None:
    seen: list[threading.Thread] = []
    heeding_signals(lambda _: seen.append(threading.current_thread()))
    assert seen
    assert seen[0] is not threading.main_thread()

    def fail(given_up: threading.Event) -> None:
        raise ZeroDivisionError("here")

    with pytest.raises(ZeroDivisionError, match="here"):
        heeding_signals(fail)


def test_a_signal_is_heeded_while_the_work_goes_on() -> None:
    ended = threading.Event()

    def work(given_up: threading.Event) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        given_up.wait(30.0)
        ended.set()

    begun = time.monotonic()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            heeding_signals(work)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.is_set(), "the work was told"
    assert time.monotonic() - begun < 5.0
