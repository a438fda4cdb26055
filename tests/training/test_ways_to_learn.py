"""What recipes may add to teacher forcing: whole trainings by it, stopped and gone on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.models import make_batch
from support.tiny import tiny_recipe
from support.told import Told

from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.errors import RecipeError
from seq2seq.inference.engines.torch import load_model
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.inference.translator import Translator
from seq2seq.models.loss import Losses
from seq2seq.recipe.files import load_recipe, recipe_from_toml
from seq2seq.training.session import train

WAYS = {
    "rdrop": ["training.rdrop=5.0", "training.precision=bfloat16"],
    "minimum risk": [
        'training.method={kind="minimum_risk",samples=2}',
        "training.batch_pairs=5",
        "training.precision=bfloat16",
    ],
    "scheduled sampling": ["training.scheduled_sampling={probability=0.5,start=1,rise=2}"],
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("ways")
    prepared = prepare(tiny_recipe(folder), folder / "prepared", processes=1)
    return folder / "tiny.toml", prepared


def run(corpus: tuple[Path, PreparedData], path: Path, *assignments: str) -> Told:
    settings = [
        "training.validation.bleu=false",
        'training.early_stopping={metric="loss"}',
        "training.schedule={kind='constant',warmup=0}",
        "training.accumulate=2",
    ]
    recipe = load_recipe(str(corpus[0]), [*settings, *assignments])
    told = Told()
    train(recipe, path, data=corpus[1].folder, threads=1, monitor=told)
    return told


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "last/model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def plain(
    corpus: tuple[Path, PreparedData], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, torch.Tensor]:
    path = tmp_path_factory.mktemp("plain") / "run"
    run(corpus, path, "training.updates=6")
    return weights(path)


@pytest.mark.parametrize("way", WAYS)
def test_it_resumes_bit_for_bit(
    corpus: tuple[Path, PreparedData],
    tmp_path: Path,
    plain: dict[str, torch.Tensor],
    way: str,
) -> None:
    settings = WAYS[way]
    run(corpus, tmp_path / "whole", *settings, "training.updates=6")
    run(corpus, tmp_path / "parts", *settings, "training.updates=2")
    told = run(corpus, tmp_path / "parts", *settings, "training.updates=6")
    assert told.about("resuming from update 2")
    whole = weights(tmp_path / "whole")
    assert same(whole, weights(tmp_path / "parts"))
    assert not same(whole, plain)


def test_a_model_that_writes_backwards_is_validated_and_published_as_any_other(
    corpus: tuple[Path, PreparedData], tmp_path: Path
) -> None:
    """The loss is that of targets turned by hand, and the examples are what it translates."""
    settings = [
        "model.decoder.reverse=true",
        "model.decoder.attention=general",
        "training.updates=40",
        "training.validation.every=40",
        "training.validation.bleu=true",
        "training.precision=float32",
    ]
    run(corpus, tmp_path / "run", *settings)
    card = json.loads((tmp_path / "run/card.json").read_text(encoding="utf-8"))
    model = load_model(ModelFolder.open(tmp_path / "run"))
    losses, total, count = Losses(model, 0.0), 0.0, 0
    pairs = corpus[1].val
    for row in range(len(pairs)):
        source, target = (side[0].tolist() for side in pairs.ids(np.array([row])))
        batch = make_batch([(source, target[::-1])])
        total, count = total + float(losses(batch)[1]), count + batch.targets
    assert card["validation"]["loss"] == pytest.approx(total / count, rel=1e-4)
    examples = json.loads((tmp_path / "run/examples.json").read_text(encoding="utf-8"))
    best = examples["best"]
    translator = Translator.load(tmp_path / "run")
    found = translator.translate([one["source"] for one in best], beam=1)
    assert found == [one["hypothesis"] for one in best]
    assert any(found)


PROBLEM = "data = {kind = 'problem', problem = 'adding', length = 50}\n"
WRONG = {
    PROBLEM + "training.rdrop = 1.0": (
        "training.rdrop > 0 is for pairs of texts: it needs data.kind left out"
    ),
    "training = {optimizer = 'hessian_free', rdrop = 1.0}": (
        "training: rdrop > 0 is not convex in what the network puts out, which optimizer.kind = "
        "'hessian_free' relies on: set rdrop = 0.0, or another optimizer"
    ),
    PROBLEM + "training.scheduled_sampling.probability = 0.1": (
        "training.scheduled_sampling.probability > 0 is for pairs of texts: it needs data.kind "
        "left out"
    ),
    "training = {optimizer = 'hessian_free', scheduled_sampling = {probability = 0.1}}": (
        "training: scheduled_sampling.probability > 0 changes what is read with the weights, where "
        "optimizer.kind = 'hessian_free' compares losses: set 0.0, or another optimizer"
    ),
    "training.scheduled_sampling.probability = 1.5": (
        "training.scheduled_sampling.probability: must be at least 0 and at most 1, not 1.5"
    ),
    PROBLEM + "training.method = 'minimum_risk'": (
        "training.method = 'minimum_risk' is for pairs of texts: it needs data.kind left out"
    ),
    "training = {method = 'minimum_risk', rdrop = 1.0}": (
        "training: method.kind = 'minimum_risk' has its own loss: it needs rdrop = 0.0 and "
        "scheduled_sampling.probability = 0.0"
    ),
    "training = {method = 'minimum_risk', optimizer = 'hessian_free'}": (
        "training: method.kind = 'minimum_risk' has no curvature: it needs another optimizer.kind "
        "than 'hessian_free'"
    ),
    "training.method = {kind = 'minimum_risk', metric = 'ter'}": (
        "training.method.metric: unknown value 'ter'; allowed: bleu, chrf"
    ),
    "training.rdrop = -1.0": "training.rdrop: must be at least 0, not -1.0",
}


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_what_is_wrong_is_told_in_a_line(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe_from_toml(text, "r", stored=False)
    assert str(caught.value) == f"recipe r: {message}"
