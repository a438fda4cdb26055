"""What a cell has besides learned weights goes through training, averages, files and graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.cells import ReservoirCell
from support.models import model_options
from support.published import weights_file
from support.tiny import write_recipe
from support.told import Told
from torch import Tensor

import seq2seq
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.inference import export
from seq2seq.inference.engines.torch import load_model
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.models.translation import TranslationModel
from seq2seq.models.weights import load_tensors, tensors_of
from seq2seq.recipe.files import load_recipe
from seq2seq.recipe.registry import CELLS
from seq2seq.tasks import translation
from seq2seq.training.session import train
from seq2seq.training.updater import MovingAverage

KEPT = ("reservoir", "order", "scale")
SETTINGS = [
    'model.encoder.cell="reservoir"',
    "training.updates=12",
    'training.schedule={kind="constant",warmup=0}',
    "training.validation.every=4",
    "training.validation.bleu=false",
    'training.early_stopping={metric="loss"}',
]


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CELLS.own, "reservoir", ReservoirCell)
    # Tracing takes seconds; tests/inference/engines/test_traced.py holds the graphs.
    monkeypatch.setattr(translation, "published_graphs", lambda options, weights: {})


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("buffers")
    recipe = write_recipe(folder)
    return recipe, prepare(load_recipe(str(recipe)), folder / "data", processes=1)


def run(corpus: tuple[Path, PreparedData], path: Path, *assignments: str) -> Path:
    recipe = load_recipe(str(corpus[0]), [*SETTINGS, *assignments])
    train(recipe, path, data=corpus[1].folder, threads=1, monitor=Told())
    return path


def kept(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    found = {name: one for name, one in weights.items() if name.rpartition(".")[2] in KEPT}
    assert found
    return found


@pytest.mark.parametrize("average", ['"none"', '{kind="ema",decay=0.9}', '{kind="last",count=3}'])
def test_what_is_not_learned_stays_as_it_was_drawn(
    corpus: tuple[Path, PreparedData], tmp_path: Path, average: str
) -> None:
    """In checkpoints and published weights, in its type, whatever is averaged; also resumed."""
    setting = f"training.average={average}"
    whole = run(corpus, tmp_path / "whole", setting, "training.keep_checkpoints=9")
    first = kept(load_file(whole / "checkpoints/update-00000004/model.safetensors"))
    assert {one.dtype for one in first.values()} == {torch.float32, torch.int64}
    published = load_file(weights_file(whole))
    for weights in (published, load_file(whole / "last/model.safetensors")):
        for name, one in kept(weights).items():
            assert one.dtype == first[name].dtype
            assert torch.equal(one, first[name])
    learned = "encoder.stack.layers.0.0.weight_ih"
    assert not torch.equal(
        published[learned],
        load_file(whole / "checkpoints/update-00000004/model.safetensors")[learned],
    )
    model = load_model(ModelFolder.open(whole))
    assert all(torch.equal(one, published[name]) for name, one in tensors_of(model).items())

    half = run(
        corpus, tmp_path / "half", setting, "training.updates=8", "training.keep_checkpoints=9"
    )
    run(corpus, half, setting, "training.keep_checkpoints=9")
    assert weights_file(half).read_bytes() == weights_file(whole).read_bytes()


def test_a_fine_tuned_model_takes_them_along(
    corpus: tuple[Path, PreparedData], tmp_path: Path
) -> None:
    general = run(corpus, tmp_path / "general")
    recipe = load_recipe(str(corpus[0]), [*SETTINGS, "seed=7"])
    tuned = tmp_path / "tuned"
    seq2seq.train(recipe, tuned, data=corpus[1].folder, init_from=general, monitor=Told())
    ours, theirs = (kept(load_file(weights_file(x))) for x in (tuned, general))
    assert all(torch.equal(ours[name], one) for name, one in theirs.items())


def test_a_moving_average_copies_what_has_no_fractions() -> None:
    options = model_options({"cell": "reservoir"}, {})
    model, copy = (TranslationModel(options, 9, 9) for _ in range(2))
    tensors_of(model)["encoder.stack.layers.0.0.order"].copy_(torch.tensor([1, 0]))
    MovingAverage(model, copy, 0.9).update(5)
    assert tensors_of(copy)["encoder.stack.layers.0.0.order"].tolist() == [1, 0]


def test_graphs_get_them_in_their_own_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    found: dict[str, Any] = {}
    monkeypatch.setattr(export, "build_graphs", lambda options, weights: found.update(weights))
    weights = {"order": torch.arange(3), "half": torch.ones(2, dtype=torch.bfloat16)}
    export.published_graphs(model_options({}, {}), weights)
    assert {name: one.dtype for name, one in found.items()} == {
        "order": np.int64,
        "half": np.float32,
    }


def test_tensors_come_back_in_place_and_in_their_type(tmp_path: Path) -> None:
    ours, theirs = (ReservoirCell(3, 4) for _ in range(2))
    with torch.no_grad():
        theirs.reset_parameters("orthogonal")
    load_tensors(ours, tensors_of(theirs), tmp_path)
    assert all(torch.equal(one, tensors_of(theirs)[name]) for name, one in tensors_of(ours).items())
    assert ours.order.dtype == torch.int64
