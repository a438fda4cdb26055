from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

import seq2seq
from seq2seq.errors import MissingExtraError, RecipeError


def test_every_name_is_there() -> None:
    assert dir(seq2seq) == sorted(seq2seq.__all__)
    for name in seq2seq.__all__:
        assert getattr(seq2seq, name) is not None
    assert seq2seq.__version__ == version("seq2seq")


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"^module 'seq2seq' has no attribute 'Translater'$"):
        seq2seq.Translater  # noqa: B018


def test_importing_loads_nothing_heavy() -> None:
    code = (
        "import sys, seq2seq; from seq2seq import prepare, train, __version__\n"
        "print({'torch', 'datasets', 'pyarrow', 'pydantic', 'sacrebleu'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"set()\n"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []

    def prepare(recipe, output, *, processes, progress, overwrite):
        found.append((recipe, output, processes, progress, overwrite))

    def train(recipe, run, *, data, threads, monitor, progress, **more):
        found.append((recipe, run, data, threads, monitor))

    monkeypatch.setattr("seq2seq.data.preparing.prepare.prepare", prepare)
    monkeypatch.setattr("seq2seq.training.session.train", train)
    return found


def test_recipes_by_name_path_and_value(calls, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\n', encoding="utf-8")
    quick = seq2seq.load_recipe("quickstart")
    mine = seq2seq.load_recipe(str(tmp_path / "mine.toml"))
    seq2seq.prepare("quickstart")
    seq2seq.prepare(tmp_path / "mine.toml", "out", processes=2, overwrite=True)
    seq2seq.train(mine)
    seq2seq.train("quickstart", "run", data="data", threads=1)
    assert calls == [
        (quick, Path("data/quickstart"), None, None, False),
        (mine, Path("out"), 2, None, True),
        (mine, Path("runs/mine"), None, None, None),
        (quick, Path("run"), Path("data"), 1, None),
    ]


def test_a_wrong_recipe_is_told_before_anything_is_loaded(calls) -> None:
    with pytest.raises(RecipeError, match="did you mean 'quickstart'"):
        seq2seq.train("quickstar")
    assert calls == []


def test_a_missing_package_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "seq2seq.training.session", None)
    with pytest.raises(ModuleNotFoundError, match=r"seq2seq\.training"):
        seq2seq.train("quickstart")  # a defect of ours is not blamed on the user
    monkeypatch.delitem(sys.modules, "seq2seq.training.session")
    monkeypatch.delitem(sys.modules, "seq2seq.training.precision", raising=False)  # needs torch
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError) as caught:
        seq2seq.train("quickstart")
    assert str(caught.value) == (
        "training needs the package 'torch', which is not installed: pip install 'seq2seq[train]'"
    )
