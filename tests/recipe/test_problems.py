"""A recipe for a problem: what it may say, and one clear line for each thing it may not."""

from __future__ import annotations

import tomllib

import pytest

from seq2seq.errors import RecipeError
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import recipe_from_toml, recipe_to_toml

ADDING = "data = {kind = 'problem', problem = 'adding', length = 50}\n"
NARMA = "data = {kind = 'problem', problem = 'narma10', length = 500}\n"
FORWARD = "model.encoder.directions = 'forward'\n"


def test_a_recipe_for_text_is_written_as_before() -> None:
    written = tomllib.loads(recipe_to_toml(Recipe()))
    assert written["data"] == {"held_out": 1000, "temperature": 1.0}


def test_a_recipe_for_a_problem_is_read_again_as_it_was_written() -> None:
    text = NARMA + FORWARD + "training = {method = {kind = 'ridge', penalty = 0.5}}"
    recipe = recipe_from_toml(text, "r", stored=False)
    assert recipe.data.problem == "narma10"
    assert recipe_from_toml(recipe_to_toml(recipe), "r") == recipe


WRONG = {
    "data = {kind = 'problem'}": (
        "data: kind = 'problem' needs problem and length, such as problem = 'adding', length = 100"
    ),
    "data = {kind = 'riddle'}": "data.kind: unknown value 'riddle'; allowed: problem",
    "data = {kind = 'problem', problem = 'addding', length = 50}": (
        "data.problem: unknown value 'addding' (did you mean 'adding'?); allowed: adding, "
        "multiplication, xor, temporal_order, copy, memorization, narma10, mackey_glass, memory"
    ),
    "data = {kind = 'problem', problem = 'adding', length = 9}": (
        "data: length = 9 is too short: problem = 'adding' needs at least 10"
    ),
    "data = {kind = 'problem', problem = 'copy', length = 0}": (
        "data.length: must be at least 1, or 'none', not 0"
    ),
    "data = {kind = 'problem', problem = 'narma10', length = 100}": (
        "data: length = 100 must be above washout = 100, or no step counts"
    ),
    "data = {kind = 'problem', problem = 'adding', length = 50, washout = 3}": (
        "data: washout is for streams (narma10, mackey_glass, memory), not for problem = 'adding'"
    ),
    "data = {problem = 'adding', length = 50}": (
        "data: problem and length: only with kind = 'problem'"
    ),
    "data = {kind = 'problem', problem = 'adding', length = 50, train = ['a', 'b']}": (
        "data: train: text, and kind = 'problem' has none: leave one of them out"
    ),
    "training.method = 'ridge'": (
        "training.method = 'ridge' needs targets that are numbers: data.kind = 'problem' with "
        "data.problem one of adding, multiplication, narma10, mackey_glass, memory"
    ),
    ADDING.replace("adding", "xor") + "training.method = 'ridge'": (
        "training.method = 'ridge' needs targets that are numbers: data.kind = 'problem' with "
        "data.problem one of adding, multiplication, narma10, mackey_glass, memory"
    ),
    NARMA + "training = {method = 'ridge', epochs = 2}": (
        "training.method = 'ridge' reads the training sequences once: it needs training.epochs = "
        "1, or training.updates alone"
    ),
    NARMA + "training = {method = 'ridge', average = 'ema'}": (
        "training.method = 'ridge' solves for the weights anew at each update: it needs "
        "training.average = 'none'"
    ),
    NARMA + "training.method = {kind = 'ridge', penalty = -1.0}": (
        "training.method.penalty: must be at least 0, not -1.0"
    ),
    "training.method = 'newton'": (
        "training.method.kind: unknown kind 'newton'; allowed: gradient, minimum_risk, ridge"
    ),
    FORWARD + "training.bptt_window = 5": (
        "training.bptt_window cuts the gradients of a stream: it needs data.kind = 'problem' with "
        "data.problem one of narma10, mackey_glass, memory"
    ),
    ADDING + FORWARD + "training.bptt_window = 5": (
        "training.bptt_window cuts the gradients of a stream: it needs data.kind = 'problem' with "
        "data.problem one of narma10, mackey_glass, memory"
    ),
    NARMA + "training.bptt_window = 5": (
        "training.bptt_window goes forward in time: it needs model.encoder.directions = 'forward'"
    ),
    NARMA + FORWARD + "training = {bptt_window = 5, method = 'ridge'}": (
        "training.bptt_window is for gradients, and training.method = 'ridge' has none"
    ),
    "training.early_stopping.solved = true": (
        "training.early_stopping.solved is for problems: it needs data.kind = 'problem'"
    ),
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_what_is_wrong_is_told_in_a_line(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from_toml(text, "r", stored=False)
    assert str(caught.value) == f"recipe r: {message}"
