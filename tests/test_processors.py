from __future__ import annotations

import os
import subprocess
import sys

import pytest

from seq2seq.processors import SPINS, WAIT_SETTINGS, load_average, set_thread_waits

OURS = (
    {"GOMP_SPINCOUNT": SPINS, "KMP_BLOCKTIME": "0"}
    if sys.platform == "linux"
    else {"OMP_WAIT_POLICY": "passive"}
)


@pytest.mark.parametrize("own", [None, *sorted(WAIT_SETTINGS)])
def test_how_threads_wait_is_set_unless_the_user_has_said_it(
    monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:
    for name in WAIT_SETTINGS:
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)
    if own is not None:
        monkeypatch.setenv(own, "active")
    set_thread_waits()
    found = {name: os.environ[name] for name in WAIT_SETTINGS if name in os.environ}
    assert found == (OURS if own is None else {own: "active"})


def test_the_setting_is_there_before_torch_is_imported() -> None:
    code = "import os, sys, seq2seq; print('torch' in sys.modules, os.environ.get(sys.argv[1]))"
    name, value = next(iter(OURS.items()))
    plain = {key: text for key, text in os.environ.items() if key not in WAIT_SETTINGS}
    found = subprocess.run(
        [sys.executable, "-c", code, name], env=plain, capture_output=True, text=True, check=True
    )
    assert found.stdout == f"False {value}\n"


def test_a_system_that_does_not_tell_its_load_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (3.5, 2.0, 1.0), raising=False)
    assert load_average() == 3.5
    monkeypatch.delattr("os.getloadavg")
    assert load_average() == 0.0
