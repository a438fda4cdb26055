"""Every number of a recipe has a lower and an upper bound."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from annotated_types import Le

from seq2seq.errors import RecipeError
from seq2seq.recipe import Recipe
from seq2seq.recipe.base import parts_of, tables_in
from seq2seq.recipe.data import TsvPart
from seq2seq.recipe.files import load_recipe, recipe_from_toml, recipe_to_toml
from seq2seq.recipe.schema import json_schema


def numbers(node: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if node.get("type") in ("integer", "number"):
            yield name, node
        for key, below in node.items():
            yield from numbers(below, f"{name}.{key}")
    elif isinstance(node, list):
        for below in node:
            yield from numbers(below, name)


def test_every_number_has_both_bounds() -> None:
    found = list(numbers(json_schema()))
    assert len(found) > 50
    for name, node in found:
        # A number or something else: these have validators, whose words tell the bounds.
        if "vocab_size" in name or re.search(r"Tsv\w+\.properties\.(source|target)", name):
            continue
        assert {"minimum", "exclusiveMinimum"} & node.keys(), name
        assert {"maximum", "exclusiveMaximum"} & node.keys(), name


def complaint(toml: str) -> str:
    with pytest.raises(RecipeError) as error:
        recipe_from_toml(toml, "r.toml", stored=False)
    return str(error.value)


def test_a_number_beyond_its_bound_is_told_the_bound() -> None:
    assert complaint("[model.encoder]\nlayers = 1000000") == (
        "recipe r.toml: model.encoder.layers: must be at least 1 and at most 256, not 1000000"
    )
    assert "1000000" in complaint("[tokenizer]\nvocab_size = 10000000").replace(",", "")
    assert complaint("[translation]\nbeam = 100000") == (
        "recipe r.toml: translation.beam: must be at least 1 and at most 1000, not 100000"
    )


def test_what_older_versions_allowed_and_stored_is_read_as_the_most_that_is_allowed() -> None:
    """They had no upper bounds; a model's own numbers are told, as its weights have them."""
    whole = tomllib.loads(recipe_to_toml(Recipe()))
    whole["data"]["train"] = [{"path": "a.tsv", "weight": 1.0}, {"path": "b.tsv", "weight": 1.0}]
    looked_at = set()
    part = (TsvPart, whole["data"]["train"][1])
    for section, table in [*tables_in(Recipe, whole), part]:
        for key, field in section.model_fields.items():
            bounds = [one.le for one in (*field.metadata, *parts_of(field)) if isinstance(one, Le)]
            if not bounds or section.__module__.endswith("recipe.model"):
                continue
            if key == "min_ratio":
                continue  # not above max_ratio, in older versions too
            before, most = table.get(key), bounds[0]
            table[key] = 10**13 if isinstance(most, int) else 1e30
            text = tomli_w.dumps(whole)
            table[key] = most
            allowed = tomli_w.dumps(whole)
            assert f"{key}: must be " in complaint(text)
            read = recipe_from_toml(text, "run.json")
            assert read == recipe_from_toml(allowed, "run.json", stored=False)
            looked_at.add(key)
            table[key] = before if before is not None else "none"
    assert {"weight", "beam", "alpha", "max_source", "max_pieces", "learning_rate"} < looked_at
    with pytest.raises(RecipeError, match="hidden"):
        recipe_from_toml("[model.encoder]\nhidden = 10000000000000", "run.json")


def test_a_kind_that_is_no_key_hides_nothing() -> None:
    found = complaint('[model.encoder]\nkind = "lstm"\nlayer = 2\n')
    assert found.startswith("recipe r.toml: 2 problems:\n  model.encoder.kind: unknown key; ")
    assert "\n  model.encoder.layer: unknown key (did you mean 'layers'?); " in found


def test_many_keys_and_many_levels() -> None:
    found = complaint("".join(f"k{n} = 1\n" for n in range(50_000)))
    assert found.startswith("recipe r.toml: 101 problems:\n  k0: unknown key; ")
    assert found.count("\n") <= 60
    assert complaint("".join(f"k{n} = 1\n" for n in range(100_001))) == (
        "recipe r.toml: more than 100,000 values"
    )
    assert complaint("a" + ".a" * 5000 + " = 1") == (
        "recipe r.toml: not TOML: lists or tables nested too deeply"
    )


@pytest.mark.parametrize(
    ("assignment", "typed"),
    [
        ('name="a', "--set 'name=\"a\"'"),
        ("data.train=[a.en,b.de]", '--set \'data.train=["a.en","b.de"]\''),
        (
            "data.val={kind=tsv,path=x,source=3}",
            '--set \'data.val={kind="tsv",path="x",source=3}\'',
        ),
        ("name=2024", "--set 'name=\"2024\"'"),
    ],
)
def test_the_quotes_to_type_are_shown(assignment: str, typed: str) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe("quickstart", [assignment])
    assert str(error.value).endswith(f": {typed}")


def test_a_device_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "r.toml").symlink_to("/dev/zero")
    with pytest.raises(RecipeError) as error:
        load_recipe(str(tmp_path / "r.toml"))
    words = "cannot be read: a device or a pipe, where a file is expected"
    assert str(error.value) == f"recipe {tmp_path / 'r.toml'}: {words}"
