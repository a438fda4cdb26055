"""The benchmark of cells: its rows, one turn of it, and its tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from benchmarks import cells
from benchmarks.__main__ import CELLS, MODELS, main
from benchmarks.bleu import Reached
from benchmarks.cells import Figures, Plan, Row, rows
from benchmarks.cells_report import as_json, report
from benchmarks.figures import write_json
from benchmarks.model import RECIPE
from benchmarks.text import Side, Text
from support.tiny import tiny_recipe

from seq2seq.data.preparing.prepare import prepare
from seq2seq.recipe.files import load_recipe
from seq2seq.recipe.registry import CELLS as REGISTERED

SMALL = (
    *(
        f"model.{side}.{name}={size}"
        for side in ("encoder", "decoder")
        for name, size in (("embedding", 6), ("hidden", 8))
    ),
    "training.batch_tokens=99",
)


def test_every_cell_of_the_package_has_rows_with_and_without_attention() -> None:
    found = rows(CELLS.split(","), MODELS.split(","))
    assert len({(row.cell, row.model) for row in found}) == len(found) == 2 * len(cells.TABLES)
    kinds = set()
    for row in found:
        model = load_recipe(str(RECIPE), row.settings).model
        assert model.encoder.cell == model.decoder.cell
        assert (model.decoder.attention == "none") == (row.model == "bare")
        assert (model.recurrent_init == "identity") == (row.cell == "irnn")
        kinds.add(model.encoder.cell.kind)
    assert kinds == {*REGISTERED.own}


def test_speeds_are_measured_turn_by_turn(tmp_path: Path) -> None:
    data = tmp_path / "data"
    prepare(tiny_recipe(tmp_path, count=100), data, processes=1)
    side = Side(tmp_path / "train.en", tmp_path / "train.de")
    val = Side(tmp_path / "val.en", tmp_path / "val.de")
    plan = Plan(Text("tiny", side, val, val), data, tmp_path / "work", 1, 2, 1, SMALL)
    figures = Figures(rows(["gru", "lstm"], ["attention", "bare"]), 2, 1)
    cells.measure(plan, figures)
    assert not figures.problems
    for row in figures.rows:
        assert len(row.training) == len(row.decoding) == 2
        assert min(row.training + row.decoding) > 0
    gru, lstm, bare_gru, _ = figures.rows
    assert bare_gru.parameters < gru.parameters < lstm.parameters


@pytest.mark.slow
def test_a_time_is_turned_into_updates_by_the_speed_that_was_measured(tmp_path: Path) -> None:
    recipe = tiny_recipe(tmp_path, count=100)
    data = tmp_path / "data"
    prepare(recipe, data, processes=1)
    train, val = (
        Side(tmp_path / f"{split}.en", tmp_path / f"{split}.de") for split in ("train", "val")
    )
    text = Text("tiny", train, val, val)
    given = [*SMALL, "tokenizer.vocab_size=150", "training.validation.bleu=false"]
    plan = Plan(
        text,
        data,
        tmp_path / "work",
        1,
        1,
        1,
        (*given, "training.early_stopping.metric=loss"),
        6.0,
        1,
        1,
    )
    row = Row("gru", "bare", update=[1.5, 2.0, 9.0])
    figures = Figures([row], 3, 1)
    plan.work.mkdir()
    cells._reached(plan, row, figures)
    assert [one.updates for one in row.timed] == [3]
    assert [one.epochs for one in row.passed] == [1.0]
    assert [len(one) for one in row.by_length] == [3]
    assert len(figures.lengths) == 2


def test_the_tables_say_what_was_measured(tmp_path: Path) -> None:
    turns = {"training": [90.0, 110.0, 100.0], "decoding": [7.0, 7.0, 7.0]}
    done = Row("lstm", "bare", 1234567, **turns)
    done.timed = [Reached("lstm-bare", bleu, 1.5, 40, 2.75) for bleu in (31.415, 32.0, 30.0)]
    done.by_length = [[40.0, 30.0, 20.5], [41.0, 30.0, 21.0], [39.0, 30.0, 20.0]]
    other = Row("gru", "bare", 9, training=[1.0], decoding=[2.0])
    figures = Figures([done, other], 3, 10, [9, 13], ["gru: it fell"])
    found = report(figures, {"cores": "2"})
    lines = [" ".join(line.split()) for line in found.split("\n")]
    assert "| lstm, bare | 1,234,567 | 100 (90–110) | 7 | 31.41 (30.00–32.00) | 2.8 |" in lines
    assert "| gru, bare | 9 | 1 | 2 | – | – |" in lines
    assert "| cell, model | up to 9 | up to 13 | more |" in lines
    assert "| lstm, bare | 40.00 (39.00–41.00) | 30.00 | 20.50 (20.00–21.00) |" in lines
    assert "BLEU after the epochs" not in found
    assert found.endswith("Not measured: gru: it fell\n")
    write_json(tmp_path / "cells.json", as_json(figures, {}))
    assert json.loads((tmp_path / "cells.json").read_text())["rows"][0]["timed"][0]["updates"] == 40


def test_only_cells_that_there_are_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cells", "--cells", "lstm,gruu"]) == 2
    allowed = ", ".join(CELLS.split(","))
    assert capsys.readouterr().err == (f"bench: --cells: there is no 'gruu'; allowed: {allowed}\n")
