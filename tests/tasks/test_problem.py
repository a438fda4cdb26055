"""A problem from the recipe to the run's page, killed and resumed; what cannot be asked of it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.published import weights_file
from support.told import Told
from typer.testing import CliRunner

import seq2seq
from seq2seq.cli.app import app
from seq2seq.data.problems.dataset import problem_data
from seq2seq.errors import DataError, ModelError, RecipeError
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe
from seq2seq.tasks import Validation, task_for
from seq2seq.training.evaluation import Validated
from seq2seq.training.monitoring import Step

XOR = """
name = "tiny-xor"
[data]
kind = "problem"
problem = "xor"
length = 10
val_size = 300
[model.encoder]
cell = "gru"
directions = "forward"
hidden = 24
[training]
updates = 40
batch_pairs = 16
learning_rate = 1e-2
schedule = "constant"
checkpoint_every = 5
[training.validation]
every = 10
"""


def recipe_of(tmp_path: Path, *assignments: str) -> Recipe:
    path = tmp_path / "xor.toml"
    path.write_text(XOR, encoding="utf-8", newline="\n")
    return load_recipe(str(path), assignments)


def journal(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [one for one in map(json.loads, lines) if one["kind"] == kind]


class Killed(Told):
    def step(self, step: Step) -> None:
        if step.update == 28:
            raise KeyboardInterrupt


def test_a_problem_is_trained_resumed_and_reported(tmp_path: Path) -> None:
    recipe, told, run = recipe_of(tmp_path), Told(), tmp_path / "run"
    result = seq2seq.train(recipe, run, threads=1, monitor=told)
    assert (result.updates, result.problem, result.labels) == (40, "xor", {"wrong": "% wrong"})
    assert {path.name for path in run.iterdir()} >= {"recipe.toml", "card.json", "report.html"}
    assert not (run / "data").exists(), "nothing is stored"
    assert not list(run.glob("*.model")), "there is no tokenizer"

    # the measure, and the best validation, by hand
    task, data = task_for(recipe), problem_data(recipe, run)
    model = task.build_model(data.tokenizers)
    model.load_state_dict(load_file(weights_file(run)))
    batch: Any = task.collate(*data.val.ids(np.arange(300)))
    with torch.no_grad():
        wrong = 100 * (model(batch).argmax(1) != batch.labels()).float().mean().item()
    card = json.loads((run / "card.json").read_text(encoding="utf-8"))
    checks = journal(run, "validation")
    best = min(one["wrong"] for one in checks)
    assert card["validation"]["wrong"] == best == pytest.approx(wrong)
    assert card["problem"] == {
        "name": "xor",
        "length": 10,
        "baseline": f"loss {math.log(2):.4f}",
        "criterion": "fewer than 1 % wrong",
    }
    assert checks[0]["solved"] is False
    remark = "not solved (baseline loss 0.6931; solved: fewer than 1 % wrong)"
    assert checks[0]["loss"] == pytest.approx(math.log(2), rel=0.1)
    assert Validated(0.5, {"wrong": 9.0}, remark=remark).line().endswith(remark)
    plan, network, *_ = told.lines
    assert plan == ("plan: 40 updates of 1,000,000 sequences with 1,000,000 targets; 4 validations")
    assert network.endswith(" weights; gru 24, forward, dropout 0")

    page = (run / "report.html").read_text(encoding="utf-8")
    for words in (
        '<section id="problem"><h2>The problem: xor</h2>',
        "<td>Whether two marked bits differ.</td>",
        "Loss, nats a target<",
        "Sequences answered wrongly, in a hundred",
        "<caption>Steps a sequence</caption>",
    ):
        assert words in page
    for words in ("BLEU", "Vocabularies", "ranslation</h2>", "Target tokens", "lines read"):
        assert words not in page

    again = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        seq2seq.train(recipe, again, threads=1, monitor=Killed())
    seq2seq.train(recipe, again, threads=1, monitor=told)
    assert "resuming from update 25" in told.lines
    for name in ("last/model.safetensors", "last/optimizer.safetensors"):
        ours, theirs = load_file(run / name), load_file(again / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert [one["wrong"] for one in journal(again, "validation")] == [
        one["wrong"] for one in checks
    ]


def test_other_seeds_are_other_sequences_and_other_sizes_are_not(tmp_path: Path) -> None:
    def val(*assignments: str) -> Any:
        recipe = recipe_of(tmp_path, *assignments)
        data: Any = problem_data(recipe, tmp_path)
        return task_for(recipe).collate(*data.val.ids(np.arange(20))), data.digest

    plain, digest = val()
    other, other_digest = val("data.seed=2")
    assert digest != other_digest
    assert not torch.equal(plain.inputs_BTE, other.inputs_BTE)
    assert torch.equal(plain.inputs_BTE, val("data.train_size=5")[0].inputs_BTE)
    assert torch.equal(plain.inputs_BTE, val("seed=9")[0].inputs_BTE), "that is the weights'"


def test_validation_and_training_sequences_differ(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    data, task = problem_data(recipe, tmp_path), task_for(recipe)
    train, val = (task.collate(*one.ids(np.arange(50))) for one in (data.train, data.val))
    assert not torch.equal(train.inputs_BTE, val.inputs_BTE)  # type: ignore[attr-defined]


def test_it_stops_once_it_is_solved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seq2seq.tasks.problem import ProblemTask

    def after_two(self: ProblemTask, found: Validation) -> bool:
        calls.append(1)
        return len(calls) > 2  # it is asked twice a validation

    calls: list[int] = []
    monkeypatch.setattr(ProblemTask, "solved", after_two)
    recipe = recipe_of(tmp_path, "training.early_stopping.solved=true")
    result = seq2seq.train(recipe, tmp_path / "run", threads=1, monitor=Told())
    assert (result.stopped, result.updates) == ("the problem is solved", 20)


@pytest.mark.parametrize("name", ["adding", "multiplication", "temporal_order", "copy"])
@pytest.mark.parametrize("directions", ["forward", "both"])
def test_every_kind_trains_and_says_how_it_is_to_be_judged(
    name: str, directions: str, tmp_path: Path
) -> None:
    recipe = recipe_of(
        tmp_path,
        f"data.problem={name}",
        "data.val_size=20",
        "training.updates=2",
        f"model.encoder.directions={directions}",
    )
    result = seq2seq.train(recipe, tmp_path / "run", threads=1, monitor=Told())
    assert result.best is not None
    assert 0 <= result.best["wrong"] <= 100


@pytest.mark.parametrize("name", ["memorization", "narma10", "mackey_glass", "memory"])
def test_streams_may_be_learned_by_gradients_in_windows(name: str, tmp_path: Path) -> None:
    stream = name != "memorization"
    recipe = recipe_of(
        tmp_path,
        f"data.problem={name}",
        "data.length=130",
        "data.val_size=4",
        "training.updates=2",
        *(["training.bptt_window=20"] if stream else []),
    )
    told = Told()
    result = seq2seq.train(recipe, tmp_path / "run", threads=1, monitor=told)
    assert result.best is not None
    figure = {"memorization": "wrong", "memory": "capacity"}.get(name, "nmse")
    assert math.isfinite(result.best[figure])


def test_what_it_leaves_out_suits_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "short.toml"
    text = 'data = { kind = "problem", problem = "adding", length = 12, train_size = 640 }'
    path.write_text(text, encoding="utf-8")
    seq2seq.train(str(path), tmp_path / "run", threads=1, monitor=Told())
    stored = load_recipe(str(tmp_path / "run" / "recipe.toml"))
    assert (stored.model.encoder.hidden, stored.model.encoder.dropout) == (100, 0.0)
    assert stored.training.batch_tokens == 64 * 13
    assert (stored.training.epochs, stored.training.validation.every) == (1, 1)
    told = Told()
    again = seq2seq.train(str(path), tmp_path / "run", threads=1, monitor=told)
    assert again.updates == 10
    assert told.lines == ["this run has already finished: the recipe's end"]


def test_another_length_is_another_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    seq2seq.train(recipe_of(tmp_path, "training.updates=2"), run, threads=1, monitor=Told())
    with pytest.raises(ModelError) as caught:
        seq2seq.train(recipe_of(tmp_path, "data.length=20"), run, threads=1, monitor=Told())
    assert "data.length is 10 there and 20 here" in str(caught.value)


@pytest.mark.parametrize(
    ("given", "name"), [({"data": "there"}, "--data"), ({"init_from": "there"}, "--init-from")]
)
def test_what_is_for_texts_is_refused(given: dict[str, str], name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        seq2seq.train(recipe_of(tmp_path), tmp_path / "run", monitor=Told(), **given)  # type: ignore[arg-type]
    assert str(caught.value) == (
        f"{name}: for pairs of texts, and data.kind = 'problem' draws sequences of the problem "
        "'xor': leave it out"
    )
    assert not (tmp_path / "run").exists()


def test_there_is_nothing_to_prepare(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        seq2seq.prepare(recipe_of(tmp_path), tmp_path / "data")
    assert str(caught.value) == (
        "recipe tiny-xor: data.problem = 'xor' draws its sequences while it trains: there is "
        "nothing to prepare; 'seq2seq train' needs no --data"
    )


def test_the_verbs_that_translate_say_that_it_does_not(tmp_path: Path) -> None:
    run = tmp_path / "run"
    seq2seq.train(recipe_of(tmp_path, "training.updates=2"), run, threads=1, monitor=Told())
    text = tmp_path / "text"
    text.write_text("a b\n", encoding="utf-8")
    commands = [
        ["translate", run, text],
        ["evaluate", run, text, text],
        ["export", run, "-o", tmp_path / "x"],
    ]
    for command in commands:
        done = CliRunner().invoke(app, [str(word) for word in command])
        assert done.exit_code != 0
        said = f"{done.exception}" if not done.output.strip() else done.output
        assert f"{run}: trained on the problem 'xor', so this is no translation model" in (
            said.replace("\n", " ")
        ), command
