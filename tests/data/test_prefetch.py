"""Making things ahead in a thread: their order, what goes wrong there, and how it ends."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from seq2seq.data.batching import prefetched


def test_the_same_things_one_ahead() -> None:
    made = []

    def things() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            yield number

    drawn = prefetched(things(), "a")
    assert made == []  # nothing is begun before it is asked for
    assert [next(drawn), *drawn] == [0, 1, 2, 3, 4] == made
    assert list(prefetched(iter([]), "b")) == []
    assert list(prefetched(iter([None, 0, []]), "c")) == [None, 0, []]


def test_what_goes_wrong_in_the_thread_is_raised_at_its_place() -> None:
    def things() -> Iterator[int]:
        yield 1
        raise ValueError("the second")

    drawn = prefetched(prefetched(things(), "inner"), "outer")
    assert next(drawn) == 1
    with pytest.raises(ValueError, match="the second"):
        next(drawn)
    assert list(drawn) == []


def test_who_closes_does_not_wait_for_the_thread() -> None:
    begun, go_on, ended = (threading.Event() for _ in range(3))

    def things() -> Iterator[int]:
        try:
            yield 1
            begun.set()
            go_on.wait(60)
            yield 2
        finally:
            ended.set()

    drawn = prefetched(things(), "slow")
    assert next(drawn) == 1
    assert begun.wait(60)
    drawn.close()
    assert not ended.is_set()
    go_on.set()
    del drawn
    assert ended.wait(60)  # nobody holds what is drawn from any more


def test_a_process_ends_while_threads_are_at_work() -> None:
    code = (
        "import itertools, time\n"
        "from seq2seq.data.batching import prefetched\n"
        "slow = (time.sleep(0.05) or n for n in itertools.count())\n"
        "drawn = prefetched(prefetched(slow, 'inner'), 'outer')\n"
        "print(next(drawn), next(drawn))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "0 1\n", "")
