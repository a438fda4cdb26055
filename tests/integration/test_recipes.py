"""Every packaged recipe is what it says: it is checked, trained for a few steps, and translates."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from support.tiny import write_corpus

import seq2seq
from seq2seq.recipe.data import PROBLEMS as DATA_PROBLEMS
from seq2seq.recipe.packaged import packaged_recipes
from seq2seq.training.monitoring import Silent

RECIPES = sorted(packaged_recipes())
PROBLEMS = [name for name in RECIPES if packaged_recipes()[name].parent.name == "problems"]


def test_there_are_recipes() -> None:
    assert {
        "quickstart",
        "multi30k_en_de_lstm",
        "multi30k_en_de_gru",
        "multi30k_en_de_attention",
    } <= set(RECIPES)
    assert {*PROBLEMS} == {*DATA_PROBLEMS}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_recipe_for_a_problem_trains(name: str, tmp_path: Path) -> None:
    recipe = seq2seq.load_recipe(name, ["training.updates=2", "data.val_size=2"])
    result = seq2seq.train(recipe, tmp_path / "run", threads=1, monitor=Silent())
    assert result.problem == name
    assert result.best is not None
    assert all(math.isfinite(result.best[key]) for key in ("loss", *result.labels))


@pytest.mark.parametrize("name", sorted({*RECIPES} - {*PROBLEMS}))
def test_a_recipe_trains_and_translates(name: str, tmp_path: Path) -> None:
    train, val = (write_corpus(tmp_path, split, n) for split, n in (("train", 200), ("val", 4)))
    recipe = seq2seq.load_recipe(
        name,
        [
            f'data.train=["{train[0]}", "{train[1]}"]',
            f'data.val=["{val[0]}", "{val[1]}"]',
            "tokenizer.vocab_size=300",
            "training.updates=2",
            "training.batch_tokens=200",
            "training.average=none",
            "translation.max_ratio=0.5",
            "translation.max_extra=2",
        ],
    )
    result = seq2seq.train(recipe, tmp_path / "run", threads=1, monitor=Silent())
    assert result.updates == 2
    lines = ["The dog sleeps.", "", "A cat!"]
    translated = seq2seq.Translator.load(tmp_path / "run").translate(lines, beam=2)
    assert len(translated) == 3
    assert translated[1] == ""


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_its_command_cost_and_score(name: str) -> None:
    head = packaged_recipes()[name].read_text(encoding="utf-8").split("\n")[:3]
    assert [line.split(":")[0] for line in head] == ["# Command", "# Cost", "# Score"]
