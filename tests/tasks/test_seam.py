"""Another task than translation, defined here alone, goes through training, run folder and page.

It tells from the last state of a GRU whether a source has many pieces.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from safetensors.torch import load_file
from support.published import weights_file
from support.tiny import tiny_recipe
from support.told import Told
from torch import Tensor, nn
from torch.nn import functional

import seq2seq
from seq2seq.data.collate import pad
from seq2seq.data.dataset import PairDataset, PreparedData, Ragged
from seq2seq.data.preparing.prepare import prepare
from seq2seq.ids import EOS, PAD
from seq2seq.recipe import Recipe
from seq2seq.tasks import (
    Metric,
    Network,
    ReportSection,
    Task,
    TaskReport,
    Validation,
    Words,
    task_for,
)
from seq2seq.tasks import translation as first_task
from seq2seq.text.tokenizer import Tokenizers
from seq2seq.training.monitoring import Step

MANY = 9
SETTINGS = [
    "training.updates=60",
    "training.validation.every=20",
    "training.checkpoint_every=10",
    "training.validation.lines=none",
    "training.early_stopping={metric='loss'}",
]


@dataclass(frozen=True)
class Rows:
    """Sources, and whether each is long; rows from ``counted`` on have no target."""

    ids_BS: Tensor
    many_B: Tensor
    counted: int

    def __len__(self) -> int:
        return len(self.many_B)

    @property
    def targets(self) -> int:
        return self.counted

    @property
    def width(self) -> int:
        return self.ids_BS.shape[1]

    @property
    def tokens(self) -> int:
        return int((self.ids_BS != PAD).sum())

    @property
    def cells(self) -> int:
        return self.ids_BS.numel()

    def halves(self) -> tuple[Rows, Rows]:
        middle = len(self) // 2
        first, second = slice(None, middle), slice(middle, None)
        left = min(middle, self.counted)
        return (
            Rows(self.ids_BS[first], self.many_B[first], left),
            Rows(self.ids_BS[second], self.many_B[second], self.counted - left),
        )

    def without_targets(self) -> Rows:
        return Rows(self.ids_BS, self.many_B, 0)

    def to(self, device: torch.device) -> Rows:
        return Rows(self.ids_BS.to(device), self.many_B.to(device), self.counted)


class Classifier(nn.Module):
    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, 12, padding_idx=PAD)
        self.encoder = nn.GRU(12, 16, batch_first=True)
        self.classes = nn.Linear(16, 2)

    def forward(self, ids_BS: Tensor) -> Tensor:
        outputs_BSD, _ = self.encoder(self.embedding(ids_BS))
        last_B = (ids_BS != PAD).sum(1) - 1
        logits: Tensor = self.classes(outputs_BSD[torch.arange(len(ids_BS)), last_B])
        return logits


class Summed(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Rows) -> tuple[Tensor, Tensor]:
        logits = self.model(batch.ids_BS)[: batch.counted].float()
        total = functional.cross_entropy(logits, batch.many_B[: batch.counted], reduction="sum")
        return total, total.detach()


class Examples(BaseModel):
    """What the task's report relies on of its examples: nothing."""


class Classification:
    metrics: ClassVar[Sequence[Metric]] = (Metric("accuracy", "accuracy", "Right answers"),)
    words = Words(row="row")
    examples_shape: ClassVar[type[BaseModel]] = Examples
    predicts = True
    leaves_weights_unused = False

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def prepare(self, folder: Path, **more: Any) -> PreparedData:
        return prepare(self.recipe, folder, **more)

    def open(self, folder: Path) -> PreparedData:
        return PreparedData.open(folder)

    def collate(self, source: Ragged, target: Ragged) -> Rows:
        many_B = (np.diff(source.offsets) > MANY).astype(np.int64)
        ids_BS = torch.from_numpy(pad(source, after=EOS))
        return Rows(ids_BS, torch.from_numpy(many_B), len(many_B))

    def build_model(self, tokenizers: Tokenizers) -> Classifier:
        return Classifier(tokenizers.source.size)

    def loss(self, model: Classifier, *, twice_differentiable: bool = False) -> nn.Module:
        return Summed(model)

    @torch.no_grad()
    def predict(
        self, network: Network, dataset: PairDataset, rows: Any, batch_size: int
    ) -> list[int]:
        batch = self.collate(*dataset.ids(rows))
        answers: list[int] = network.model(batch.ids_BS).argmax(1).tolist()
        return answers

    def measure(self, predictions: Sequence[int], dataset: PairDataset) -> dict[str, float]:
        batch = self.collate(*dataset.ids(np.arange(len(predictions))))
        return {"accuracy": float((batch.many_B.numpy() == np.array(predictions)).mean())}

    def value(self, found: Validation) -> float:
        accuracy = found.metrics["accuracy"]
        assert accuracy is not None
        return accuracy

    def solved(self, found: Validation) -> bool | None:
        return None

    def remark(self, found: Validation) -> str:
        return ""

    def graphs(self, weights: Mapping[str, Tensor]) -> dict[str, bytes]:
        return {}

    def examples(
        self, network: Network, dataset: PairDataset, predictions: Sequence[int]
    ) -> dict[str, Any]:
        return {"said": [f"<{answer}>" for answer in predictions]}

    def card(self, record: dict[str, Any], examples: Any) -> dict[str, Any]:
        return {"validation": record, "many": MANY}

    def report(self, card: dict[str, Any], examples: dict[str, Any] | None) -> TaskReport:
        text = "<p>{% for one in said %}{{ one }} {% endfor %}</p>"
        section = ReportSection(
            "answers", "Answers", "What it answered", text, examples or {"said": []}
        )
        return TaskReport([("accuracy, validation", 0.5)], ["by hand"], [section])


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Recipe, Path]:
    monkeypatch.setattr(first_task, "TranslationTask", Classification)
    recipe = tiny_recipe(tmp_path, SETTINGS)
    task: Task = task_for(recipe)
    assert isinstance(task, Classification)
    return recipe, task.prepare(tmp_path / "data").folder


def journal(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [one for one in map(json.loads, lines) if one["kind"] == kind]


class Stopping(Told):
    def step(self, step: Step) -> None:
        if step.update == 35:
            raise KeyboardInterrupt


def test_another_task_is_trained_resumed_and_reported(
    corpus: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, data = corpus
    run, told = tmp_path / "run", Told()
    seq2seq.train(recipe, run, data=data, threads=1, monitor=told)
    steps, checks = journal(run, "train"), journal(run, "validation")
    assert steps[-1]["loss"] < 0.8 * steps[0]["loss"] < math.log(2)
    assert set(steps[0]["update_ratio"]) == {"all", "encoder", "embedding", "classes"}
    assert [one["update"] for one in checks] == [20, 40, 60]
    assert all(0 <= one["accuracy"] <= 1 and "bleu" not in one for one in checks)
    assert any(f"  accuracy {checks[0]['accuracy']:.2f}  " in line for line in told.lines)

    # the measure, and the best validation, by hand
    model = task_for(recipe).build_model(PreparedData.open(data).tokenizers)
    model.load_state_dict(load_file(weights_file(run)))
    val = PreparedData.open(data).val
    rows = Classification(recipe).collate(*val.ids(np.arange(len(val))))
    with torch.no_grad():
        right = (model(rows.ids_BS).argmax(1) == rows.many_B).numpy()
    card = json.loads((run / "card.json").read_text(encoding="utf-8"))
    assert card["validation"]["accuracy"] == max(one["accuracy"] for one in checks) == right.mean()
    assert card["many"] == MANY
    assert card["parameters_of"]["classes"] == 16 * 2 + 2

    page = (run / "report.html").read_text(encoding="utf-8")
    assert '<section id="answers"><h2>What it answered</h2>' in page
    assert "&lt;1&gt;" in page
    assert "<dt>accuracy, validation</dt><dd>0.50</dd>" in page
    assert "Right answers" in page
    assert "BLEU" not in page
    assert "Attention" not in page

    again = tmp_path / "again"
    with pytest.raises(KeyboardInterrupt):
        seq2seq.train(recipe, again, data=data, threads=1, monitor=Stopping())
    seq2seq.train(recipe, again, data=data, threads=1, monitor=told)
    assert "resuming from update 30" in told.lines
    for name in ("last/model.safetensors", "last/optimizer.safetensors"):
        ours, theirs = load_file(run / name), load_file(again / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    found = [(one["loss"], one["accuracy"]) for one in journal(again, "validation")]
    assert found == [(one["loss"], one["accuracy"]) for one in checks]


def test_another_task_is_fine_tuned_and_its_examples_made_again(
    corpus: tuple[Recipe, Path], tmp_path: Path
) -> None:
    recipe, data = corpus
    run, told = tmp_path / "run", Told()
    first = seq2seq.train(recipe, run, data=data, threads=1, monitor=told)
    assert first.labels == {"accuracy": "accuracy"}
    said = (run / "examples.json").read_bytes()
    (run / "examples.json").unlink()
    seq2seq.write_report(run, data=data)
    assert (run / "examples.json").read_bytes() == said

    tuned = seq2seq.train(
        recipe, tmp_path / "tuned", data=data, threads=1, monitor=told, init_from=run
    )
    assert first.best is not None
    assert tuned.start is not None
    assert tuned.start["loss"] == first.best["loss"]
    assert tuned.start["accuracy"] == first.best["accuracy"]
    assert any("7 of 7 tensors" in line for line in told.lines)


def test_batches_of_another_task_are_halved(
    corpus: tuple[Recipe, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory is short, its batches are cut, and the loss is what it was."""
    recipe, data = corpus
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    seq2seq.train(recipe, whole, data=data, threads=1, monitor=Told())
    real = Rows.to

    def to(batch: Rows, device: torch.device) -> Rows:
        if len(batch) > 12:
            raise MemoryError
        return real(batch, device)

    monkeypatch.setattr(Rows, "to", to)
    result = seq2seq.train(recipe, halved, data=data, threads=1, monitor=Told())
    assert result.halved > 0
    ours, theirs = journal(whole, "validation"), journal(halved, "validation")
    assert [one["loss"] for one in theirs] == pytest.approx([one["loss"] for one in ours], rel=1e-2)
