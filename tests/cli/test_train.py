from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import seq2seq
from seq2seq.errors import TrainingError
from seq2seq.training.finetuning import Begin
from seq2seq.training.state import TrainingResult

BEST = {"update": 1000, "loss": 1.23456, "bleu": 34.567, "epoch": 2.0}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch):
    """Stands in for the training loop: keeps what it is given, and answers."""
    calls: list[tuple[Any, ...]] = []

    def arrange(**changes: Any) -> list[tuple[Any, ...]]:
        def loop(recipe, run, *, data, threads, monitor, progress, begin, **switches):
            named = [name for name in switches if switches[name] is True]
            begun = [] if begin == Begin() else [begin]
            calls.append((recipe, run, data, threads, *named, *begun))
            values = {
                "run": run,
                "finished": True,
                "stopped": "the recipe's end",
                "updates": 1234,
                "skipped": 0,
                "seconds": 754.4,
                "best": BEST,
                "labels": {"bleu": "BLEU"},
            }
            return TrainingResult(**{**values, **changes})

        monkeypatch.setattr("seq2seq.training.session.train", loop)
        return calls

    return arrange


def test_train_says_how_it_went_and_what_is_next(run, trained) -> None:
    calls = trained()
    done = run(
        "train",
        "quickstart",
        "--data",
        "d",
        "-o",
        "runs/my run",
        "--set",
        "seed=5",
        "--threads",
        "2",
    )
    assert (done.code, done.err) == (0, "")
    assert done.out == (
        "finished (the recipe's end): 1,234 updates in 12 min 34 s\n"
        "best validation: BLEU 34.57, loss 1.235 at update 1,000\n"
        "the model is in runs/my run; next:\n"
        "  seq2seq translate 'runs/my run' INPUT -o OUTPUT\n"
        "  seq2seq evaluate 'runs/my run' SOURCE REFERENCE\n"
    )
    recipe = seq2seq.load_recipe("quickstart", ["seed=5"])
    assert calls == [(recipe, Path("runs/my run"), Path("d"), 2)]


def test_the_folder_has_the_recipes_name_by_default(run, trained) -> None:
    calls = trained()
    assert run("train", "quickstart").code == 0
    assert calls[0][1:] == (Path("runs/quickstart"), None, None)
    assert run("train", "quickstart", "--deterministic", "--changed-data").code == 0
    assert set(calls[1][4:]) == {"deterministic", "changed_data"}


def test_tensorboard_is_the_recipes_or_the_flags(run, trained) -> None:
    calls = trained()
    assert run("train", "quickstart").code == 0
    assert run("train", "quickstart", "--tensorboard").code == 0
    assert run("train", "quickstart", "--set", "training.tensorboard=true").code == 0
    assert [call[0].training.tensorboard for call in calls] == [False, True, True]


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({"RANK": "1"}, True),  # left over from something else: no one is beside it
        ({"RANK": "1", "WORLD_SIZE": "1"}, True),
        ({"WORLD_SIZE": "2"}, True),
        ({"RANK": "0", "WORLD_SIZE": "2"}, True),
        ({"RANK": "1", "WORLD_SIZE": "2"}, False),
    ],
)
def test_the_first_process_prints_the_summary(run, trained, monkeypatch, variables, first) -> None:
    trained()
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert bool(run("train", "quickstart").out) is first


def test_a_stray_local_rank_delays_no_error(run, monkeypatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr("seq2seq.cli.console.time.sleep", waited.append)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert run("train", "nowhere.toml").code == 2
    assert waited == []
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert run("train", "nowhere.toml").code == 2
    assert len(waited) == 1


def test_an_interrupted_training_says_how_far_it_came(run, trained) -> None:
    trained(finished=False, stopped="interrupted", best=None, updates=7, seconds=3.2)
    done = run("train", "quickstart")
    assert done.code == 130
    assert done.out == "interrupted after 7 updates in 0 min 03 s\n"


def test_skipped_updates_and_a_validation_without_bleu(run, trained) -> None:
    trained(skipped=3, best={"update": 9, "loss": 2.0, "bleu": None})
    assert run("train", "quickstart").out.splitlines()[1:3] == [
        "3 updates were skipped, because loss or gradient was not a finite number",
        "best validation: loss 2.000 at update 9",
    ]


def test_what_was_done_about_trouble_is_told(run, trained) -> None:
    trained(halved=12, rollbacks=1)
    assert run("train", "quickstart").out.splitlines()[1:3] == [
        "1 time training went back to earlier weights and halved the learning rate",
        "12 batches were split in two to fit into memory",
    ]


def test_a_training_that_went_wrong_ends_with_1(run, monkeypatch) -> None:
    def loop(*args, **options):
        raise TrainingError("training stopped: the loss is not finite")

    monkeypatch.setattr("seq2seq.training.session.train", loop)
    done = run("train", "quickstart")
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: training stopped: the loss is not finite\n"


def test_fine_tuning_says_what_became_of_both_validation_sets(run, trained) -> None:
    start = {"update": 0, "loss": 2.0, "bleu": 10.0, "old": {"loss": 1.5, "bleu": 36.2}}
    calls = trained(best={**BEST, "old": {"loss": 1.75, "bleu": 31.0}}, start=start)
    options = ["--init-from", "runs/general", "--old-val", "old.en", "old.de"]
    done = run("train", "quickstart", *options)
    assert (done.code, done.err) == (0, "")
    assert done.out.split("\n")[1:4] == [
        "best validation: BLEU 34.57, loss 1.235 at update 1,000",
        "  new validation set: BLEU 10.00 -> 34.57, loss 2.000 -> 1.235",
        "  old validation set: BLEU 36.20 -> 31.00, loss 1.500 -> 1.750",
    ]
    assert calls[0][-1] == Begin(Path("runs/general"), (Path("old.en"), Path("old.de")))


def test_fine_tuning_that_made_nothing_better_says_so(run, trained) -> None:
    start = {"update": 0, "loss": 2.0, "bleu": 10.0}
    told = "no update was better on the new validation set: the model is as it was; "
    trained(best=start, start=start)
    assert told in run("train", "quickstart", "--init-from", "runs/general").out
    trained(best=BEST, start=start)
    assert told not in run("train", "quickstart", "--init-from", "runs/general").out


def test_sets_without_bleu_or_without_an_old_one_are_told_by_what_there_is(run, trained) -> None:
    best = {"update": 5, "loss": 1.0, "bleu": None}
    trained(best=best, start={"update": 0, "loss": 2.0, "bleu": None})
    done = run("train", "quickstart", "--init-from", "runs/general")
    assert "  new validation set: loss 2.000 -> 1.000\nthe model is in " in done.out
    assert "old validation set" not in done.out


def test_what_fine_tuning_cannot_begin_with(run) -> None:
    done = run("train", "quickstart", "--init-from", "nowhere")
    assert (done.code, done.err) == (
        2,
        "error: nowhere: no such folder; expected one that seq2seq train or export wrote\n",
    )
    done = run("train", "quickstart", "--old-val", "a.en", "a.de")
    assert (done.code, done.err) == (
        2,
        "error: --old-val needs --init-from RUN: it measures what is forgotten\n",
    )
    done = run("train", "quickstart", "--init-from", "runs/quickstart")
    assert done.code == 2
    assert "runs/quickstart: --init-from and the run's folder are the same: give -o" in done.err
    assert not Path("runs").exists()
