"""The table of problems: what is trained, what a stopped call leaves, what is shown."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from benchmarks import problems
from benchmarks.problems import ROWS, Plan, Training, measure, report

SMALL = """
name = "small"
[data]
kind = "problem"
problem = "adding"
length = 50
val_size = 20
[model.encoder]
cell = "rnn"
directions = "forward"
hidden = 4
[training]
updates = 2
batch_pairs = 4
"""


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    recipe = tmp_path / "small.toml"
    recipe.write_text(SMALL, encoding="utf-8")
    ways = (
        ("gru", "model.encoder.cell=gru"),
        ("old", "model.encoder.cell={kind='lstm',forget_bias={T}.0}"),
    )
    return Plan((str(recipe),), ways, (10, 20), 1, ("training.learning_rate=1e-2",), tmp_path, 1)


def test_every_way_trains_at_every_length_from_every_seed(plan: Plan) -> None:
    trainings = list(plan.trainings())
    found = [(one.length, one.way, one.seed) for one in trainings]
    assert found == [(10, "gru", 1), (10, "old", 1), (20, "gru", 1), (20, "old", 1)]
    assert len(list(replace(plan, seeds=3).trainings())) == 12
    recipe = trainings[-1].recipe()
    assert (recipe.data.length, recipe.seed) == (20, 1)
    assert recipe.model.encoder.cell.options().forget_bias == 20.0  # type: ignore[attr-defined]
    assert recipe.training.learning_rate == 1e-2


def test_a_stopped_table_goes_on(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    honest, trained = problems._trained, []

    def stopping(one: problems.Training, plan: Plan) -> dict[str, object]:
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(one)
        return honest(one, plan)

    monkeypatch.setattr(problems, "_trained", stopping)
    with pytest.raises(KeyboardInterrupt):
        measure(plan)
    path = plan.work / ROWS
    assert len(path.read_text(encoding="utf-8").splitlines()) == 2
    with path.open("a", encoding="utf-8") as file:
        file.write('{"problem": "half a row')
    monkeypatch.setattr(problems, "_trained", honest)
    rows = measure(plan)
    assert len(rows) == 4
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert {row["updates"] for row in rows} == {2}
    assert all(row["solved"] is False and row["best"]["wrong"] > 1 for row in rows)
    assert not [one for one in plan.work.iterdir() if one.is_dir()], "runs are not kept"
    assert measure(plan) == rows


def test_lengths_beyond_one_that_no_seed_solves_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trained(one: Training, _: Plan) -> dict[str, Any]:
        solved = one.way == "good" or (one.length, one.seed) == (10, 2)
        about = {**asdict(one), "settings": list(one.settings), "seconds": 1.0, "updates": 1}
        return {**about, "solved": solved, "best": {"update": 1, "loss": 0.5, "wrong": 9.0}}

    monkeypatch.setattr(problems, "_trained", trained)
    ways = ("good", "training.updates=1"), ("fair", "training.updates=1")
    plan = Plan(["adding"], ways, [30, 10, 20, 40], 2, [], tmp_path, 1, give_up=True)
    rows = measure(plan)
    tried = {(row["way"], row["length"]) for row in rows}
    assert tried == {*(("good", length) for length in plan.lengths), ("fair", 10), ("fair", 20)}
    last = [line for line in report(rows, {}).splitlines() if line.startswith("| fair")]
    assert last[0].count("–") == 2


def test_the_table_counts_the_seeds_that_solved_it() -> None:
    def row(way: str, seed: int, solved: bool, loss: float | None) -> dict[str, object]:
        best = {"update": 1, "loss": loss, "wrong": 0.5}
        about = {"problem": "adding", "length": 50, "way": way, "seed": seed}
        return {**about, "solved": solved, "best": best, "seconds": 10.0 * seed}

    rows = [row("rnn", 1, False, None), row("lstm", 1, True, 0.1), row("lstm", 2, False, 0.3)]
    lines = report(rows, {"cores": "2"}).splitlines()
    assert "cores 2." in lines
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    assert cells[0] == ["way", "T = 50"]
    assert cells[2:] == [
        ["rnn", "0 of 1; loss none; 10 s"],
        ["lstm", "1 of 2; loss 0.2000 (0.1000–0.3000); 15 (10–20) s"],
    ]
