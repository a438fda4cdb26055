"""Signals, sent for real: this process gets them."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import suppress

import pytest

from seq2seq.training.signals import Interrupted, StopRequest, stop_on_signals

NUMBERS = [signal.SIGINT, signal.SIGTERM]
every_signal = pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    # Python runs the handler in the main thread, at its next instruction: this one.
    assert True


def test_nothing_is_asked_at_first() -> None:
    assert not StopRequest()
    with stop_on_signals() as stop:
        assert not stop
        assert stop.by == ""


@every_signal
def test_the_first_signal_asks(number: signal.Signals) -> None:
    with stop_on_signals() as stop:
        send(number)
        assert stop
        assert stop.by == number.name


@every_signal
@pytest.mark.parametrize("second", NUMBERS, ids=lambda number: number.name)
def test_the_second_insists(number: signal.Signals, second: signal.Signals) -> None:
    before = [signal.getsignal(each) for each in NUMBERS]
    with stop_on_signals() as stop:
        send(number)
        with pytest.raises(KeyboardInterrupt):
            send(second)
    assert stop.by == number.name
    assert [signal.getsignal(each) for each in NUMBERS] == before


def test_handlers_are_as_before_afterwards() -> None:
    def mine(*_: object) -> None:
        """Never called."""

    before = [signal.signal(each, mine) for each in NUMBERS]
    try:
        with suppress(ZeroDivisionError), stop_on_signals():
            assert mine not in [signal.getsignal(each) for each in NUMBERS]
            _ = 1 / 0
        assert [signal.getsignal(each) for each in NUMBERS] == [mine, mine]
    finally:
        for each, handler in zip(NUMBERS, before, strict=True):
            signal.signal(each, handler)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell's script does behind "&"
    try:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGINT)
            assert not stop
            send(signal.SIGTERM)
            assert stop
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_in_another_thread_signals_are_left_alone() -> None:
    before = [signal.getsignal(each) for each in NUMBERS]
    found: list[object] = []

    def work() -> None:
        with stop_on_signals() as stop:
            found.extend([bool(stop), [signal.getsignal(each) for each in NUMBERS] == before])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False, True]


def test_work_that_can_be_dropped_is_not_waited_for() -> None:
    with stop_on_signals() as stop:
        with stop.interruptible():
            pass
        with pytest.raises(Interrupted), stop.interruptible():
            send(signal.SIGTERM)
        assert stop.by == "SIGTERM"
        with pytest.raises(Interrupted), stop.interruptible():
            pytest.fail("it was begun although a signal had come")
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)


def test_other_work_is_done_to_its_end() -> None:
    with stop_on_signals() as stop:
        with stop.interruptible():
            pass
        send(signal.SIGINT)
        assert stop.by == "SIGINT"
