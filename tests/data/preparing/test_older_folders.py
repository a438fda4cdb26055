"""Folders that version 0.3.0 prepared from the quickstart, whose text it made by a grammar."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from seq2seq.data.dataset import MANIFEST, RECIPE, PreparedData, digest_of
from seq2seq.data.preparing.prepare import is_prepared, prepare
from seq2seq.recipe import Recipe, packaged
from seq2seq.recipe.files import load_recipe
from seq2seq.storage import checked_json
from seq2seq.storage.atomic import file_digest
from seq2seq.storage.checked_json import SUM

OLD = {split: {"kind": "phrasebook", "split": split} for split in ("train", "val", "test")}


@pytest.fixture(scope="module")
def quickstart() -> Recipe:
    return load_recipe("quickstart", ["tokenizer.vocab_size=300", "tokenizer.max_lines=2000"])


@pytest.fixture(scope="module")
def folder(quickstart: Recipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prepared quickstart that says of itself what 0.3.0 said."""
    folder = tmp_path_factory.mktemp("old") / "data"
    prepare(quickstart, folder, processes=1)
    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    manifest.pop(SUM)
    manifest["recipe"]["data"].update(OLD)
    manifest["recipe_digest"] = digest_of(manifest["recipe"])
    manifest["inputs"] = {split: {} for split in OLD}
    recipe = folder / RECIPE
    text = recipe.read_text(encoding="utf-8")
    for split in OLD:
        source, target = packaged.quickstart_files(split)
        text = text.replace(
            f'kind = "lines"\nsource_path = "{source}"\ntarget_path = "{target}"\n',
            f'kind = "phrasebook"\nsplit = "{split}"\n',
        )
    assert text.count("phrasebook") == 3
    recipe.write_text(text, encoding="utf-8")
    manifest["files"][RECIPE] = file_digest(recipe)
    (folder / MANIFEST).write_bytes(checked_json.dumps(manifest))
    return folder


def test_it_is_what_the_quickstart_would_prepare_today(folder: Path, quickstart: Recipe) -> None:
    assert is_prepared(quickstart, folder)
    prepared = PreparedData.open(folder)
    prepared.check_fits(quickstart)
    assert prepared.changed_inputs(quickstart) == []
    assert prepared.recipe == quickstart


def test_where_the_text_was_changed_the_message_says_what_to_do(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "quickstart").mkdir()
    for file in (packaged.packaged_folder() / "quickstart").iterdir():
        (tmp_path / "quickstart" / file.name).write_bytes(file.read_bytes())
    recipe = (packaged.packaged_folder() / "quickstart.toml").read_text(encoding="utf-8")
    (tmp_path / "quickstart.toml").write_text(recipe, encoding="utf-8")
    monkeypatch.setattr(packaged, "packaged_folder", lambda: tmp_path)
    settings = ["tokenizer.vocab_size=300", "tokenizer.max_lines=2000"]
    elsewhere = load_recipe(str(tmp_path / "quickstart.toml"), settings)
    prepared = PreparedData.open(folder)
    prepared.check_fits(elsewhere)
    assert prepared.changed_inputs(elsewhere) == []
    changed = tmp_path / "quickstart" / "train.en"
    changed.write_bytes(changed.read_bytes() + b"One more.\n")
    assert prepared.changed_inputs(elsewhere) == [str(changed)]
    assert not is_prepared(elsewhere, folder)
    assert str(prepared.changed_error([str(changed)])) == (
        f"{changed}: changed since {folder} was prepared (the SHA-256 differs): prepare "
        "again into another folder and begin a new run with it, or train on with what was "
        "prepared: --changed-data"
    )


@pytest.mark.parametrize(
    ("train", "same"),
    [
        ({"a": "kato {n}\n", "b": "KATO {n}\n"}, True),
        ({"a": "\ufeffkato {n}\n", "b": "KATO {n}\n"}, False),  # was text
        ({"tsv": "kato {n}\tKATO {n}\n"}, False),  # columns and headers are found out now
    ],
)
def test_what_is_read_otherwise_now_is_prepared_again(
    tmp_path: Path, train: dict[str, str], same: bool
) -> None:
    for suffix, line in train.items():
        lines = "".join(line.format(n=n) for n in range(99))
        (tmp_path / f"train.{suffix}").write_text(lines, "utf-8")
    paths = [str(tmp_path / f"train.{suffix}") for suffix in train]
    data = {"train": paths if len(paths) > 1 else paths[0]}
    recipe = Recipe.model_validate({"data": data})
    made = prepare(recipe, tmp_path / "out", processes=1).folder
    assert is_prepared(recipe, made)
    manifest = json.loads((made / MANIFEST).read_text(encoding="utf-8"))
    manifest.pop(SUM)
    del manifest["reading"]  # which 0.3.0 did not write
    (made / MANIFEST).write_bytes(checked_json.dumps(manifest))
    assert is_prepared(recipe, made) == same
    PreparedData.open(made).check_fits(recipe)  # a run goes on with what was prepared
