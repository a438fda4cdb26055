from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from itertools import accumulate
from threading import Thread

import pytest

from seq2seq.nn import waits
from seq2seq.nn.waits import QUIET_LOOKS, Waits
from seq2seq.processors import SPINS, WAIT_SETTINGS, usable_processors

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP, and Linux's counts")


@pytest.fixture(autouse=True)
def _ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in WAIT_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GOMP_SPINCOUNT", SPINS)
    monkeypatch.setattr(waits, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(waits, "QUIET", 300)  # thrice a look
    monkeypatch.setattr(waits, "MORE", 50)
    monkeypatch.setattr(waits, "usable_processors", lambda: 2)


def _idle(monkeypatch: pytest.MonkeyPatch, interrupted: Sequence[int]) -> list[int]:
    """At which looks idle threads begin, and, negative, end; interrupted so often between them."""
    looks = 0
    totals = list(accumulate(interrupted, initial=0))
    happened: list[int] = []

    def interruptions() -> int:
        nonlocal looks
        looks += 1
        if looks == len(totals):
            watch._end.set()
        return totals[looks - 1]

    class Idle:
        def __init__(self) -> None:
            happened.append(looks - 1)

        def close(self) -> None:
            happened.append(1 - looks)

    monkeypatch.setattr(waits, "_interruptions", interruptions)
    monkeypatch.setattr(waits, "_IdleTeam", Idle)
    watch = Waits(2)
    assert watch._watch is not None
    watch._watch.join(60)
    assert looks == len(totals)
    return happened


@pytest.mark.parametrize(
    ("interrupted", "expected"),
    [
        ([0, 1, 0, 1], []),
        ([0, 9, 9, 9], [2, -4]),  # closed at the end
        ([9, 0, 0, 0, 0, 9, 0, 0, 0, 0], [1, -10]),  # quiet, but not for long enough
        ([0, 9, 0, 0, 0, 0, 0, 0, 9, 0], [2, -7, 9, -10]),
    ],
)
def test_idle_threads_are_there_as_long_as_others_want_the_processors(
    monkeypatch: pytest.MonkeyPatch, interrupted: list[int], expected: list[int]
) -> None:
    assert QUIET_LOOKS == 5
    assert _idle(monkeypatch, interrupted) == expected


@pytest.mark.parametrize("setting", sorted(WAIT_SETTINGS))
def test_a_setting_of_the_users_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    if setting == "KMP_BLOCKTIME":  # then ours was not made
        monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv(setting, "1")
    watch = Waits(8)
    assert watch._watch is None
    watch.close()


@pytest.mark.parametrize(
    ("threads", "processors", "teams"),
    [(2, 2, 1), (4, 2, 1), (4, 4, 1), (2, 3, 2), (8, 16, 2), (2, 9, 8), (2, 10, None)],
)
def test_teams_are_as_many_as_it_takes_and_few(
    monkeypatch: pytest.MonkeyPatch, threads: int, processors: int, teams: int | None
) -> None:
    monkeypatch.setattr(waits, "usable_processors", lambda: processors)
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(Waits, "_look", lambda self, *given: seen.append(given))
    Waits(threads).close()
    assert seen == ([] if teams is None else [(threads, teams)])
    if teams is not None:  # with those that compute they are more than the processors
        assert threads + teams * (threads - 1) > processors


def test_a_system_without_room_for_threads_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", refuse)
    Waits(2).close()
    with pytest.raises(RuntimeError):
        waits._IdleTeam()


def test_one_thread_waits_for_nobody() -> None:
    watch = Waits(1)
    assert watch._watch is None
    watch.close()


def test_closing_ends_the_watch() -> None:
    watch = Waits(2)
    assert watch._watch is not None
    assert watch._watch.is_alive()
    watch.close()
    assert not watch._watch.is_alive()


SLEEPS = """
import resource, time
import torch
from seq2seq.nn.waits import _IdleTeam
from seq2seq.processors import usable_processors

torch.set_num_threads(usable_processors())
numbers = torch.ones(1_000_000)

def sleeps():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw
    for _ in range(200):
        numbers.sum()
        end = time.perf_counter() + 0.001
        while time.perf_counter() < end:  # while the other thread waits
            pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_nvcsw - before

numbers.sum()
awake = sleeps()
idle = _IdleTeam()
asleep = sleeps()
assert torch.get_num_threads() == usable_processors()
idle.close()
print(awake, asleep, sleeps())
"""


@pytest.mark.skipif(usable_processors() < 2, reason="two threads of one processor always sleep")
def test_threads_wait_asleep_while_there_are_idle_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMP_SPINCOUNT", "300000000")  # seconds: it never sleeps by itself
    found = subprocess.run(
        [sys.executable, "-c", SLEEPS], capture_output=True, text=True, check=True
    )
    before, asleep, after = map(int, found.stdout.split())
    assert before < 100
    assert asleep >= 150
    assert after < 100
