from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from support.models import random_tensor, randomize
from support.tiny import tiny_recipe
from support.toys import Series, SquaredLoss, Toy

import seq2seq
from seq2seq.report.charts import charts
from seq2seq.report.record import RunRecord
from seq2seq.training.monitoring import Silent
from seq2seq.training.monitoring.gradients import ROWS, GradientSamples


def series(rows: int) -> Series:
    x_BTE = random_tensor(rows, 6, 2, dtype=torch.float32)
    return Series(x_BTE, torch.full((rows,), 6), x_BTE[:, 0, :1])


def test_a_sample_is_of_a_few_rows_and_changes_nothing() -> None:
    toy = Toy({"kind": "gru"}, dropout=0.5)
    randomize(toy)
    toy.train()
    told: list[str] = []
    samples = GradientSamples(20, told.append)
    read: list[int] = []

    class Counting(SquaredLoss):
        def forward(self, batch: Series) -> Any:
            read.append(len(batch))
            return super().forward(batch)

    random = torch.random.get_rng_state()
    found = samples.sample(Counting(toy), toy, series(50))  # type: ignore[arg-type]
    assert read == [50 // 2 // 2 // 2 // 2] == [3]
    assert read[0] <= ROWS
    assert found["steps"] == {"stack h": 6}
    assert found["factor"].keys() == found["first"].keys() == found["last"].keys() == {"stack h"}
    assert found["first"]["stack h"] > 0
    assert torch.equal(torch.random.get_rng_state(), random)
    assert toy.training
    assert all(one.grad is None for one in toy.parameters())
    assert told == []


def test_it_takes_a_hundredth_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    toy = Toy({"kind": "rnn"})

    class Slow(SquaredLoss):
        def forward(self, batch: Series) -> Any:
            now[0] += 2.0
            return super().forward(batch)

    samples = GradientSamples(20, print)
    assert not samples.due(19)
    assert samples.due(20)
    assert samples.sample(Slow(toy), toy, series(2))["seconds"] == 2.0  # type: ignore[arg-type]
    now[0] = 201.0
    assert not samples.due(40)
    now[0] = 202.0
    assert samples.due(60)
    assert not samples.due(61)
    assert not GradientSamples(None, print).due(20)


def test_what_goes_wrong_is_told_once_and_ends_no_training() -> None:
    class Failing(SquaredLoss):
        def forward(self, batch: Series) -> Any:
            raise RuntimeError("no\nsuch luck")

    toy, told = Toy({"kind": "rnn"}), []
    samples = GradientSamples(20, told.append)
    assert samples.sample(Failing(toy), toy, series(2)) == {}  # type: ignore[arg-type]
    assert told == [
        "warning: gradients through time cannot be looked at (training.gradients_every): "
        "RuntimeError: no such luck"
    ]
    assert not samples.due(40)


def test_a_model_without_stacks_has_nothing_to_see() -> None:
    model = torch.nn.Linear(2, 1)
    samples = GradientSamples(20, print)

    class Linear(SquaredLoss):
        def forward(self, batch: Series) -> Any:
            total = self.model(batch.x_BTE[:, 0]).square().sum()
            return total, total.detach()

    assert samples.sample(Linear(model), model, series(2)) == {}  # type: ignore[arg-type]


def test_a_run_has_samples_and_the_same_weights(tmp_path: Path) -> None:
    settings = ["training.updates=40", "training.validation.bleu=false",
                "training.early_stopping.metric=loss"]  # fmt: skip
    recipe = tiny_recipe(tmp_path, settings)
    seq2seq.prepare(recipe, tmp_path / "data", processes=1)
    for name, every in (("with", "20"), ("without", '"none"')):
        of = tiny_recipe(tmp_path, [*settings, f"training.gradients_every={every}"])
        run = tmp_path / name
        seq2seq.train(of, run, data=tmp_path / "data", threads=1, monitor=Silent())
    for file in ("model.safetensors", "optimizer.safetensors"):
        ours, theirs = (load_file(tmp_path / name / "last" / file) for name in ("with", "without"))
        assert all(torch.equal(one, theirs[key]) for key, one in ours.items())
    records = {
        name: [
            one
            for line in (tmp_path / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
            if (one := json.loads(line))["kind"] == "gradients"
        ]
        for name in ("with", "without")
    }
    assert not records["without"]
    found = records["with"]
    assert found[0]["update"] == 20
    labels = [f"encoder {way} {part}" for way in ("forward", "backward") for part in "hc"]
    assert list(found[0]["factor"]) == [*labels, "decoder h", "decoder c"]
    drawn = {chart.title: chart.svg for chart in charts(RunRecord.read(tmp_path / "with"), ())}
    for title in (
        "Gradient by the states: factor a step back",
        "Gradient by the state at a line's first step",
        "Gradient by the state at a line's last step",
    ):
        assert "encoder backward c" in drawn[title]
        assert "stroke-dasharray" in drawn[title]
    page = (tmp_path / "with" / "report.html").read_text(encoding="utf-8")
    assert "factor a step back" in page
    assert "factor a step back" not in (tmp_path / "without/report.html").read_text(
        encoding="utf-8"
    )
