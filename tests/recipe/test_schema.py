from __future__ import annotations

import tomllib

import pytest
from jsonschema import Draft202012Validator

from seq2seq.recipe import Recipe
from seq2seq.recipe.files import recipe_from_toml, recipe_to_toml
from seq2seq.recipe.packaged import packaged_recipes
from seq2seq.recipe.schema import json_schema

SCHEMA = json_schema()


def accepted(text: str) -> bool:
    return bool(Draft202012Validator(SCHEMA).is_valid(tomllib.loads(text)))


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["title"] == "seq2seq recipe"


@pytest.mark.parametrize("name", packaged_recipes())
def test_packaged_recipes_validate(name: str) -> None:
    text = packaged_recipes()[name].read_text(encoding="utf-8")
    assert accepted(text)
    assert accepted(recipe_to_toml(recipe_from_toml(text, name)))


def test_defaults_validate() -> None:
    assert accepted(recipe_to_toml(Recipe()))


GOOD = [
    "model.encoder.cell = 'gru'",
    "model.encoder.cell = {kind = 'lstm', forget_bias = 2.0}",
    "model.decoder.attention = 'general'",
    "data.train = ['a', 'b']",
    "data.train = 'a.tsv'",
    "data.train = {path = 'a.tsv', source = 'en', target = 2, encoding = 'latin-1'}",
    "data.train = {source_path = 'a', target_path = 'b', encoding = ['utf-8', 'utf-16']}",
    "tokenizer = {vocab_size = {source = 90, target = 80}, joint = false}",
    "tokenizer = {vocab_size = 'auto', normalization = {source = 'nfkc'}}",
    "data.train = {kind = 'tsv', path = 'train'}",
    "data.train = [['a', 'b'], {path = 'b.tsv', weight = 3.0}, 'c.jsonl']",
    "data.train = [{kind = 'tsv', path = 'b', weight = 3, label = 'x'}]",
    "data.train = {source_path = 'a', target_path = 'b'}",
    "data.val = {path = 'a.parquet'}",
    "data = {train = [['a', 'b'], ['c', 'd']], temperature = 5.0}",
    "data.stream = true\ntraining = {epochs = 'none', updates = 9, validation = {every = 3}}",
    "data.stream = 'none'",
    "data.stream = false",
    "training.clip_norm = 'none'",
    "training = {epochs = 'auto', learning_rate = 'auto'}",
    "model.encoder = {hidden = 'auto', dropout = 0.1}",
    "training.validation.every = 'none'",
    "tokenizer.sampling = {alpha = 0.2}",
    "training.schedule = 'plateau'",
    "translation = {long = 'truncate', min_ratio = 0.5}",
]
BAD = [
    "modle.tie = 'all'",
    "model.encoder.cell = 'gruu'",
    "model.encoder.cell = {kind = 'gru', forget_bias = 2.0}",
    "model.encoder.cell = {forget_bias = 2.0}",
    "model.encoder.layers = 0",
    "model.decoder.attention = 'dto'",
    "data.train = ['a']",
    "data.train = {kind = 'tsv'}",
    "data.train = ['a.tsv', 'b.tsv', 'c.tsv']",
    "data.train = [{path = 'b.tsv', weight = 0}]",
    "data.train = {path = 'b.tsv', weight = 1.0}",
    "data.val = [['a', 'b'], ['c', 'd']]",
    "data.val = {path = 'b.foo'}",
    "data.temperature = 0",
    "data.stream = {buffer = 3}",
    "training.clip_norm = 'no'",
    "training.clip_norm = 'auto'",
    "training.learning_rate = 'many'",
    "training.schedule = {warmup = 3}",
    "translation.long = 'cut'",
    "translation.coverage = -1",
    "seed = '1'",
]


@pytest.mark.parametrize("text", GOOD)
def test_the_schema_takes_what_the_recipe_takes(text: str) -> None:
    recipe_from_toml(text, "r")
    assert accepted(text)


@pytest.mark.parametrize("text", BAD)
def test_the_schema_refuses_what_the_recipe_refuses(text: str) -> None:
    with pytest.raises(Exception, match="recipe r: "):
        recipe_from_toml(text, "r")
    assert not accepted(text)
