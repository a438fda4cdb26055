"""A disk that fills up: the reason is told, and what was whole stays whole."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.mounted import fill, small_disk
from support.published import weights_file
from support.tiny import write_recipe

import seq2seq
from seq2seq.errors import TrainingError
from seq2seq.storage.layout import checkpoint_folders
from seq2seq.training.monitoring import Silent, Step
from seq2seq.training.run import RunFolder
from seq2seq.training.run.checkpoint import load_checkpoint
from seq2seq.training.state import Plan


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("full")
    recipe = write_recipe(folder)
    seq2seq.prepare(recipe, folder / "data")
    return recipe, folder / "data"


def run_cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "seq2seq", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def temporary(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(".*")]


SHORT = ("--threads", "1", "--set", "training.updates=40")


def test_a_checkpoint_that_finds_no_room(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    recipe, data = corpus
    train = ("train", recipe, "--data", data, *SHORT)
    with small_disk(tmp_path / "disk", 4096) as disk:
        run = disk / "r"
        begun = seq2seq.load_recipe(str(recipe), ["training.updates=15"])
        seq2seq.train(begun, run, data=data, threads=1, monitor=Silent())
        ballast = fill(disk, leave=40)
        stopped = run_cli(*train, "-o", run)
        assert stopped.returncode == 1
        told = stopped.stderr.splitlines()[-1]
        assert told.startswith(
            f"error: training stopped: a checkpoint could not be written to {run}"
        )
        assert "run the same command again to resume" in told
        assert temporary(disk) == []
        for folder in checkpoint_folders(run / "checkpoints"):
            assert load_checkpoint(folder).state.update <= 15
        assert load_checkpoint(run / "last").state.update == 15
        lines = (run / "metrics.jsonl").read_bytes().split(b"\n")
        assert lines.pop() == b"", "no half record"
        assert all(json.loads(line) for line in lines)
        assert len(seq2seq.Translator.load(run).translate(["The dog sleeps."])) == 1
        ballast.unlink()
        longer = seq2seq.load_recipe(str(recipe), ["training.updates=40"])
        seq2seq.train(longer, run, data=data, threads=1, monitor=Silent())
        assert load_checkpoint(run / "last").state.update == 40


def test_a_model_that_finds_no_room(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The checkpoint is written, the weights beside it are not: the next session publishes them."""
    recipe, data = corpus
    read = seq2seq.load_recipe(str(recipe), ["training.updates=20"])
    with small_disk(tmp_path / "disk", 4096) as disk:
        real, ballast = RunFolder.publish, []

        def publish(self: RunFolder, *arguments: object) -> None:
            if not ballast and (disk / "r/card.json").exists():
                ballast.append(fill(disk))
            real(self, *arguments)  # type: ignore[arg-type]

        monkeypatch.setattr(RunFolder, "publish", publish)
        monkeypatch.setattr(Plan, "is_best", lambda *_: True)
        with pytest.raises(TrainingError, match="the model could not be written"):
            seq2seq.train(read, disk / "r", data=data, threads=1, monitor=Silent())
        assert temporary(disk) == []
        assert json.loads((disk / "r/card.json").read_bytes())["update"] == 10
        first = seq2seq.Translator.load(disk / "r").translate(["The dog sleeps."])
        assert len(first) == 1
        ballast[0].unlink()
        seq2seq.train(read, disk / "r", data=data, threads=1, monitor=Silent())
        assert json.loads((disk / "r/card.json").read_bytes())["update"] == 20
        best = (disk / "r/best/model.safetensors").read_bytes()
        assert weights_file(disk / "r").read_bytes() == best


def test_a_log_that_finds_no_room_waits(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    """Training goes on, and the records come when there is room again."""
    recipe, data = corpus
    settings = ["training.updates=80", "training.epochs=9", "training.validation.every=80"]
    read = seq2seq.load_recipe(str(recipe), settings)
    with small_disk(tmp_path / "disk", 4096) as disk:

        class Filling(Silent):
            def __init__(self) -> None:
                super().__init__()
                self.lines: list[str] = []
                self.ballast: Path | None = None

            def say(self, text: str) -> None:
                self.lines.append(text)

            def step(self, step: Step) -> None:
                if step.update == 5:
                    log = disk / "r/metrics.jsonl"
                    with log.open("ab") as file:  # up to its page's end: it needs another one
                        file.write(b" " * (-log.stat().st_size % os.sysconf("SC_PAGE_SIZE")))
                    self.ballast = fill(disk)
                if step.update == 65 and self.ballast is not None:
                    self.ballast.unlink()

        monitor = Filling()
        result = seq2seq.train(read, disk / "r", data=data, threads=1, monitor=monitor)
        assert result.finished
        log = disk / "r/metrics.jsonl"
        records = [json.loads(line) for line in log.read_bytes().split(b"\n")[:-1]]
    assert [one["update"] for one in records if one["kind"] == "train"] == [20, 40, 60, 80]
    warned = [line for line in monitor.lines if "metrics.jsonl" in line]
    assert warned == [
        f"warning: {log} cannot be written: [Errno 28] No space left on device; its records are "
        "kept and written later"
    ]


@pytest.mark.parametrize("room", [24, 100])
def test_preparing_without_room(corpus: tuple[Path, Path], tmp_path: Path, room: int) -> None:
    recipe = corpus[0]
    with small_disk(tmp_path / "disk", 4096) as disk:
        ballast = fill(disk, leave=room)
        full = run_cli("prepare", recipe, "-o", disk / "data")
        assert full.returncode in (1, 2), full.stderr
        assert full.stderr.splitlines()[-1].startswith(f"error: {disk / 'data'}: the disk is full")
        assert [path.name for path in disk.iterdir()] == ["ballast"]
        ballast.unlink()
        seq2seq.prepare(recipe, disk / "data")
