"""The loop's decisions, with validations that are scripted and data that is real."""

from __future__ import annotations

import json
import math
import shutil
import signal
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.published import weights_file
from support.tiny import tiny_recipe
from support.told import Told

from seq2seq.data.batching import Place
from seq2seq.data.collate import collate
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.errors import DataError, ModelError, TrainingError
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe, recipe_to_toml
from seq2seq.tasks import task_for
from seq2seq.training.batches import UpdateBatches
from seq2seq.training.batches.prepared import PreparedBatches
from seq2seq.training.evaluation import Evaluator, Validated
from seq2seq.training.monitoring import Monitor, Silent, metrics
from seq2seq.training.optim import LossAndGradient, NotFiniteError
from seq2seq.training.optim.first_order import FirstOrder
from seq2seq.training.run import RunFolder
from seq2seq.training.run.checkpoint import load_checkpoint, save_checkpoint
from seq2seq.training.session import train
from seq2seq.training.state import TrainingResult
from seq2seq.training.trainer import Trainer
from seq2seq.training.updater import BatchObjective, Updater


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A folder with a recipe in it, and its prepared data."""
    folder = tmp_path_factory.mktemp("loop")
    prepare(tiny_recipe(folder), folder / "prepared", processes=1)
    return folder, folder / "prepared"


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Validations find these BLEU scores, one after another, the last one for ever, and losses."""
    scores = [1.0]

    def evaluate(*_: object) -> Validated:
        score = scores.pop(0) if len(scores) > 1 else scores[0]
        return Validated(loss=5.0 - score / 100, metrics={"bleu": score})

    monkeypatch.setattr(Evaluator, "evaluate", evaluate)
    return scores


def run(
    corpus: tuple[Path, Path], path: Path, *assignments: str, monitor: Monitor | None = None
) -> TrainingResult:
    recipe = load_recipe(str(corpus[0] / "tiny.toml"), assignments)
    return train(recipe, path, data=corpus[1], threads=1, monitor=monitor or Silent())


def updates(path: Path) -> list[int]:
    return sorted(int(one.name.removeprefix("update-")) for one in path.glob("checkpoints/*"))


def test_accumulated_gradients_are_those_of_one_large_batch(corpus: tuple[Path, Path]) -> None:
    recipe = load_recipe(
        str(corpus[0] / "tiny.toml"),
        ["training.precision=float32", "model.encoder.dropout=0.0", "model.decoder.dropout=0.0"],
    )
    prepared = PreparedData.open(corpus[1])
    updater = Updater(recipe, prepared.tokenizers)
    parts = [np.arange(0, 5), np.arange(5, 7), np.arange(7, 30)]
    together = collate(*prepared.train.ids(np.arange(30)))
    apart = [collate(*prepared.train.ids(part)) for part in parts]
    one = updater.objective([together], 1).gradient()
    expected = [parameter.grad.clone() for parameter in updater.model.parameters()]
    three = updater.objective(apart, 1).gradient()
    assert three.tokens == one.tokens
    assert three.loss == pytest.approx(one.loss, rel=1e-6)
    for parameter, gradient in zip(updater.model.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-7)


def test_early_stopping_counts_validations(
    corpus: tuple[Path, Path], tmp_path: Path, scripted: list[float]
) -> None:
    scripted[:] = [1.0, 3.0, 2.0, 2.5, 2.9]
    result = run(corpus, tmp_path / "r", "training.early_stopping.patience=2")
    assert result.stopped == "2 validations without a better one"
    assert result.finished
    assert result.updates == 40
    assert result.best is not None
    assert result.best["update"] == 20
    card = json.loads((tmp_path / "r/card.json").read_text(encoding="utf-8"))
    assert card["update"] == 20
    best = load_file(tmp_path / "r/best/model.safetensors")
    published = load_file(weights_file(tmp_path / "r"))
    assert all(torch.equal(best[name], published[name]) for name in published)


def test_of_equal_scores_the_lower_loss_is_best(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Validated(loss, {"bleu": 0.0}) for loss in (5.0, 4.0, 4.5)]
    monkeypatch.setattr(
        Evaluator, "evaluate", lambda *_: found.pop(0) if len(found) > 1 else found[0]
    )
    result = run(corpus, tmp_path / "r", "training.updates=30")
    assert result.best is not None
    assert result.best["update"] == 20


def test_scores_of_gibberish_are_equal(corpus: tuple[Path, Path]) -> None:
    """Below 1 it is chance which is higher: the loss decides."""
    task = task_for(load_recipe(str(corpus[0] / "tiny.toml")))
    found = [
        task.value(Validated(loss, {"bleu": bleu}))
        for loss, bleu in ((6.0, 0.19), (5.0, 0.0), (4.0, 0.99), (3.0, 1.0), (2.0, 96.5))
    ]
    assert found == [0.0, 0.0, 0.0, 1.0, 96.5]


def test_plateau_cuts_the_rate(
    corpus: tuple[Path, Path], tmp_path: Path, scripted: list[float]
) -> None:
    scripted[:] = [2.0, 1.0, 1.0, 1.0, 1.0]
    run(
        corpus,
        tmp_path / "r",
        "training.updates=60",
        "training.epochs=9",
        'training.schedule={kind="plateau",factor=0.5,patience=1}',
    )
    lines = (tmp_path / "r/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    rates = {
        r["update"]: r["learning_rate"] for r in map(json.loads, lines) if r["kind"] == "train"
    }
    assert rates == {20: 5e-3, 40: 2.5e-3, 60: 1.25e-3}


def test_the_mean_of_the_last_weights_is_published_if_it_is_better(
    corpus: tuple[Path, Path], tmp_path: Path, scripted: list[float]
) -> None:
    scripted[:] = [1.0, 2.0, 3.0, 3.5, 9.0]
    told = Told()
    average = 'training.average={kind="last",count=3}'
    run(corpus, tmp_path / "r", "training.updates=40", average, monitor=told)
    kept = [tmp_path / f"r/checkpoints/update-{n:08d}/model.safetensors" for n in (20, 30, 40)]
    several = [load_file(path) for path in kept]
    published = load_file(weights_file(tmp_path / "r"))
    for name, value in published.items():
        mean = torch.stack([one[name].double() for one in several]).mean(0)
        torch.testing.assert_close(value.double(), mean, rtol=1e-6, atol=1e-8)
    assert "the mean of the weights at updates 20, 30, 40:" in told.lines
    card = json.loads((tmp_path / "r/card.json").read_text(encoding="utf-8"))
    assert card["validation"]["mean_of_updates"] == [20, 30, 40]


def test_a_mean_that_is_no_better_is_not_told_as_the_best(
    corpus: tuple[Path, Path], tmp_path: Path, scripted: list[float]
) -> None:
    scripted[:] = [1.0, 2.0, 0.5]
    average = 'training.average={kind="last",count=2}'
    result = run(corpus, tmp_path / "r", "training.updates=20", average)
    *_, best, mean = records(tmp_path / "r", "validation")
    assert (best["update"], mean["mean_of_updates"]) == (20, [10, 20])
    card = json.loads((tmp_path / "r/card.json").read_text(encoding="utf-8"))
    assert result.best is not None
    assert "mean_of_updates" not in result.best
    assert result.best["loss"] == card["validation"]["loss"] == best["loss"] != mean["loss"]


def test_where_no_checkpoint_of_a_validation_is_left_no_mean_is_made(
    corpus: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scripted: list[float],
) -> None:
    monkeypatch.setattr(RunFolder, "saved_at", lambda *_: [])
    told = Told()
    average = 'training.average={kind="last",count=3}'
    result = run(corpus, tmp_path / "r", "training.updates=20", average, monitor=told)
    assert (result.finished, result.updates) == (True, 20)
    assert told.about("mean") == [
        "warning: no checkpoint of a validation is left, so no mean of weights is made"
    ]
    assert all("mean_of_updates" not in one for one in records(tmp_path / "r", "validation"))


def test_the_mean_is_of_the_checkpoints_that_are_left(
    corpus: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scripted: list[float],
) -> None:
    scripted[:] = [1.0, 2.0, 9.0]
    monkeypatch.setattr(RunFolder, "saved_at", lambda _, updates: updates[1:])
    average = 'training.average={kind="last",count=2}'
    run(corpus, tmp_path / "r", "training.updates=20", average)
    assert records(tmp_path / "r", "validation")[-1]["mean_of_updates"] == [20]
    assert same(load_file(weights_file(tmp_path / "r")), weights(tmp_path / "r/last"))


def test_the_moving_average_is_what_is_published(
    corpus: tuple[Path, Path], tmp_path: Path, scripted: list[float]
) -> None:
    run(corpus, tmp_path / "r", "training.updates=10", 'training.average={kind="ema",decay=0.9}')
    average = load_file(tmp_path / "r/best/average.safetensors")
    published = load_file(weights_file(tmp_path / "r"))
    own = load_file(tmp_path / "r/best/model.safetensors")
    assert all(torch.equal(average[name], published[name]) for name in published)
    assert not all(torch.equal(own[name], published[name]) for name in published)


def test_checkpoints_are_bounded_and_the_best_is_kept(
    corpus: tuple[Path, Path], tmp_path: Path, scripted: list[float]
) -> None:
    scripted[:] = [9.0, 1.0]
    run(
        corpus,
        tmp_path / "r",
        "training.updates=40",
        "training.keep_checkpoints=2",
        "training.checkpoint_every=5",
    )
    assert updates(tmp_path / "r") == [10, 35, 40]
    assert (tmp_path / "r/best").resolve().name == "update-00000010"
    assert (tmp_path / "r/last").resolve().name == "update-00000040"


def with_bad_updates(monkeypatch: pytest.MonkeyPatch, bad: Sequence[int]) -> None:
    """Makes the gradients of some updates (from 0) NaN, really: in the parameters too."""
    real, count = BatchObjective.gradient, iter(range(10**6))

    def gradient(self: BatchObjective) -> LossAndGradient:
        found = real(self)
        if next(count) not in bad:
            return found
        for parameter in self.parameters:
            assert parameter.grad is not None
            parameter.grad.fill_(math.nan)
        raise NotFiniteError(replace(found, norm=math.nan))

    monkeypatch.setattr(BatchObjective, "gradient", gradient)


def test_updates_that_are_not_finite_are_skipped_and_counted(
    corpus: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scripted: list[float],
) -> None:
    with_bad_updates(monkeypatch, [3, 4, 8])
    told = Told()
    result = run(
        corpus, tmp_path / "r", "training.updates=10", "training.max_bad_updates=3", monitor=told
    )
    assert result.skipped == 3
    assert result.finished
    assert sum("skipped" in line for line in told.lines) == 3
    for value in load_file(weights_file(tmp_path / "r")).values():
        assert value.isfinite().all()


def weights(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def records(path: Path, kind: str) -> list[dict[str, Any]]:
    lines = (path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [record for record in map(json.loads, lines) if record["kind"] == kind]


def test_after_some_bad_updates_in_a_row_training_goes_back_and_on_at_half_the_rate(
    corpus: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scripted: list[float],
) -> None:
    """Update 20 is saved but may be what is wrong: the weights of update 10 are proven."""
    with_bad_updates(monkeypatch, [20, 21, 22])
    rates: list[float] = []
    real = FirstOrder.apply

    def apply(self: FirstOrder, rate: float) -> None:
        rates.append(rate)
        real(self, rate)

    monkeypatch.setattr(FirstOrder, "apply", apply)
    told = Told()
    settings = ("training.max_bad_updates=3", "training.updates=30", "training.epochs=9")
    settings += ("training.schedule={kind='constant',warmup=0}", "training.keep_checkpoints=9")
    result = run(corpus, tmp_path / "r", *settings, monitor=told)
    assert (result.skipped, result.rollbacks, result.finished) == (3, 1, True)
    assert rates == [5e-3] * 20 + [2.5e-3] * 7
    assert (
        told.lines.count(
            "warning: 3 updates in a row were skipped: back to the weights of update 10, with half "
            "the learning rate from here on"
        )
        == 1
    )
    checkpoints = tmp_path / "r/checkpoints"
    assert same(weights(checkpoints / "update-00000023"), weights(checkpoints / "update-00000010"))
    assert records(tmp_path / "r", "rollback") == [{"kind": "rollback", "update": 23, "to": 10}]
    skipped = records(tmp_path / "r", "skipped")
    assert [record["update"] for record in skipped] == [21, 22, 23]
    assert all(record["lines"] == sorted(set(record["lines"])) for record in skipped)


def test_where_nothing_was_saved_it_goes_back_to_the_beginning(
    corpus: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scripted: list[float],
) -> None:
    with_bad_updates(monkeypatch, [2, 3])
    run(corpus, tmp_path / "r", "training.max_bad_updates=2", "training.updates=5")
    recipe = load_recipe(str(corpus[0] / "tiny.toml"))
    first = dict(Updater(recipe, PreparedData.open(corpus[1]).tokenizers).model.named_parameters())
    assert same(weights(tmp_path / "r/checkpoints/update-00000004"), first)


def test_bad_updates_after_going_back_stop_training_with_the_lines(
    corpus: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scripted: list[float],
) -> None:
    with_bad_updates(monkeypatch, range(12, 99))
    with pytest.raises(TrainingError) as caught:
        run(corpus, tmp_path / "r", "training.max_bad_updates=3")
    last, journal = tmp_path / "r/last", tmp_path / "r/metrics.jsonl"
    lines = records(tmp_path / "r", "skipped")[-1]["lines"]
    shown = ", ".join(map(str, lines[:20]))
    more = f" and {len(lines) - 20} more" if len(lines) > 20 else ""
    assert str(caught.value) == (
        "training stopped at update 18: 3 updates in a row had a loss or gradient that is not "
        "finite, as some had before training went back to half the learning rate; the last batch "
        f"is lines {shown}{more} of the training text ({journal} has those of all skipped "
        f"updates); the last checkpoint is {last}; look at those lines; in a new run a lower "
        "training.learning_rate, a longer warm-up or a lower training.clip_norm may help"
    )
    assert caught.value.exit_code == 1
    for value in weights(last).values():
        assert value.isfinite().all()


def test_a_checkpoint_that_is_not_finite_is_not_gone_back_to(
    corpus: tuple[Path, Path], tmp_path: Path, scripted: list[float]
) -> None:
    run(corpus, tmp_path / "r", "training.updates=30", "training.keep_checkpoints=9")
    broken = load_checkpoint(tmp_path / "r/checkpoints/update-00000020")
    next(iter(broken.groups["model"].values()))[0] = math.inf
    save_checkpoint(tmp_path / "r/checkpoints", broken)
    recipe = load_recipe(str(corpus[0] / "tiny.toml"), ["training.updates=30"])
    with RunFolder(tmp_path / "r", recipe) as folder:
        found = [folder.good(before, print) for before in (31, 30, 29, 21, 20, 11, 10, 1)]
    assert [one and one.state.update for one in found] == [30, 10, 10, 10, 10, 10, 30, 30]


def test_a_bad_last_update_does_not_spoil_the_end(
    corpus: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scripted: list[float],
) -> None:
    with_bad_updates(monkeypatch, [9])
    result = run(corpus, tmp_path / "r", "training.updates=10")
    assert (result.finished, result.skipped, result.updates) == (True, 1, 10)


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    whole, damaged = tmp_path / "whole", tmp_path / "damaged"
    settings = ("training.updates=30", "training.keep_checkpoints=9")
    run(corpus, whole, *settings)
    shutil.copytree(whole, damaged, symlinks=True)
    newest = damaged / "checkpoints/update-00000030/model.safetensors"
    newest.write_bytes(newest.read_bytes()[:-7])
    told = Told()
    run(corpus, damaged, *settings, monitor=told)
    folder = damaged / "checkpoints/update-00000030"
    assert told.lines[0] == (
        f"warning: checkpoint {folder} is damaged: model.safetensors does not match its sum; "
        "trying the one before"
    )
    assert told.lines[1] == "resuming from update 20"
    one, other = (load_file(path / "last/model.safetensors") for path in (whole, damaged))
    assert all(torch.equal(one[name], other[name]) for name in one)
    for file in damaged.glob("checkpoints/*/optimizer.safetensors"):
        file.write_bytes(b"")
    with pytest.raises(ModelError) as caught:
        run(corpus, damaged, *settings)
    assert str(caught.value) == (
        f"none of the 3 checkpoints in {damaged / 'checkpoints'} can be read: train into a new "
        "folder, or remove them to start over here"
    )


def test_what_was_learned_is_kept_where_the_next_pairs_cannot_be_read(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    works = PreparedBatches.updates

    def broken(self: PreparedBatches, place: Place) -> Generator[UpdateBatches]:
        for number, work in enumerate(works(self, place)):
            if number == 3:
                raise DataError("line 40,000,000: not JSON")
            yield work

    run(corpus, tmp_path / "whole", "training.updates=9")
    monkeypatch.setattr(PreparedBatches, "updates", broken)
    told = Told()
    with pytest.raises(DataError, match="not JSON"):
        run(corpus, tmp_path / "r", "training.updates=9", monitor=told)
    assert told.about("saved at update 3; run the same command again to resume")
    monkeypatch.setattr(PreparedBatches, "updates", works)
    run(corpus, tmp_path / "r", "training.updates=9")
    assert same(weights(tmp_path / "r/last"), weights(tmp_path / "whole/last"))


def test_what_the_runs_own_preparing_dropped_is_told_once(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, ["training.updates=3"])
    source, target = tmp_path / "train.en", tmp_path / "train.de"
    texts = target.read_text(encoding="utf-8").split("\n")
    texts[1:299:2] = [""] * 149
    target.write_text("\n".join(texts), encoding="utf-8")
    lines = source.read_text(encoding="utf-8").split("\n")
    source.write_text("\n".join(["tab\x01", *lines[1:]]), encoding="utf-8")
    told = Told()
    train(recipe, tmp_path / "r", threads=1, monitor=told)
    assert told.lines[0] == (
        "train: 150 of 300 pairs dropped: empty 149 (first: line 2), control_characters 1 (first: "
        "line 1)"
    )
    assert told.about("dropped:") == told.lines[:1]
    again = Told()
    longer = load_recipe(str(tmp_path / "tiny.toml"), ["training.updates=4"])
    train(longer, tmp_path / "r", threads=1, monitor=again)
    assert again.about("plan: 4 updates")
    assert not again.about("dropped:")


def test_a_run_prepares_its_own_data_where_none_is_given(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, ["training.updates=3"])
    result = train(recipe, tmp_path / "r", threads=1, monitor=Silent())
    assert result.updates == 3
    assert PreparedData.open(tmp_path / "r/data").digest
    again = train(recipe, tmp_path / "r", threads=1, monitor=Silent())
    assert again.finished


def test_folders_that_hold_something_else_are_refused(
    corpus: tuple[Path, Path], tmp_path: Path, scripted: list[float]
) -> None:
    run(corpus, tmp_path / "r", "training.updates=3")
    changes = "training.clip_norm=none", "training.updates=4", "model.encoder.dropout=0.5"
    with pytest.raises(ModelError) as caught:
        run(corpus, tmp_path / "r", *changes)
    assert str(caught.value) == (
        f"{tmp_path / 'r'} holds a run with a different recipe: model.encoder.dropout is 0.2 "
        "there and "
        "0.5 here; training.clip_norm is 1.0 there and not given here; give -o a new folder, or "
        "train with the run's own recipe.toml"
    )
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ModelError) as caught:
        run(corpus, tmp_path / "mine")
    assert str(caught.value) == (
        f"{tmp_path / 'mine'} holds other things (thesis.txt) and no run: "
        "give -o a new or empty folder"
    )
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with pytest.raises(ModelError) as caught:
        run(corpus, tmp_path / "mine/thesis.txt")
    assert str(caught.value) == (
        f"{tmp_path / 'mine/thesis.txt'} is a file: a run needs a folder of its own"
    )


def test_a_run_goes_on_with_its_own_data_only(
    corpus: tuple[Path, Path], tmp_path: Path, scripted: list[float]
) -> None:
    run(corpus, tmp_path / "r", "training.updates=3")
    other = tmp_path / "other"
    other.mkdir()
    prepare(tiny_recipe(other, count=290), other / "prepared", processes=1)
    recipe = load_recipe(str(corpus[0] / "tiny.toml"), ["training.updates=3"])
    no_data: Recipe = recipe.model_copy(update={"data": type(recipe.data)()})
    with pytest.raises(ModelError) as caught:
        train(no_data, tmp_path / "r", data=other / "prepared", threads=1, monitor=Silent())
    assert str(caught.value) == (
        f"{tmp_path / 'r'} was started on other data than {other / 'prepared'} holds: "
        "give --data the folder it was started with, or -o a new folder"
    )
    # It says so of files, too, and leaves nothing of what it prepared of them.
    before = sorted(tmp_path.joinpath("r").iterdir())
    files = recipe.model_copy(update={"data": tiny_recipe(other, count=290).data})
    with pytest.raises(ModelError, match="on other data than the recipe names: give --data"):
        train(files, tmp_path / "r", threads=1, monitor=Silent())
    assert sorted(tmp_path.joinpath("r").iterdir()) == before


def test_the_run_folder_holds_its_recipe(
    corpus: tuple[Path, Path], tmp_path: Path, scripted: list[float]
) -> None:
    run(corpus, tmp_path / "r", "training.updates=3")
    chosen = "training.validation.tokenize='13a'"
    recipe = load_recipe(str(corpus[0] / "tiny.toml"), ["training.updates=3", chosen])
    assert (tmp_path / "r/recipe.toml").read_text(encoding="utf-8") == recipe_to_toml(recipe)
    assert (tmp_path / "r/curves.png").read_bytes().startswith(b"\x89PNG")


def test_pairs_too_long_for_training_leave_nothing_to_train_on(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=r"^every training pair has more than 1 pieces"):
        run(corpus, tmp_path / "r", "training.max_pieces=1")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_result_names_the_signal_that_ended_training(
    corpus: tuple[Path, Path], tmp_path: Path, scripted: list[float], name: str
) -> None:
    class Interrupting(Silent):
        def validated(self, *_: object) -> None:
            signal.raise_signal(signal.Signals[name])

    stopped = run(corpus, tmp_path / "r", "training.updates=30", monitor=Interrupting())
    assert (stopped.finished, stopped.signal, stopped.updates) == (False, name, 10)
    finished = run(corpus, tmp_path / "r", "training.updates=30")
    assert (finished.finished, finished.signal, finished.updates) == (True, "", 30)


def test_saving_counts_as_training_but_not_as_its_speed(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Updates of a second, and checkpoints of a thousand, by a clock of the test's."""
    now = [0.0]
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now[0])
    real_update, real_save = Updater.update, Trainer._save

    def update(self: Updater, *arguments: Any, **options: Any) -> Any:
        now[0] += 1.0
        return real_update(self, *arguments, **options)

    def save(self: Trainer) -> None:
        now[0] += 1000.0
        real_save(self)

    monkeypatch.setattr(Updater, "update", update)
    monkeypatch.setattr(Trainer, "_save", save)
    monitor = Told()
    run(corpus, tmp_path / "r", "training.checkpoint_every=7", monitor=monitor)
    tokens = [step.tokens_per_second for step in monitor.steps]
    assert min(tokens) > max(tokens) / 10
    path = tmp_path / "r/last/state.json"
    assert json.loads(path.read_text(encoding="utf-8"))["state"]["seconds"] > 3000.0
