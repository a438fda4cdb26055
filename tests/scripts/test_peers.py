"""Setting peers up: what is stopped, what is believed, and what is said when it cannot be."""

from __future__ import annotations

import json
import sys
import time
import zipfile
from pathlib import Path

import pytest
from benchmarks import configs
from benchmarks.peers import Environment, PeerError, _newest, find_python, train_for

SAVES = """
import pathlib, signal, time
print("training", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    pathlib.Path({saved!r}).write_text("model")
"""


def test_a_peer_is_stopped_as_by_ctrl_c(tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    begun = time.monotonic()
    command = [sys.executable, "-c", SAVES.format(saved=str(saved))]
    log = tmp_path / "log"
    train_for(command, 1 / 60, log, lambda: "training" in log.read_text(encoding="utf-8"))
    assert time.monotonic() - begun < 30
    assert saved.read_text(encoding="utf-8") == "model"


def test_a_peer_that_ends_by_itself_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such option')"]
    with pytest.raises(PeerError, match=r"ended by itself:\n    no such option$"):
        train_for(command, 1, tmp_path / "log", lambda: True)


def test_a_checkpoint_that_is_not_whole_is_not_taken(tmp_path: Path) -> None:
    assert _newest(tmp_path) is None
    whole, cut = tmp_path / "model_step_25.pt", tmp_path / "model_step_50.pt"
    with zipfile.ZipFile(whole, "w") as file:
        file.writestr("data", "weights" * 100)
    cut.write_bytes(whole.read_bytes()[:-30])
    assert _newest(tmp_path) == whole


def test_a_python_is_found_by_its_version() -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert find_python(here) == sys.executable
    with pytest.raises(PeerError, match=r"^no Python 3\.2 with venv was found, .*pip cannot"):
        find_python("3.2")


def test_an_environment_that_is_there_is_not_made_again(tmp_path: Path) -> None:
    place = tmp_path / "env" / "tool"
    (place / "bin").mkdir(parents=True)
    (place / "bin" / "python").touch()
    (place / "bench-stamp").write_text("pip==1\ntool==2\n", encoding="utf-8")
    found = Environment("tool", "3.2", ("tool==2",), first=("pip==1",)).make(tmp_path)
    assert found == place / "bin" / "python"
    with pytest.raises(PeerError, match=r"no Python 3\.2"):
        Environment("tool", "3.2", ("tool==3",)).make(tmp_path)


def test_settings_are_read_the_same_from_yaml(tmp_path: Path) -> None:
    # YAML 1.1 takes JSON's "1e-07" for a word: no number may be written so.
    for settings in (
        configs.opennmt(tmp_path, tmp_path, 8000),
        configs.joeynmt(tmp_path, tmp_path, tmp_path),
    ):
        text = json.dumps(settings)
        assert json.loads(text) == settings
        assert "e-" not in text.replace(str(tmp_path), "")
