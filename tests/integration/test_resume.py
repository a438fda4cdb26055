"""A killed run goes on to the very weights of a run that was never killed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from support.processes import run_python
from support.published import weights_file
from support.tiny import AVERAGE, write_recipe

import seq2seq
from seq2seq.training.monitoring import Silent


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A recipe with everything that has a state, its data, and a run never interrupted."""
    folder = tmp_path_factory.mktemp("resume")
    recipe = write_recipe(folder)
    text = recipe.read_text(encoding="utf-8").replace(
        "vocab_size = 150", "vocab_size = 150\nsampling = {alpha = 0.3}"
    )
    text = text.replace("every = 10 ", "every = 16 ")
    text = text.replace("epochs = 2", "epochs = 2\naccumulate = 2\ncheckpoint_every = 4")
    recipe.write_text(text + AVERAGE, encoding="utf-8")
    data, run = folder / "data", folder / "whole"
    seq2seq.prepare(recipe, data)
    done = run_python("-m", "support.killed", str(recipe), str(data), str(run), "update", "0")
    assert done.returncode == 0, done.stderr
    return recipe, data, run


def contents(run: Path) -> dict[str, bytes]:
    """All tensors of a run's last checkpoint, and its model."""
    files = sorted((run / "last").glob("*.safetensors"))
    assert [file.stem for file in files] == ["average", "model", "optimizer"]
    return {
        "published": weights_file(run).read_bytes(),
        **{file.name: file.read_bytes() for file in files},
    }


def measured(run: Path) -> list[tuple[str, int, float]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    return [(r["kind"], r["update"], r["loss"]) for r in records if r["kind"] == "validation"]


def partials(run: Path) -> list[str]:
    """What is left of files that were being written; temporary names begin with a dot."""
    return [path.name for path in run.rglob(".*") if path.name != ".lock"]


def kill(arguments: list[str], what: str, number: int) -> bool:
    """Trains until it is killed at a moment; False if it was done before."""
    killed = run_python(*arguments, what, str(number))
    assert killed.returncode in (0, -signal.SIGKILL), (what, number, killed.stderr)
    return killed.returncode != 0


def check_end(arguments: list[str], run: Path, whole: Path) -> None:
    ended = run_python(*arguments, "update", "0")
    assert ended.returncode == 0, ended.stderr
    assert contents(run) == contents(whole)
    assert measured(run) == measured(whole)
    assert [path.name for path in run.rglob(".*")] == []


def test_kills_between_and_during_checkpoints_change_nothing(
    begun: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    recipe, data, whole = begun
    run = tmp_path / "killed"
    arguments = ["-m", "support.killed", str(recipe), str(data), str(run)]
    for what, number in [("sync", 3), ("sync", 9), ("update", 6), ("sync", 14)]:
        assert kill(arguments, what, number)
    check_end(arguments, run, whole)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_kills_at_random_moments(begun: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """Half of them are counted in updates, half in waits for the disk."""
    recipe, data, _ = begun
    text = recipe.read_text(encoding="utf-8").replace("epochs = 2", "epochs = 4")
    longer = recipe.with_name("longer.toml")
    longer.write_text(text, encoding="utf-8")
    whole, run = tmp_path / "whole", tmp_path / "killed"
    start = ["-m", "support.killed", str(longer), str(data)]
    assert not kill([*start, str(whole)], "update", 0)
    random = np.random.default_rng(20)
    midway = 0
    for number in range(20):
        what = ("update", "sync")[number % 2]
        assert kill([*start, str(run)], what, int(random.integers(1, (7, 25)[number % 2])))
        midway += bool(partials(run))
    assert midway >= 5, "too few kills hit a file that was being written"
    check_end([*start, str(run)], run, whole)


def test_a_finished_run_says_so_and_stays_as_it_is(begun: tuple[Path, Path, Path]) -> None:
    recipe, data, whole = begun
    before = contents(whole)
    result = seq2seq.train(recipe, whole, data=data, threads=1, monitor=Silent())
    assert result.finished
    assert contents(whole) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(
    begun: tuple[Path, Path, Path], tmp_path: Path, number: signal.Signals
) -> None:
    recipe, data, whole = begun
    run = tmp_path / "asked"
    command = ["train", str(recipe), "--data", str(data), "-o", str(run), "--threads", "1"]
    asked = run_python("-m", "support.killed", number.name, "9", *command)
    assert asked.returncode == 130, asked.stderr
    resume = "run the same command again to resume"
    assert f"{number.name}: saved at update 9; {resume}" in asked.stderr
    assert (asked.stdout + asked.stderr).count(resume) == 1
    assert " after 9 updates in " in asked.stdout
    assert "Traceback" not in asked.stderr
    again = run_python("-m", "seq2seq", *command)
    assert again.returncode == 0, again.stderr
    assert "resuming from update 9" in again.stderr
    assert contents(run) == contents(whole)
