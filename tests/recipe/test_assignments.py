from __future__ import annotations

from pathlib import Path

import pytest

from seq2seq.errors import RecipeError
from seq2seq.recipe import Recipe
from seq2seq.recipe.base import Checks
from seq2seq.recipe.data import TsvSource
from seq2seq.recipe.files import load_recipe
from seq2seq.recipe.model import Cell
from seq2seq.recipe.training import AdamW, Cosine


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def load(*assignments: str, text: str = "seed = 1\n") -> Recipe:
        Path("r.toml").write_text(text, encoding="utf-8")
        return load_recipe("r.toml", assignments)

    return load


def test_values_are_toml_or_bare_strings(loaded) -> None:
    recipe = loaded(
        "seed = 7",
        "name=first",
        'name="last"',
        "training.learning_rate=1e-4",
        "cleaning.empty=false",
        "tokenizer.user_defined_symbols=['<a>', '=']",
        "training.average={kind = 'ema', decay = 0.5}",
    )
    assert recipe.seed == 7
    assert recipe.name == "last"
    assert recipe.training.learning_rate == 1e-4
    assert recipe.cleaning.empty is False
    assert recipe.tokenizer.user_defined_symbols == ("<a>", "=")
    assert recipe.training.average.kind == "ema"


LSTM = {"kind": "lstm", "forget_bias": 2.0}


def test_short_forms_open_into_tables(loaded) -> None:
    recipe = loaded(
        "model.encoder.cell.forget_bias=2",
        "training.optimizer.weight_decay=0.5",
        text='model.encoder.cell = "lstm"\ntraining.optimizer = "adamw"',
    )
    assert recipe.model.encoder.cell == Cell.model_validate(LSTM, context=Checks(cells=True))
    assert recipe.training.optimizer == AdamW(weight_decay=0.5)


def test_absent_tables_begin_as_their_default(loaded) -> None:
    recipe = loaded("model.encoder.cell.forget_bias=2", "training.schedule.warmup=3")
    assert recipe.model.encoder.cell == Cell.model_validate(LSTM, context=Checks(cells=True))
    assert recipe.training.schedule == Cosine(warmup=3)


def test_a_table_is_replaced_as_a_whole(loaded) -> None:
    text = "[model.encoder.cell]\nkind = 'lstm'\nforget_bias = 3.0\n"
    assert loaded("model.encoder.cell=gru", text=text).model.encoder.cell == Cell(
        kind="gru", reset="after"
    )


def test_a_table_is_built_key_by_key_in_any_order(loaded) -> None:
    recipe = loaded("data.train.path=/train", "data.train.kind=tsv")
    assert recipe.data.train == TsvSource(path="/train")


@pytest.mark.parametrize(
    ("assignment", "problem"),
    [
        ("seed", "--set seed: is not KEY=VALUE, as in --set model.encoder.layers=2"),
        ("=3", "--set =3: is not KEY=VALUE, as in --set model.encoder.layers=2"),
        ("a..b=3", "--set a..b=3: is not KEY=VALUE, as in --set model.encoder.layers=2"),
        (
            "epochs=3",
            "epochs: unknown key (did you mean training.epochs?); allowed: name, seed, data, "
            "cleaning, text, tokenizer, model, training, translation (from --set epochs=3)",
        ),
        (
            "layers=3",
            "layers: unknown key (did you mean model.encoder.layers or model.decoder.layers?); "
            "allowed: name, seed, data, cleaning, text, tokenizer, model, training, translation "
            "(from --set layers=3)",
        ),
        (
            "model.encodr.layers=2",
            "model.encodr: unknown key (did you mean 'encoder'?); allowed: encoder, bridge, "
            "decoder, tie, output, lexical, recurrent_init, output_std "
            "(from --set model.encodr.layers=2)",
        ),
        (
            "model.encoder.layer=2",
            "model.encoder.layer: unknown key (did you mean 'layers'?); allowed: cell, embedding, "
            "hidden, layers, directions, dropout, word_dropout, variational_dropout, "
            "recurrent_dropout, residual, reverse "
            "(from --set model.encoder.layer=2)",
        ),
        (
            "translation.beam.x=3",
            "translation.beam: must be a whole number at least 1, not a table "
            "(from --set translation.beam.x=3)",
        ),
        (
            "training.updates=0",
            "training.updates: must be at least 1, or 'none', not 0 "
            "(from --set training.updates=0)",
        ),
        (
            "training.learning_rate=fast",
            "training.learning_rate: must be a number above 0, or 'auto', not 'fast' "
            "(from --set training.learning_rate=fast)",
        ),
        (
            'text.protect.kinds=["url", "emial"]',
            "text.protect.kinds[1]: unknown value 'emial' (did you mean 'email'?); allowed: url, "
            "email, placeholder, tag, number, emoji, unknown "
            '(from --set text.protect.kinds=["url", "emial"])',
        ),
        (
            "training.optimizer=adm",
            "training.optimizer.kind: unknown kind 'adm' (did you mean 'adam'?); "
            "allowed: adam, adamw, sgd, hessian_free (from --set training.optimizer=adm)",
        ),
        (
            "model.encoder.hidden=3",
            "model.encoder: hidden = 3 must be even with directions = 'both'",
        ),
        (
            "seed=1\nname='x'",
            "seed: must be a whole number at least 0 and below 2147483648, not "
            "\"1\\nname='x'\" (from --set seed=1\\nname='x')",
        ),
    ],
)
def test_problems_name_the_assignment(loaded, assignment: str, problem: str) -> None:
    with pytest.raises(RecipeError) as caught:
        loaded(assignment)
    assert str(caught.value) == f"recipe r.toml: {problem}"


def test_a_value_that_begins_as_toml_must_be_toml(loaded) -> None:
    with pytest.raises(RecipeError) as caught:
        loaded("data.train=['a', 'b'")
    start = "recipe r.toml: --set data.train=['a', 'b': the value is not TOML: "
    assert str(caught.value).startswith(start)


def test_malformed_and_wrong_assignments_are_told_together(loaded) -> None:
    with pytest.raises(RecipeError) as caught:
        loaded("seed", "seed=x", text="nam = 1")
    assert str(caught.value) == (
        "recipe r.toml: 3 problems:\n"
        "  --set seed: is not KEY=VALUE, as in --set model.encoder.layers=2\n"
        "  seed: must be a whole number at least 0 and below 2147483648, not 'x' "
        "(from --set seed=x)\n"
        "  nam: unknown key (did you mean 'name'?); allowed: name, seed, data, cleaning, "
        "text, tokenizer, model, training, translation"
    )
