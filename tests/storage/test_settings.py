from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from seq2seq.storage.settings import place_for_matplotlib


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delitem(sys.modules, "matplotlib", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_its_own_folder_is_used_where_there_is_one(home: Path) -> None:
    (home / ".config/matplotlib").mkdir(parents=True)
    place_for_matplotlib()
    assert "MPLCONFIGDIR" not in os.environ


def test_without_a_place_for_files_all_else_works(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_place(**options: str) -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.mkdtemp", no_place)
    place_for_matplotlib()
    assert "MPLCONFIGDIR" not in os.environ
