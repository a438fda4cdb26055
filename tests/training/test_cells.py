"""Every registered cell trains in both halves of a model, goes on after a stop, translates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.models import cell_variants, variant_name
from support.published import weights_file
from support.tiny import write_recipe
from support.told import Told

from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.inference.translator import Translator
from seq2seq.recipe.files import load_recipe, recipe_from_toml
from seq2seq.tasks import translation
from seq2seq.training.finetuning.source_model import differing_model_keys
from seq2seq.training.session import train

SETTINGS = [
    'training.schedule={kind="constant",warmup=0}',
    "training.validation.every=2",
    "training.validation.bleu=false",
    'training.early_stopping={metric="loss"}',
]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("cells")
    recipe = write_recipe(folder)
    return recipe, prepare(load_recipe(str(recipe)), folder / "data", processes=1)


@pytest.mark.parametrize("cell", cell_variants(), ids=variant_name)
def test_a_cell_learns_goes_on_and_translates(
    cell: dict[str, Any],
    corpus: tuple[Path, PreparedData],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Interrupted it ends with the same bytes; its graphs are held by tests/conformance."""
    monkeypatch.setattr(translation, "published_graphs", lambda options, weights: {})
    options = ", ".join(f"{key} = {str(value).lower()!r}" for key, value in cell.items())
    table = f"{{{options}}}".replace("'true'", "true")
    sides = [f"model.{side}.cell={table}" for side in ("encoder", "decoder")]

    def run(name: str, updates: int) -> Path:
        settings = [*SETTINGS, *sides, f"training.updates={updates}"]
        recipe = load_recipe(str(corpus[0]), settings)
        train(recipe, tmp_path / name, data=corpus[1].folder, threads=1, monitor=Told())
        return tmp_path / name

    first = weights_file(run("half", 2)).read_bytes()
    whole = weights_file(run("whole", 4)).read_bytes()
    assert first != whole
    assert weights_file(run("half", 4)).read_bytes() == whole
    translator = Translator.load(tmp_path / "whole", engine="torch", threads=1)
    assert len([*translator.translate(["a b", "b"])]) == 2


@pytest.mark.parametrize("cell", ['{kind = "lstm", forget_bias = 1.0}', '{kind = "gru"}'])
def test_a_model_from_before_its_cell_had_options_differs_by_none_of_them(cell: str) -> None:
    """Its recipe lacks the keys; that they are off is no difference, that they are on is one."""
    stored = f"[model.encoder]\ncell = {cell}\n[model.decoder]\ncell = {cell}\n"
    theirs = recipe_from_toml(stored, "model", cells=False)
    assert not differing_model_keys(theirs, recipe_from_toml(stored, "here"))
    more = {"lstm": ("peephole", True), "gru": ("reset", "before")}
    name, value = more[theirs.model.encoder.cell.kind]
    other = stored.replace("}", f", {name} = {json.dumps(value)}}}", 1)
    found = differing_model_keys(theirs, recipe_from_toml(other, "here"))
    assert [*found] == [f"model.encoder.cell.{name}"]
