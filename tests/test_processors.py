from __future__ import annotations

import os
import subprocess
import sys

import pytest

from seq2seq.processors import let_threads_sleep, load_average

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


@pytest.mark.parametrize("own", [None, *SETTINGS])
def test_threads_sleep_unless_the_user_has_said_how_they_wait(
    monkeypatch: pytest.MonkeyPatch, own: str | None
) -> None:

    for name in SETTINGS:
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)
    if own is not None:
        monkeypatch.setenv(own, "active")
    let_threads_sleep()
    found = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    assert found == {own or "OMP_WAIT_POLICY": "active" if own else "passive"}


def test_the_setting_is_there_before_torch_is_imported() -> None:
    code = "import os, sys, seq2seq; print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    plain = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    found = subprocess.run(
        [sys.executable, "-c", code], env=plain, capture_output=True, text=True, check=True
    )
    assert found.stdout == "False passive\n"


def test_a_system_that_does_not_tell_its_load_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (3.5, 2.0, 1.0), raising=False)
    assert load_average() == 3.5
    monkeypatch.delattr("os.getloadavg")
    assert load_average() == 0.0
