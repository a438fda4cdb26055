"""Hessian-free optimization: against dense algebra, on quadratics, on a network, in bad weather."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from support.models import random_tensor
from support.tiny import tiny_recipe
from support.told import Told
from torch import Tensor, nn

from seq2seq.data.collate import collate
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.models.weights import tensors_of
from seq2seq.recipe import Training
from seq2seq.recipe.files import load_recipe
from seq2seq.training.optim import LossAndGradient, NotFiniteError, build_rule
from seq2seq.training.optim.hessian_free import HessianFree
from seq2seq.training.session import train
from seq2seq.training.updater import BatchObjective, Updater

EXACT = {"kind": "hessian_free", "tolerance": 1e-14, "iterations": 500}


class Bowl:
    """The objective (w - c)' A (w - c) / 2 over the weights of a net, with things to go wrong.

    ``real`` is what the loss becomes, of what the quadratic says.
    """

    def __init__(self, net: nn.Module, real: Callable[[float], float] = float) -> None:
        self.parameters = list(net.parameters())
        size = sum(one.numel() for one in self.parameters)
        root = random_tensor(size, size, seed=3)
        self.a = root @ root.t() / size
        self.center = random_tensor(size, seed=4)
        self.real = real
        self.structural: list[float] = []
        self.asked: list[Tensor] = []
        self.curved = 1.0
        self.batches: int | None = None

    def flat(self) -> Tensor:
        return torch.cat([one.detach().flatten() for one in self.parameters])

    def loss(self) -> float:
        away = self.flat() - self.center
        return self.real(float(0.5 * away @ self.a @ away))

    def gradient(self, *, clipped: bool = True) -> LossAndGradient:
        assert not clipped
        gradient = self.a @ (self.flat() - self.center)
        pieces = gradient.split([one.numel() for one in self.parameters])
        for one, piece in zip(self.parameters, pieces, strict=True):
            one.grad = piece.view_as(one)
        return LossAndGradient(self.loss(), 0.0, 1, float(gradient.norm()))

    def gauss_newton(
        self, structural: float = 0.0, batches: int | None = None
    ) -> Callable[[Sequence[Tensor]], list[Tensor]]:
        self.structural.append(structural)
        self.batches = batches

        def product(direction: Sequence[Tensor]) -> list[Tensor]:
            flat = torch.cat([one.flatten() for one in direction])
            self.asked.append(flat)
            pieces = (self.a @ flat * self.curved).split([one.numel() for one in self.parameters])
            shaped = zip(pieces, self.parameters, strict=True)
            return [piece.view_as(one) for piece, one in shaped]

        return product

    @contextmanager
    def trial(self) -> Iterator[None]:
        before = [one.detach().clone() for one in self.parameters]
        yield
        with torch.no_grad():
            for one, value in zip(self.parameters, before, strict=True):
                one.copy_(value)


def made(real: Callable[[float], float] = float, **options: Any) -> tuple[HessianFree, Bowl]:
    torch.manual_seed(2)
    net = nn.Linear(3, 2).double()
    recipe = Training.model_validate({"optimizer": {**EXACT, **options}, "epochs": 1})
    rule = build_rule(recipe, net)
    assert isinstance(rule, HessianFree)
    return rule, Bowl(net, real)


def solution(bowl: Bowl, damping: float) -> Tensor:
    """Of (A + lambda I) d = -gradient, densely, at the present weights."""
    damped = bowl.a + damping * torch.eye(len(bowl.center), dtype=torch.float64)
    return torch.linalg.solve(damped, bowl.a @ (bowl.center - bowl.flat()))


def test_a_step_goes_to_the_minimum_of_the_damped_model() -> None:
    """And on, each from a part of the way before; a model that is exact is trusted ever more.

    The move itself may be an earlier iterate, where the loss is lower.
    """
    rule, bowl = made(damping=0.5, structural=0.25, warm_start=0.5, curvature_batches=3)
    damping, last = 0.5, torch.zeros_like(bowl.center)
    for update in range(4):
        before, step, loss = bowl.flat(), solution(bowl, damping), bowl.loss()
        bowl.asked.clear()
        rule.evaluate(bowl, 1e-9)
        assert torch.equal(bowl.flat(), before)
        assert rule.found is not None
        move = rule.found.move
        torch.testing.assert_close(rule.found.direction, step, rtol=1e-6, atol=1e-9)
        rule.apply(1e-9)
        assert torch.equal(bowl.flat(), before + move)
        away = before + step - bowl.center
        assert bowl.loss() <= float(0.5 * away @ bowl.a @ away) * (1 + 1e-9) < loss
        assert bowl.batches == 3
        assert bowl.structural[-2:] == [pytest.approx(0.25 * damping), 0.0]
        if update:
            assert torch.equal(bowl.asked[0], 0.5 * last)
        last = rule.direction
        damping /= 1.5
        assert rule.damping == pytest.approx(damping)


def test_a_model_that_promises_too_much_is_damped_more() -> None:
    rule, bowl = made(real=lambda loss: 0.1 * loss, damping=0.5)
    rule.evaluate(bowl, 1.0)
    rule.apply(1.0)
    assert rule.damping == 0.75


def test_a_ratio_in_between_leaves_lambda() -> None:
    rule, bowl = made(real=lambda loss: 0.5 * loss, damping=0.5)
    rule.evaluate(bowl, 1.0)
    rule.apply(1.0)
    assert rule.damping == 0.5


def test_the_line_search_shortens_a_step_that_goes_too_far() -> None:
    """The way is right, but beyond a quarter of it stands a wall."""
    rule, bowl = made(damping=1e-6)
    start = bowl.flat()
    whole = float((bowl.center - start).norm())

    def walled(loss: float) -> float:
        return loss if float((bowl.flat() - start).norm()) < 0.25 * whole else math.nan

    bowl.real = walled
    rule.evaluate(bowl, 1.0)
    rule.apply(1.0)
    assert 0.8 * 0.25 * whole * 0.8 < float((bowl.flat() - start).norm()) < 0.25 * whole
    assert bowl.loss() < walled(float("inf"))
    assert rule.damping == pytest.approx(1.5e-6)


def test_earlier_iterates_are_taken_where_the_loss_is_lower() -> None:
    rule, bowl = made(damping=1e-3, iterations=8)
    start, iterates = bowl.flat(), []
    for count in (1, 2, 3, 4, 6, 8):
        other, same = made(damping=1e-3, iterations=count)
        other.evaluate(same, 1.0)
        assert other.found is not None
        iterates.append(other.found.direction)
    wanted = iterates[2]
    bowl.real = lambda _: float((bowl.flat() - start - wanted).norm())
    rule.evaluate(bowl, 1.0)
    assert rule.found is not None
    torch.testing.assert_close(rule.found.move, wanted, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(rule.found.direction, iterates[-1], rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("real", [lambda _: math.nan, lambda _: math.inf, lambda loss: -loss])
def test_where_nothing_helps_no_weight_moves(real: Callable[[float], float]) -> None:
    rule, bowl = made(damping=0.5)
    before = bowl.flat()
    first = bowl.gradient(clipped=False)
    bowl.gradient = lambda *, clipped=True: first  # type: ignore[method-assign]
    bowl.real = lambda loss: real(loss) if not torch.equal(bowl.flat(), before) else loss
    if real(1.0) == -1.0:
        bowl.real = lambda loss: 2 * first.loss - loss
    rule.evaluate(bowl, 1.0)
    rule.apply(1.0)
    assert torch.equal(bowl.flat(), before)
    assert rule.damping == 0.75
    assert rule.direction is not None
    assert not rule.direction.any()
    bowl.real = float  # and the next one goes on
    rule.evaluate(bowl, 1.0)
    rule.apply(1.0)
    assert bowl.loss() < first.loss


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_a_curvature_that_is_not_finite_ends_the_update(wrong: float) -> None:
    rule, bowl = made()
    rule.evaluate(bowl, 1.0)
    rule.apply(1.0)
    state, before = rule.state(), bowl.flat()
    bowl.curved = wrong
    with pytest.raises(NotFiniteError) as caught:
        rule.evaluate(bowl, 1.0)
    found = caught.value.evaluation
    assert (math.isfinite(found.loss), math.isfinite(found.norm)) == (True, True)
    assert not found.finite
    assert found.curvature is not None
    assert not math.isfinite(found.curvature)
    assert torch.equal(bowl.flat(), before)
    after = rule.state()
    assert all(torch.equal(after[name], state[name]) for name in state)


def test_at_the_minimum_nothing_happens() -> None:
    rule, bowl = made()
    with torch.no_grad():
        pieces = bowl.center.split([one.numel() for one in bowl.parameters])
        for one, piece in zip(bowl.parameters, pieces, strict=True):
            one.copy_(piece.view_as(one))
    for _ in range(3):
        rule.evaluate(bowl, 1.0)
        rule.apply(1.0)
    assert torch.equal(bowl.flat(), bowl.center)


def test_state_goes_there_and_back() -> None:
    rule, bowl = made()
    assert list(rule.state()) == ["damping"]
    rule.evaluate(bowl, 1.0)
    rule.apply(1.0)
    state = rule.state()
    assert sorted(state) == ["bias/direction", "damping", "weight/direction"]
    other, same = made()
    other.load_state({"damping": torch.tensor(0.25, dtype=torch.float64)})
    assert other.direction is None
    assert other.damping == 0.25
    other.load_state(state)
    with torch.no_grad():
        for one, value in zip(same.parameters, bowl.parameters, strict=True):
            one.copy_(value)
    for each, over in ((rule, bowl), (other, same)):
        each.evaluate(over, 1.0)
        each.apply(1.0)
    assert torch.equal(bowl.flat(), same.flat())
    with pytest.raises(KeyError):
        other.load_state({"damping": state["damping"], "weight/direction": torch.zeros(2, 3)})
    with pytest.raises(KeyError):
        other.load_state({})
    with pytest.raises(ValueError, match="its weight"):
        other.load_state({**state, "weight/direction": torch.zeros(3, 2)})


def test_frozen_weights_stay() -> None:
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2)).double()
    net[0].requires_grad_(False)
    rule = build_rule(Training.model_validate({"optimizer": EXACT, "epochs": 1}), net)
    kept = net[0].weight.clone()
    bowl = Bowl(net[1])
    rule.evaluate(bowl, 1.0)
    rule.apply(1.0)
    assert torch.equal(net[0].weight, kept)
    assert "0.weight/direction" not in rule.state()


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ({"damping": 0.0}, "damping"),
        ({"structural": -0.1}, "structural"),
        ({"iterations": 0}, "iterations"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": 1.0}, "tolerance"),
        ({"warm_start": 1.0}, "warm_start"),
        ({"momentum": 0.9}, "momentum"),
    ],
)
def test_keys_out_of_bounds(table: dict[str, Any], key: str) -> None:
    with pytest.raises(ValidationError, match=key):
        Training.model_validate({"optimizer": {"kind": "hessian_free", **table}, "epochs": 1})


def test_losses_that_differ_little_need_float32() -> None:
    table = {"optimizer": {"kind": "hessian_free"}, "epochs": 1, "precision": "bfloat16"}
    with pytest.raises(ValidationError) as caught:
        Training.model_validate(table)
    assert (
        "optimizer.kind = 'hessian_free' needs precision = 'float32' or 'auto', which is float32 "
        "then: it compares losses that differ little"
    ) in str(caught.value)


# -- on a network ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PreparedData]:
    folder = tmp_path_factory.mktemp("hessian-free")
    prepared = prepare(tiny_recipe(folder), folder / "prepared", processes=1)
    return folder / "tiny.toml", prepared


SETTINGS = [
    'training.optimizer={kind="hessian_free", iterations=8}',
    "model.encoder.cell=rnn",
    "model.decoder.cell=rnn",
    "model.encoder.directions=forward",
    "training.validation.bleu=false",
    'training.early_stopping={metric="loss"}',
    "training.batch_tokens=200",
]


def updater_of(corpus: tuple[Path, PreparedData], *settings: str) -> Updater:
    return Updater(load_recipe(str(corpus[0]), [*SETTINGS, *settings]), corpus[1].tokenizers)


def losses(updater: Updater, prepared: PreparedData, rate: float) -> list[float]:
    pairs = [collate(*prepared.train.ids(np.arange(k, 60, 2))) for k in (0, 1)]
    return [updater.update(pairs, number, rate).found.loss for number in range(1, 7)]


def test_the_loss_falls_faster_an_update_than_with_sgd(corpus: tuple[Path, PreparedData]) -> None:
    """At the best of SGD's rates, in five updates with dropout; too few for lambda to fall far."""
    bold = 'training.optimizer={kind="hessian_free", iterations=8, damping=0.1}'
    ours = losses(updater_of(corpus, bold), corpus[1], 1.0)
    assert ours[-1] < ours[0] - 0.5
    sgd = 'training.optimizer={kind="sgd", momentum=0.9, nesterov=true}'
    theirs = [
        losses(updater_of(corpus, sgd, "training.clip_norm=none"), corpus[1], rate)
        for rate in (0.01, 0.03, 0.1, 0.3, 1.0)
    ]
    assert ours[-1] < min(one[-1] for one in theirs)


def test_neither_the_rate_nor_clipping_nor_precision_has_a_part(
    corpus: tuple[Path, PreparedData],
) -> None:
    pairs = [collate(*corpus[1].train.ids(np.arange(20)))]
    found = []
    for rate, settings in (
        (1.0, ["training.clip_norm=none"]),
        (1e-9, ["training.clip_norm=1e-3"]),
        (1.0, ["training.precision=float32"]),
    ):
        updater = updater_of(corpus, *settings)
        assert updater.precision == torch.float32
        assert updater.update(pairs, 1, rate).found.finite
        found.append({name: one.clone() for name, one in tensors_of(updater.model).items()})
    for other in found[1:]:
        assert all(torch.equal(found[0][name], other[name]) for name in other)


def test_a_killed_run_goes_on_bit_for_bit(
    corpus: tuple[Path, PreparedData], tmp_path: Path
) -> None:
    """After three updates, by lambda and the last direction, which the next search begins near."""
    for name, lengths in (("whole", [5]), ("parts", [3, 5])):
        for length in lengths:
            settings = [*SETTINGS, f"training.updates={length}", "training.epochs=none"]
            recipe = load_recipe(str(corpus[0]), settings)
            told = Told()
            train(recipe, tmp_path / name, data=corpus[1].folder, threads=1, monitor=told)
    assert told.about("resuming from update 3")
    for name in ("model", "optimizer"):
        one, other = (
            load_file(tmp_path / which / f"last/{name}.safetensors") for which in ("whole", "parts")
        )
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert one["damping"].item() != 1.0
    assert one["output.bias/direction"].any()


def test_a_training_says_that_the_curvature_was_not_finite(
    corpus: tuple[Path, PreparedData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line; the update is skipped, and the next is made."""
    real, count = BatchObjective.gauss_newton, iter(range(100))

    def broken(
        self: BatchObjective, structural: float = 0.0, batches: int | None = None
    ) -> Callable[[Sequence[Tensor]], list[Tensor]]:
        product, number = real(self, structural, batches), next(count)
        return lambda v: [one * (math.nan if number == 2 else 1.0) for one in product(v)]

    monkeypatch.setattr(BatchObjective, "gauss_newton", broken)
    recipe = load_recipe(str(corpus[0]), [*SETTINGS, "training.updates=3", "training.epochs=none"])
    told = Told()
    result = train(recipe, tmp_path / "r", data=corpus[1].folder, threads=1, monitor=told)
    assert (result.updates, result.skipped) == (3, 1)
    (line,) = [line for line in told.lines if "skipped" in line]
    assert line.startswith("warning: update 2 skipped: loss ")
    assert line.endswith(", curvature nan")
    for value in load_file(tmp_path / "r/last/model.safetensors").values():
        assert value.isfinite().all()
