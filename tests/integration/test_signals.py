"""Signals to a real process: it ends in time, with everything whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.published import weights_file
from support.slowed import BEGUN
from support.tiny import write_recipe

import seq2seq
from seq2seq.storage.layout import checkpoint_folders
from seq2seq.training.run.checkpoint import load_checkpoint

LIMIT = 30.0  # seconds to save and end, on a machine with other work; alone it takes three
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("signals")
    recipe = write_recipe(folder)
    seq2seq.prepare(recipe, folder / "data")
    return recipe, folder / "data"


class Slowed:
    """A training that is slow in one kind of work, up to its beginning."""

    def __init__(self, work: str, *arguments: str) -> None:
        paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "support.slowed", work, "train", *arguments, "--threads", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
        assert self.process.stderr is not None
        self.told = ""
        while BEGUN not in self.told:
            line = self.process.stderr.readline()
            assert line, self.told
            self.told += line

    def end(self, *signals: signal.Signals) -> float:
        """Sends signals, one after another; the seconds until the process ended."""
        begun = time.monotonic()
        for number in signals:
            self.process.send_signal(number)
            time.sleep(0.3)
        _, told = self.process.communicate(timeout=60)
        self.told += told
        return time.monotonic() - begun


def left(run: Path) -> list[str]:
    return sorted(path.name for path in run.rglob(".*"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_a_long_validation_is_not_waited_for(
    corpus: tuple[Path, Path], tmp_path: Path, number: signal.Signals
) -> None:
    """It is done by the session that goes on, which ends as if nothing had happened."""
    recipe, data = corpus
    run = tmp_path / "r"
    short = ("--data", str(data), "-o", str(run), "--set", "training.updates=10")
    slowed = Slowed("validation", str(recipe), *short)
    seconds = slowed.end(number)
    assert slowed.process.returncode == 130, slowed.told
    assert seconds < LIMIT
    assert f"{number.name}: saved at update 10; run the same command again to resume" in slowed.told
    assert "Traceback" not in slowed.told
    assert left(run) == []
    one = load_checkpoint(run / "last").state
    assert (one.update, one.validated, one.history) == (10, False, [])
    if number == signal.SIGTERM:
        settings = ["training.updates=10"]
        read = seq2seq.load_recipe(str(recipe), settings)
        again = seq2seq.train(read, run, data=data, threads=1)
        whole = seq2seq.train(read, tmp_path / "whole", data=data, threads=1)
        assert again.best is not None
        assert whole.best is not None
        assert again.best["loss"] == whole.best["loss"]
        for name in (weights_file(run).name, "last/optimizer.safetensors"):
            assert (run / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_long_update_is_not_waited_for(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    recipe, data = corpus
    run = tmp_path / "r"
    many = ("training.accumulate=20", "training.batch_tokens=60", "training.validation.every=99")
    settings = [word for one in many for word in ("--set", one)]
    slowed = Slowed("update", str(recipe), "--data", str(data), "-o", str(run), *settings)
    seconds = slowed.end(signal.SIGTERM)
    assert slowed.process.returncode == 130, slowed.told
    assert seconds < LIMIT
    done = load_checkpoint(run / "last").state.update
    assert f"SIGTERM: saved at update {done}; run the same command again to resume" in slowed.told
    assert done > 3
    assert left(run) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_the_first_preparing_is_given_up(
    corpus: tuple[Path, Path], tmp_path: Path, number: signal.Signals
) -> None:
    slowed = Slowed("preparing", str(corpus[0]), "-o", str(tmp_path / "runs/r"))
    seconds = slowed.end(number)
    assert slowed.process.returncode in (130, 143), slowed.told
    assert seconds < LIMIT
    assert "Traceback" not in slowed.told
    assert list(tmp_path.iterdir()) == []


def test_the_second_time_it_ends_at_once_with_the_last_checkpoint_whole(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe, data = corpus
    run = tmp_path / "r"
    slowed = Slowed("saving", str(recipe), "--data", str(data), "-o", str(run))
    seconds = slowed.end(signal.SIGINT, signal.SIGINT)
    assert slowed.process.returncode == 130, slowed.told
    assert seconds < LIMIT, "the file that is being written would take a minute"
    assert left(run) == []
    assert [load_checkpoint(one).state.update for one in checkpoint_folders(run / "checkpoints")]
    assert "Traceback" not in slowed.told


def test_another_process_is_named(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    recipe, data = corpus
    run = tmp_path / "r"
    slowed = Slowed("validation", str(recipe), "--data", str(data), "-o", str(run))
    command = ["train", str(recipe), "--data", str(data), "-o", str(run), "--threads", "1"]
    command += ["--set", "training.updates=12"]
    try:
        refused = subprocess.run(
            [sys.executable, "-m", "seq2seq", *command], capture_output=True, text=True, check=False
        )
        assert refused.returncode == 2
        assert refused.stderr.startswith(
            f"error: another process is training in {run}: process {slowed.process.pid} on "
        )
    finally:
        slowed.process.kill()
        slowed.process.communicate()
    again = seq2seq.load_recipe(str(recipe), ["training.updates=12"])
    assert seq2seq.train(again, run, data=data, threads=1).finished
