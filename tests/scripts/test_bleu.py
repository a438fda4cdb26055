"""BLEU in a given time: how many updates that is, and what is read from fairseq."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from benchmarks.bleu import BEAM, CORRECTED, FAR, Reached, Stretch, Timed, trained_updates
from benchmarks.fairseq import hypotheses
from benchmarks.growth_report import bleu_table
from benchmarks.model import options
from benchmarks.peers import WORKERS, PeerError
from benchmarks.processes import WorkerError
from support.tiny import write_recipe

from seq2seq.data.preparing.prepare import prepare
from seq2seq.recipe.files import load_recipe
from seq2seq.training.optim import learning_rate
from seq2seq.training.run.checkpoint import load_checkpoint


def test_updates_follow_from_the_speed_and_the_start() -> None:
    # An update a second, the first twenty of them logged 25 s after the process's start.
    stretch = Stretch(100.0, [(125.0, 20), (145.0, 40), (165.0, 60)])
    # 97 of the 100 s that are left can be used; 5 of them go into starting anew.
    assert stretch.updates_until(200.0, 300.0) == 60 + 92
    assert stretch.updates_until(299.0, 300.0) == 61
    assert Stretch(100.0, [(125.0, 20)]).updates_until(200.0, 300.0) is None


@pytest.mark.slow
def test_a_training_ends_in_time_with_its_learning_rate(tmp_path: Path) -> None:
    recipe = write_recipe(tmp_path, count=2000)
    data = tmp_path / "data"
    settings = [
        "training.validation.every=60",
        "training.validation.bleu=false",
        "training.early_stopping.metric=loss",
    ]
    prepare(load_recipe(str(recipe), settings), data, processes=1)
    command = [sys.executable, "-m", "seq2seq", "train", str(recipe), *options(settings)]
    run = tmp_path / "run"
    timed = Timed([*command, "--data", str(data), "-o", str(run)], run, 30, 1)
    begun = time.monotonic()
    seconds, ended = timed.train()
    assert seconds <= time.monotonic() - begun
    updates = trained_updates(run)
    assert updates == list(range(20, updates[-1] + 1, 20))
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rates = [record["learning_rate"] for record in map(json.loads, lines) if "loss" in record
             and record["kind"] == "train"]  # fmt: skip
    assert max(rates) == pytest.approx(5e-3, rel=0.01)
    sessions = [json.loads(line) for line in lines if '"kind": "session"' in line]
    corrected = max(one["update"] for one in sessions if one["what"] != "finished")
    # A machine under load may not come to the end, and is stopped in time; or the last correction
    # leaves less than is logged at a time.
    if ended and updates[-1] > corrected:
        state = load_checkpoint(run / "last").state
        assert state.stopped == "the recipe's end"
        training, progress = load_recipe(str(recipe), []).training, (updates[-1] - 1) / state.update
        at_last = learning_rate(
            training.learning_rate,
            training.schedule,
            update=updates[-1],
            progress=progress,
            reductions=0,
        )
        assert rates[-1] == pytest.approx(at_last)
    log = (tmp_path / "run.log").read_text(encoding="utf-8")
    assert 1 <= log.count("resuming from update") <= len(CORRECTED)
    assert f"training.updates {FAR}" in log


def test_a_training_that_fails_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such recipe')"]
    with pytest.raises(WorkerError, match=r"^training failed:\n    no such recipe$"):
        Timed(command, tmp_path / "run", 30, 1).train()


def test_what_a_run_has_logged_is_read_while_it_is_written(tmp_path: Path) -> None:
    assert trained_updates(tmp_path) == []
    lines = '{"kind": "train", "update": 20}\n{"kind": "validation", "update": 30}\n'
    path = tmp_path / "metrics.jsonl"
    path.write_text(lines + '{"kind": "train", "upd', encoding="utf-8")
    assert trained_updates(tmp_path) == [20]


def test_translations_of_fairseq_are_put_in_order() -> None:
    said = "S-1\ta\nH-1\t-0.5\t▁ein ▁H und\nD-1\t-0.5\t▁ein ▁H und\nnoise\nH-0\t-1.5\t\n"
    assert hypotheses(said, 2) == [[], ["▁ein", "▁H", "und"]]
    with pytest.raises(PeerError, match=r"^fairseq did not translate line 3 of 4$"):
        hypotheses(said, 4)


def test_checkpoints_of_fairseq_are_averaged(tmp_path: Path) -> None:
    paths = [tmp_path / f"checkpoint{number}.pt" for number in (1, 2)]
    for number, path in enumerate(paths):
        weights = {"w": torch.tensor([1.0, 4.0]) * number, "version": torch.tensor([3])}
        torch.save({"model": weights, "epoch": number}, path)
    mean = tmp_path / "mean.pt"
    command = [sys.executable, str(WORKERS / "fairseq_mean.py"), str(mean), *map(str, paths)]
    subprocess.run(command, check=True)
    found = torch.load(mean)
    assert found["model"]["w"].tolist() == [0.5, 2.0]
    assert found["model"]["version"].tolist() == [3]
    assert found["epoch"] == 1


def test_the_table_tells_how_far_we_are_above_fairseq() -> None:
    ours, theirs = Reached("ours", 36.44, 24.0, 5000, 18.5), Reached("fairseq", 33.0, 24.1, 1234, 6)
    words = " ".join(bleu_table([ours, theirs])[0].split())
    assert f"BLEU on val, beam {BEAM}" in words
    assert "| ours | 36.4 | 24.0 | 5,000 | 18.5 |" in words
    assert "| difference | +3.4, aim +3 |" in words
    assert "difference" not in bleu_table([ours])[0]
    assert bleu_table([]) == []
