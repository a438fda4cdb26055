"""Training on several corpora: from the recipe to the card."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.tiny import write_recipe

from seq2seq.data.batching import Place
from seq2seq.data.collate import collate
from seq2seq.data.preparing.prepare import prepare
from seq2seq.errors import ModelError
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe
from seq2seq.training.batches.prepared import PreparedBatches
from seq2seq.training.monitoring import Silent
from seq2seq.training.session import train


def mixed_recipe(folder: Path, weight: float, *assignments: str) -> Recipe:
    write_recipe(folder, 200)
    lines = [path.read_text(encoding="utf-8").split("\n") for path in folder.glob("val.*")]
    pairs = zip(*lines, strict=True)
    talks = "".join("\t".join(pair) + "\n" for pair in pairs if pair[0])
    (folder / "talks.tsv").write_text(talks, encoding="utf-8", newline="\n")
    corpora = (
        f"[['{folder}/train.en', '{folder}/train.de'], "
        f"{{path = '{folder}/talks.tsv', weight = {weight}}}]"
    )
    return load_recipe(str(folder / "tiny.toml"), [f"data.train={corpora}", *assignments])


def test_a_run_on_two_corpora(tmp_path: Path) -> None:
    recipe = mixed_recipe(tmp_path, 5.0, "training.epochs=1")
    prepared = prepare(recipe, tmp_path / "data")
    feed = PreparedBatches(prepared, recipe, collate)
    seen: list[str] = []
    for work in feed.updates(Place()):
        for indices in work.all_indices:
            lines = feed.provenance(indices)
            assert lines.corpora is not None
            seen += lines.corpora
            for number, corpus in zip(lines.numbers, lines.corpora, strict=True):
                assert 1 <= number <= {"train": 200, "talks": 20}[corpus]
        if work.place.epoch:
            break
    share = 20 * 5 / (200 + 20 * 5)
    assert len(seen) == len(feed) == 220
    assert seen.count("talks") == pytest.approx(share * 220, abs=1)

    run = tmp_path / "run"
    result = train(recipe, run, data=prepared.folder, threads=1, monitor=Silent())
    assert result.finished
    card = json.loads((run / "card.json").read_text(encoding="utf-8"))
    assert [one["name"] for one in card["corpora"]] == ["train", "talks"]
    assert [one["pairs"] for one in card["corpora"]] == [200, 20]
    assert np.isclose(card["corpora"][1]["share"], share)

    other = mixed_recipe(tmp_path, 2.0, "training.epochs=2")
    with pytest.raises(ModelError) as error:
        train(other, run, data=prepared.folder, threads=1, monitor=Silent())
    told = "data.train[1].weight is 5.0 there and 2.0 here; give -o a new folder"
    assert told in str(error.value)
    fresh = train(other, tmp_path / "other", data=prepared.folder, threads=1, monitor=Silent())
    assert fresh.finished
