"""Update rules that evaluate the batch several times: they train, are skipped and resume."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.tiny import tiny_recipe
from support.told import Told
from torch import Tensor, nn

from seq2seq.data.collate import collate
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.models.weights import tensors_of
from seq2seq.recipe.files import load_recipe
from seq2seq.training.optim import RULES, Objective
from seq2seq.training.session import train
from seq2seq.training.state import TrainingResult
from seq2seq.training.updater import Updater


class Sharpness:
    """Sharpness-aware minimization (Foret et al. 2021), with momentum, and a backtracking search.

    The gradient is taken where the loss is near its worst around the weights; the step is halved
    until the loss falls.
    """

    radius, momentum = 0.05, 0.5

    def __init__(self, model: nn.Module, options: object) -> None:
        del options
        self.names = [name for name, _ in model.named_parameters()]
        self.weights = list(model.parameters())
        self.velocity = [torch.zeros_like(weight) for weight in self.weights]
        self.scale = 0.0
        self.losses: list[float] = []

    pending_copies = 0

    def evaluate(self, objective: Objective, rate: float) -> None:
        first = objective.gradient()
        ascent = [_gradient_of(weight).clone() for weight in objective.parameters]
        with objective.trial(), torch.no_grad():
            for weight, uphill in zip(objective.parameters, ascent, strict=True):
                weight.add_(uphill, alpha=self.radius / (first.norm + 1e-12))
            with torch.enable_grad():
                objective.gradient()
        self.found = [
            self.momentum * old + _gradient_of(weight)
            for old, weight in zip(self.velocity, objective.parameters, strict=True)
        ]
        self.scale = 1.0
        for _ in range(4):
            with objective.trial():
                self._move(rate * self.scale)
                after = objective.loss()
            if after <= first.loss:
                break
            self.scale /= 2
        self.losses.append(first.loss)

    def apply(self, rate: float) -> None:
        self.velocity = self.found
        self._move(rate * self.scale)

    @torch.no_grad()
    def _move(self, distance: float) -> None:
        torch._foreach_sub_(self.weights, [distance * one for one in self.found])

    def state(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.velocity, strict=True))

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        self.velocity = [tensors[name].clone() for name in self.names]


def _gradient_of(weight: nn.Parameter) -> Tensor:
    return torch.zeros_like(weight) if weight.grad is None else weight.grad


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("updater")
    prepared = prepare(tiny_recipe(folder), folder / "prepared", processes=1)
    return folder / "tiny.toml", prepared


@pytest.fixture
def rules(monkeypatch: pytest.MonkeyPatch) -> list[Sharpness]:
    """Every rule that is made."""
    made: list[Sharpness] = []

    def build(model: nn.Module, options: object) -> Sharpness:
        made.append(Sharpness(model, options))
        return made[-1]

    monkeypatch.setitem(RULES, "adam", build)
    return made


def run(
    corpus: tuple[Path, PreparedData], path: Path, *assignments: str
) -> tuple[TrainingResult, Told]:
    settings = [
        "training.learning_rate=0.5",
        'training.schedule={kind="constant",warmup=0}',
        "training.validation.bleu=false",
        'training.early_stopping={metric="loss"}',
    ]
    recipe = load_recipe(str(corpus[0]), [*settings, *assignments])
    told = Told()
    return train(recipe, path, data=corpus[1].folder, threads=1, monitor=told), told


def test_a_rule_of_several_evaluations_learns_and_resumes_bit_for_bit(
    corpus: tuple[Path, PreparedData], tmp_path: Path, rules: list[Sharpness]
) -> None:
    whole, _ = run(corpus, tmp_path / "whole", "training.updates=12")
    losses = rules[0].losses
    assert len(losses) == whole.updates == 12
    assert np.mean(losses[-3:]) < np.mean(losses[:3])
    run(corpus, tmp_path / "parts", "training.updates=5")
    _, told = run(corpus, tmp_path / "parts", "training.updates=12")
    assert told.about("resuming from update 5")
    for name in ("model", "optimizer"):
        one, other = (
            load_file(tmp_path / which / f"last/{name}.safetensors") for which in ("whole", "parts")
        )
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert any(
        value.any() for value in load_file(tmp_path / "whole/last/optimizer.safetensors").values()
    )


@pytest.mark.parametrize("evaluation", [1, 2])
def test_numbers_that_are_not_finite_skip_the_update(
    corpus: tuple[Path, PreparedData],
    rules: list[Sharpness],
    monkeypatch: pytest.MonkeyPatch,
    evaluation: int,
) -> None:
    """Also where they come up in the midst of a trial: weights and state are what they were."""
    prepared = corpus[1]
    updater = Updater(load_recipe(str(corpus[0])), prepared.tokenizers)
    pairs = [collate(*prepared.train.ids(np.arange(8)))]
    updater.update(pairs, 1, 0.1)
    before = {name: one.clone() for name, one in tensors_of(updater.model).items()}
    velocity = {name: one.clone() for name, one in updater.rule.state().items()}
    calls, clip = [0], torch.nn.utils.clip_grad_norm_

    def broken(parameters: list[nn.Parameter], limit: float) -> Tensor:
        calls[0] += 1
        norm = clip(parameters, limit)
        return norm * (math.nan if calls[0] == evaluation else 1.0)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", broken)
    update = updater.update(pairs, 2, 0.1, measured=True)
    assert not update.found.finite
    assert update.movement == {}
    assert calls == [evaluation]
    for now, then in ((tensors_of(updater.model), before), (updater.rule.state(), velocity)):
        assert all(torch.equal(now[name], then[name]) for name in then)
    assert updater.update(pairs, 2, 0.1, measured=True).movement["all"] > 0


def test_every_evaluation_has_the_same_dropout(corpus: tuple[Path, PreparedData]) -> None:
    prepared = corpus[1]
    recipe = load_recipe(
        str(corpus[0]), ["training.precision=float32", "model.encoder.dropout=0.4"]
    )
    updater = Updater(recipe, prepared.tokenizers)
    pairs = [collate(*prepared.train.ids(part)) for part in (np.arange(9), np.arange(9, 30))]
    objective = updater.objective(pairs, 7)
    first = objective.gradient()
    gradients = [weight.grad.clone() for weight in objective.parameters if weight.grad is not None]
    assert objective.loss() == pytest.approx(first.loss, rel=1e-6)
    assert objective.gradient().loss == first.loss
    again = [weight.grad for weight in objective.parameters if weight.grad is not None]
    assert all(torch.equal(one, other) for one, other in zip(gradients, again, strict=True))
    assert updater.objective(pairs, 8).gradient().loss != first.loss


def test_the_slope_of_the_loss_is_the_gradient(corpus: tuple[Path, PreparedData]) -> None:
    """Along the gradient itself, before clipping: its norm, by central differences."""
    prepared = corpus[1]
    updater = Updater(load_recipe(str(corpus[0]), ["training.clip_norm=none"]), prepared.tokenizers)
    updater.precision = torch.float32
    objective = updater.objective([collate(*prepared.train.ids(np.arange(20)))], 3)
    found = objective.gradient()
    direction = [_gradient_of(weight) / found.norm for weight in objective.parameters]
    losses = []
    for distance in (0.01, -0.01):
        with objective.trial(), torch.no_grad():
            torch._foreach_add_(objective.parameters, [distance * one for one in direction])
            losses.append(objective.loss())
    assert (losses[0] - losses[1]) / 0.02 == pytest.approx(found.norm, rel=2e-3)
