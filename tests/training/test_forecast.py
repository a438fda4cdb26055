"""The plan that is told before training, against what training then does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.tiny import tiny_recipe
from support.told import Told

from seq2seq.data.batching import Bounds, length_batches
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.recipe.files import load_recipe
from seq2seq.training.forecast import Forecast
from seq2seq.training.optim import learning_rate
from seq2seq.training.session import train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, PreparedData]:
    folder = tmp_path_factory.mktemp("forecast")
    prepared = prepare(tiny_recipe(folder), folder / "prepared", processes=1)
    return str(folder / "tiny.toml"), prepared


@pytest.mark.parametrize("warmup", [0, 1, 7, 50, 51, 400])
@pytest.mark.parametrize("kind", ["cosine", "constant", "inverse_sqrt", "plateau"])
def test_the_rates_are_those_of_all_updates(
    corpus: tuple[str, PreparedData], kind: str, warmup: int
) -> None:
    warmup = max(1, warmup) if kind == "inverse_sqrt" else warmup
    schedule = f"training.schedule={{kind='{kind}', warmup={warmup}}}"
    recipe = load_recipe(corpus[0], [schedule, "training.epochs=5"])
    forecast = Forecast.of(recipe, corpus[1], 10, 1)
    rates = [
        learning_rate(
            recipe.training.learning_rate,
            recipe.training.schedule,
            update=number + 1,
            progress=number / 50,
            reductions=0,
        )
        for number in range(50)
    ]
    assert forecast.updates == 50
    assert forecast.peak == max(rates)
    assert forecast.last == rates[-1]


def test_a_warm_up_of_any_length_is_looked_at_in_moments(corpus: tuple[str, PreparedData]) -> None:
    """At x = 0.41 of the training, x (1 + cos(pi x)) / 2 is highest: 0.262."""
    longest = 10**12
    settings = [f"training.schedule={{kind='cosine', warmup={longest}}}", "training.epochs=none"]
    recipe = load_recipe(corpus[0], [*settings, f"training.updates={longest}"])
    forecast = Forecast.of(recipe, corpus[1], 10, 1)
    rate = recipe.training.learning_rate
    assert forecast.peak == pytest.approx(0.262 * rate, rel=2e-3)


def test_the_validation_pairs_are_counted_not_the_copies_that_are_left_out(tmp_path: Path) -> None:
    for side in ("en", "de"):
        lines = [f"{side} {number} {number}\n" for number in range(100)] * 3
        (tmp_path / f"train.{side}").write_text("".join(lines), encoding="utf-8")
    recipe = load_recipe([tmp_path / "train.en", tmp_path / "train.de"])
    prepared = prepare(recipe, tmp_path / "prepared", processes=1)
    forecast = Forecast.of(recipe, prepared, 10, 1)
    assert forecast.held_out == len(prepared.val) == 30
    assert forecast.pairs == 300 - 3 * 30


def warnings(corpus: tuple[str, PreparedData], *settings: str, tuned: bool = False) -> list[str]:
    recipe = load_recipe(corpus[0], settings)
    forecast = Forecast.of(recipe, corpus[1], 40, 1)
    return list(forecast.warnings(recipe, fine_tuned=tuned))


def test_a_plan_that_cannot_work_names_the_key_to_turn(corpus: tuple[str, PreparedData]) -> None:
    slow = "training.schedule={kind='cosine', warmup=200}"
    assert warnings(corpus, "training.epochs=50", slow) == []
    assert warnings(corpus, "training.epochs=3", slow) == [
        "the learning rate rises for 200 updates, and training has 120: it reaches 0.0008 of "
        "0.005; leave training.schedule.warmup out, or set it to 12",
        "120 updates are too few for a network that begins with nothing: set training.epochs = 8 "
        "or more, or a lower training.batch_tokens",
    ]
    assert warnings(corpus, "training.epochs=3", tuned=True) == []
    assert warnings(corpus, "training.updates=20", "training.epochs='none'") == [
        "20 updates are too few for a network that begins with nothing: set more training.updates, "
        "or a lower training.batch_tokens"
    ]
    assert warnings(corpus, "training.epochs=50", "training.learning_rate=1e-9") == [
        "a rate of 1e-09 changes nothing: raise training.learning_rate"
    ]


def test_without_a_learning_rate_nothing_is_said_of_it(corpus: tuple[str, PreparedData]) -> None:
    settings = ["training.optimizer=hessian_free", "training.updates=9", "training.epochs='none'"]
    settings += ["training.schedule={kind='cosine', warmup=200}", "training.learning_rate=1e-9"]
    assert warnings(corpus, *settings) == []
    recipe = load_recipe(corpus[0], settings)
    lines = list(Forecast.of(recipe, corpus[1], 40, 1).lines(recipe))
    assert "  learning rate: none, as the optimizer is Hessian-free; batches of 400 tokens" in lines


def test_few_pairs_are_warned_of_unless_they_tune(corpus: tuple[str, PreparedData]) -> None:
    recipe = load_recipe(corpus[0], ["training.epochs=50"])
    forecast = replace(Forecast.of(recipe, corpus[1], 40, 1), pairs=49)
    assert list(forecast.warnings(recipe, fine_tuned=True)) == []
    assert list(forecast.warnings(recipe, fine_tuned=False)) == [
        "49 pairs are too few to learn from: name more text as data.train"
    ]
    one = replace(forecast, pairs=1).warnings(recipe, fine_tuned=False)
    assert next(one).startswith("1 pair is too few")
    assert not list(replace(forecast, pairs=50).warnings(recipe, fine_tuned=False))


def test_a_risk_is_minimized_of_a_model_that_says_something(
    corpus: tuple[str, PreparedData],
) -> None:
    settings = ["training.epochs=50", "training.method=minimum_risk"]
    recipe = load_recipe(corpus[0], settings)
    forecast = Forecast.of(recipe, corpus[1], 40, 1)
    assert list(forecast.warnings(recipe, fine_tuned=True)) == []
    assert list(forecast.warnings(recipe, fine_tuned=False)) == [
        "training.method = 'minimum_risk' learns from what the model says, and this one says "
        "nothing yet: train it by 'gradient' first, and go on from there (--init-from)"
    ]


def test_batches_of_a_pair_each_are_warned_of(corpus: tuple[str, PreparedData]) -> None:
    sides = corpus[1].train.lengths(0, 300)
    widths = np.sort(1 + np.maximum(*sides))
    usual = 1 + max(int(np.sort(side)[149]) for side in sides)
    assert (widths >= usual).sum() >= 150
    assert warnings(corpus, "training.epochs=50", f"training.batch_tokens={2 * usual}") == []
    few = 2 * usual - 1
    assert warnings(corpus, "training.epochs=50", f"training.batch_tokens={few}") == [
        f"training.batch_tokens = {few} leaves most pairs alone in a batch, as half of them have "
        f"{usual} pieces or more: raise it, or leave it out"
    ]
    alone = [one for one in length_batches(widths, Bounds(few)) if len(one) == 1]
    assert len(alone) >= 150


def test_the_plans_figures_are_written_out(corpus: tuple[str, PreparedData]) -> None:
    def plan(updates: int, per_epoch: int, **figures: int) -> list[str]:
        settings = ["training.epochs=9999", f"training.updates={updates}"]
        recipe = load_recipe(corpus[0], [*settings, "training.validation.every=9999"])
        forecast = Forecast.of(recipe, corpus[1], per_epoch, 1)
        return list(replace(forecast, **figures).lines(recipe))

    assert "40,000 updates (1,000 epochs)" in plan(40_000, 40)[0]
    assert "50 updates (1.25 epochs)" in plan(50, 40)[0]
    few = plan(1, 1, pairs=1, held_out=1, target_tokens=1, warmup=1)
    assert few[:2] == [
        "plan: 1 update (1 epoch) of 1 pair with 1 target token; 1 validation",
        "  validation: on 1 pair held out of the training text",
    ]
    assert "over 1 update and" in few[3]


def test_the_plan_is_told_before_training_and_recorded(
    corpus: tuple[str, PreparedData], tmp_path: Path
) -> None:
    wide = ["model.encoder.hidden=256", "model.decoder.hidden=256", "training.epochs=1"]
    recipe = load_recipe(corpus[0], [*wide, "model.encoder.embedding=64"])
    told = Told()
    result = train(recipe, tmp_path / "r", data=corpus[1].folder, threads=1, monitor=told)
    lines = (tmp_path / "r/metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    (plan,) = [record for record in records if record["kind"] == "plan"]
    assert plan["updates"] == result.updates
    assert plan["validations"] == sum(one["kind"] == "validation" for one in records)
    assert plan["pairs"] == 300
    assert plan["target_tokens"] == corpus[1].report.splits[0].target.tokens
    tokens = f"{plan['target_tokens']:,}"
    updates, validations = plan["updates"], plan["validations"]
    assert told.lines[:2] == [
        f"plan: {updates} updates (1 epoch) of 300 pairs with {tokens} target tokens; "
        f"{validations} validations",
        f"  network: {plan['weights']:,} weights; encoder lstm 256, embedding 64, dropout 0.2; "
        "decoder lstm 256, embedding 12, dropout 0.2",
    ]
    used = sum(one.stat().st_size for one in (tmp_path / "r").rglob("*") if one.is_file())
    assert used / 2 < plan["disk"]
    assert used < plan["disk"] + 10**6  # pictures and the page
