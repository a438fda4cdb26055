"""Fine-tuning in processes that are killed: they end with the weights of one that never was."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest
from support.processes import run_python
from support.published import weights_file
from support.tiny import AVERAGE, write_recipe

import seq2seq
from seq2seq.training.monitoring import Silent


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a general run, data that has its tokenizer, and a run fine-tuned on it."""
    folder = tmp_path_factory.mktemp("finetuning")
    recipe = write_recipe(folder)
    text = recipe.read_text(encoding="utf-8").replace("epochs = 2", "epochs = 1")
    recipe.write_text(text, encoding="utf-8")
    seq2seq.train(recipe, folder / "general", threads=1, monitor=Silent())
    write_recipe(folder, 120)  # the domain: fewer lines, and others to validate on
    for language in ("en", "de"):
        lines = (folder / f"train.{language}").read_text(encoding="utf-8").split("\n")[:10]
        (folder / f"val.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    faster = text.replace("every = 10 ", "every = 4 ").replace("epochs = 1", "updates = 10")
    recipe.write_text(faster + AVERAGE, encoding="utf-8")
    seq2seq.prepare(recipe, folder / "data", processes=1, init_from=folder / "general")
    done = run_python(*command(folder, "whole"), "update", "0", str(folder / "general"))
    assert done.returncode == 0, done.stderr
    return folder


def command(folder: Path, run: str) -> list[str]:
    """Fine-tunes; what kills it, when, and what to begin with come after."""
    paths = folder / "tiny.toml", folder / "data", folder / run
    return ["-m", "support.killed", *map(str, paths)]


def contents(run: Path) -> dict[str, bytes]:
    files = [weights_file(run), run / "old_val.arrow", *(run / "last").glob("*.saf*")]
    return {file.name: file.read_bytes() for file in files}


def measured(run: Path) -> list[tuple[int, float, float]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    found = [one for one in map(json.loads, lines) if one["kind"] == "validation"]
    return [(one["update"], one["loss"], one["old"]["loss"]) for one in found]


def test_kills_change_nothing_and_soon_the_first_run_is_not_needed(place: Path) -> None:
    # It waits for the disk for old_val.arrow, three small files and update 0's checkpoint, in turn.
    arguments = command(place, "killed")
    begin = str(place / "general")
    for what, number in [("sync", 3), ("sync", 12), ("sync", 10)]:
        killed = run_python(*arguments, what, str(number), begin)
        assert killed.returncode == -signal.SIGKILL, (what, number, killed.stderr)
    assert len(list((place / "killed" / "checkpoints").glob("update-*"))) == 1
    shutil.move(begin, place / "away")
    try:
        killed = run_python(*arguments, "update", "6", begin)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        ended = run_python(*arguments, "update", "0")
        assert ended.returncode == 0, ended.stderr
    finally:
        shutil.move(place / "away", begin)
    assert contents(place / "killed") == contents(place / "whole")
    # A validation that was measured right before a kill is measured again.
    whole = measured(place / "whole")
    assert [one for one in measured(place / "killed") if one not in whole] == []
    assert [one[0] for one in whole] == [0, 4, 8, 10]
