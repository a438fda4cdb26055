"""What comes with the package, and recipes of 0.3.0, whose quickstart had no files."""

from __future__ import annotations

from pathlib import Path

import pytest

from seq2seq.errors import RecipeError
from seq2seq.recipe.data import LinesPart, LinesSource
from seq2seq.recipe.files import load_recipe, recipe_from_toml, recipe_to_toml
from seq2seq.recipe.packaged import packaged_folder, quickstart_files

TEXT = packaged_folder() / "quickstart"


def test_the_quickstart_names_its_files_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data = load_recipe("quickstart").data
    for split in ("train", "val", "test"):
        source, target = TEXT / f"{split}.en", TEXT / f"{split}.de"
        assert getattr(data, split) == LinesSource(source_path=str(source), target_path=str(target))
        assert source.read_bytes().count(b"\n") == target.read_bytes().count(b"\n") > 0


def test_a_recipe_that_a_run_of_0_3_0_stored_is_read() -> None:
    tables = """
        [data.train]
        kind = "phrasebook"
        split = "train"
        [data.val]
        kind = "phrasebook"
        split = "val"
        [data.test]
        kind = "phrasebook"
        split = "test"
    """
    recipe = recipe_from_toml(tables, "r.toml")
    assert recipe.data == load_recipe("quickstart").data
    assert recipe_from_toml(recipe_to_toml(recipe), "r.toml") == recipe


def test_so_is_one_that_mixes_corpora() -> None:
    text = """data.train = [
        {kind = "phrasebook", split = "val", weight = 2.0, label = "made"}, {path = "/b.tsv"}
    ]"""
    train = recipe_from_toml(text, "r.toml").data.train
    assert isinstance(train, tuple)
    source, target = quickstart_files("val")
    assert train[0] == LinesPart(source_path=source, target_path=target, weight=2.0, label="made")


@pytest.mark.parametrize(
    ("train", "key"),
    [
        ('{kind = "phrasebook", split = "test"}', "data.train"),
        ('[["a", "b"], {kind = "phrasebook", split = "test", weight = 2.0}]', "data.train[1]"),
    ],
)
def test_a_users_recipe_is_told_what_to_write(tmp_path: Path, train: str, key: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f"[data]\ntrain = {train}\n", encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path))
    assert str(caught.value) == (
        f'recipe {path}: {key}.kind: "phrasebook" is text files now: write '
        f'["{TEXT}/test.en", "{TEXT}/test.de"] for this table'
    )
