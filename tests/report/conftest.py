from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.tiny import tiny_recipe

import seq2seq
from seq2seq.training.monitoring import Silent


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with attention, trained to its end; its data is beside it."""
    folder = tmp_path_factory.mktemp("reported")
    recipe = tiny_recipe(folder, ['model.decoder.attention="general"', "training.updates=40"])
    seq2seq.prepare(recipe, folder / "data", processes=1)
    seq2seq.train(recipe, folder / "run", data=folder / "data", threads=1, monitor=Silent())
    return folder / "run"


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """The same to be changed."""
    return Path(shutil.copytree(trained, tmp_path / "run", symlinks=True))
