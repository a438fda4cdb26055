"""Update rules: torch's optimizers as the recipe says, their state there and back, and others."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file
from support.models import random_tensor
from torch import nn

from seq2seq.recipe import Training
from seq2seq.training.optim import build_rule
from seq2seq.training.optim.first_order import FirstOrder, momentum_at

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "adam": {"kind": "adam"},
    "adamw": {"kind": "adamw", "weight_decay": 0.1},
    "sgd": {"kind": "sgd", "momentum": 0.0},
    "momentum": {"kind": "sgd", "momentum": 0.9, "weight_decay": 0.1},
    "nesterov": {"kind": "sgd", "momentum": 0.9, "nesterov": True},
}
SCHEDULED = {"kind": "sgd", "momentum": 0.9, "momentum_schedule": "sutskever"}
every_optimizer = pytest.mark.parametrize("options", OPTIMIZERS.values(), ids=OPTIMIZERS)


class Net(nn.Module):
    """A tied weight, a bias, and a part that no gradient reaches."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.output = nn.Linear(3, 5)
        self.output.weight = self.table.weight
        self.unused = nn.Linear(2, 2)
        with torch.no_grad():
            for seed, parameter in enumerate(self.parameters()):
                parameter.copy_(random_tensor(*parameter.shape, seed=seed))


def recipe(options: dict[str, Any], rate: float = 0.05) -> Training:
    return Training.model_validate({"optimizer": options, "learning_rate": rate})


def rule_for(options: dict[str, Any], net: nn.Module, rate: float = 0.05) -> FirstOrder:
    rule = build_rule(recipe(options, rate), net)
    assert isinstance(rule, FirstOrder)
    return rule


def advance(net: Net, rule: FirstOrder, seeds: range) -> None:
    for seed in seeds:
        net.zero_grad(set_to_none=True)
        tokens = torch.randint(0, 5, (7,), generator=torch.Generator().manual_seed(seed))
        torch.sin(net.output(net.table(tokens))).sum().backward()
        rule.apply(0.05)


@pytest.mark.parametrize(
    "options", [*OPTIMIZERS.values(), SCHEDULED], ids=[*OPTIMIZERS, "scheduled"]
)
def test_a_restored_optimizer_goes_on_to_the_bit(options: dict[str, Any], tmp_path: Path) -> None:
    straight = Net()
    rule = rule_for(options, straight)
    advance(straight, rule, range(3))
    weights = {name: p.detach().clone() for name, p in straight.named_parameters()}
    save_file(rule.state(), tmp_path / "optimizer")
    advance(straight, rule, range(3, 8))

    resumed = Net()
    with torch.no_grad():
        for name, parameter in resumed.named_parameters():
            parameter.copy_(weights[name])
    fresh = rule_for(options, resumed)
    fresh.load_state(load_file(tmp_path / "optimizer"))
    advance(resumed, fresh, range(3, 8))
    for (name, ours), theirs in zip(resumed.named_parameters(), straight.parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    ours, theirs = (one.state() for one in (fresh, rule))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_state_is_filed_under_parameter_and_part() -> None:
    net = Net()
    rule = rule_for(OPTIMIZERS["adam"], net)
    assert rule.state() == {}
    advance(net, rule, range(2))
    tensors = rule.state()
    assert sorted(tensors) == [
        f"{name}/{part}"
        for name in ("output.bias", "table.weight")
        for part in ("exp_avg", "exp_avg_sq", "step")
    ]
    assert tensors["table.weight/step"].item() == 2
    assert tensors["table.weight/exp_avg"].shape == (5, 3)


def torch_s(options: dict[str, Any], net: nn.Module) -> torch.optim.Optimizer:
    given = recipe(options).optimizer
    values = given.model_dump(exclude={"kind", "momentum_schedule"})
    if given.kind == "sgd":
        return torch.optim.SGD(net.parameters(), **values)
    kind = torch.optim.AdamW if given.kind == "adamw" else torch.optim.Adam
    betas = values.pop("beta1"), values.pop("beta2")
    return kind(net.parameters(), betas=betas, fused=True, **values)


@every_optimizer
def test_the_weights_are_those_of_torch_s_optimizer(options: dict[str, Any]) -> None:
    """At a rate that changes, to the bit."""
    ours, theirs = Net(), Net()
    theirs.load_state_dict(ours.state_dict())
    rule, optimizer = rule_for(options, ours), torch_s(options, theirs)
    for seed, rate in enumerate((0.05, 0.05, 0.7, 0.01)):
        tokens = torch.randint(0, 5, (7,), generator=torch.Generator().manual_seed(seed))
        for net in (ours, theirs):
            net.zero_grad(set_to_none=True)
            torch.sin(net.output(net.table(tokens))).sum().backward()
        rule.apply(rate)
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        for mine, yours in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert torch.equal(mine, yours)


def test_a_training_does_not_load_the_compiler() -> None:
    """It takes a quarter of the time that a training needs to start."""
    code = (
        "import sys, torch\n"
        "from seq2seq.recipe.training import Training\n"
        "from seq2seq.training.optim import build_rule\n"
        "net = torch.nn.Linear(2, 2)\n"
        "rule = build_rule(Training(), net)\n"
        "net(torch.ones(1, 2)).sum().backward()\n"
        "rule.apply(0.1)\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def first_step(options: dict[str, Any]) -> tuple[float, float, float]:
    """A weight of 2 whose gradient is 3: the weight after one and after two steps."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 2.0)
    rule = rule_for(options, net, rate=0.1)
    after = []
    for _ in range(2):
        net.weight.grad = torch.full((1, 1), 3.0)
        rule.apply(0.1)
        after.append(net.weight.item())
    return 2.0, after[0], after[1]


@pytest.mark.parametrize("decay", [0.0, 0.5])
def test_adam_s_steps_by_hand(decay: float) -> None:
    """A constant gradient: corrected for bias, both moments are exact, so each step is the rate."""
    options: dict[str, Any] = {"kind": "adam"}
    if decay:
        options = {"kind": "adamw", "weight_decay": decay}
    begin, one, two = first_step(options)
    assert one == pytest.approx(begin * (1 - 0.1 * decay) - 0.1, rel=1e-6)
    assert two == pytest.approx(one * (1 - 0.1 * decay) - 0.1, rel=1e-6)


def test_adam_s_second_step_where_gradients_differ() -> None:
    """Kingma and Ba (2015), algorithm 1, with the recipe's betas."""
    net = nn.Linear(1, 1, bias=False)
    nn.init.constant_(net.weight, 2.0)
    options = {"kind": "adam", "beta1": 0.8, "beta2": 0.95, "eps": 0.01}
    rule = rule_for(options, net, rate=0.1)
    weight = 2.0
    m = v = 0.0
    for t, gradient in enumerate([3.0, -1.0, 0.5], start=1):
        net.weight.grad = torch.full((1, 1), gradient)
        rule.apply(0.1)
        m = 0.8 * m + 0.2 * gradient
        v = 0.95 * v + 0.05 * gradient**2
        weight -= 0.1 * (m / (1 - 0.8**t)) / (math.sqrt(v / (1 - 0.95**t)) + 0.01)
        assert net.weight.item() == pytest.approx(weight, rel=1e-6)


def test_sgd_s_steps_by_hand() -> None:
    _, one, two = first_step({"kind": "sgd", "momentum": 0.0})
    assert (one, two) == pytest.approx((1.7, 1.4))
    _, one, two = first_step({"kind": "sgd", "momentum": 0.5})
    assert (one, two) == pytest.approx((1.7, 1.7 - 0.1 * 4.5))
    _, one, two = first_step({"kind": "sgd", "momentum": 0.5, "nesterov": True})
    assert (one, two) == pytest.approx((2 - 0.1 * 4.5, 2 - 0.1 * 4.5 - 0.1 * (3 + 0.5 * 4.5)))
    _, one, _ = first_step({"kind": "sgd", "momentum": 0.0, "weight_decay": 0.5})
    assert one == pytest.approx(2 - 0.1 * (3 + 0.5 * 2))


def test_sutskever_s_schedule_is_the_paper_s_formula() -> None:
    """Sutskever et al. (2013), equation 5."""
    for most in (0.9, 0.99, 0.999):
        for t in [*range(0, 1600, 50), 249, 12_499, 12_500, 10**6]:
            expected = min(1 - 2 ** (-1 - math.log2(math.floor(t / 250) + 1)), most)
            assert momentum_at(t, most) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_scheduled_steps_are_nesterov_s_of_the_paper(decay: float) -> None:
    """Equations 3 and 4 in numpy, over the changes of the momentum at 250 and 500 updates.

    The paper keeps the weights before the gradient is taken; the rule those where it is.
    """
    options = {**SCHEDULED, "momentum": 0.7, "weight_decay": decay}
    net = nn.Linear(3, 1, bias=False).double()
    scales = np.array([0.1, 1.0, 3.0])
    weight = np.array([1.0, -2.0, 0.5])
    velocity = np.zeros(3)
    with torch.no_grad():
        net.weight.copy_(torch.tensor(weight))
    rule = rule_for(options, net)
    for t in range(510):
        mu = min(1 - 2 ** (-1 - math.log2(t // 250 + 1)), 0.7)
        ahead = weight + mu * velocity
        np.testing.assert_allclose(net.weight.detach().numpy()[0], ahead, rtol=1e-9, atol=1e-12)
        gradient = np.sin(scales * ahead)
        net.weight.grad = torch.sin(torch.tensor(scales) * net.weight.detach())
        rule.apply(0.01)
        velocity = mu * velocity - 0.01 * (gradient + decay * ahead)
        weight = weight + velocity
    assert rule.state()["updates"].item() == 510


def test_a_schedule_needs_a_momentum_to_rise_to() -> None:
    with pytest.raises(ValidationError, match="'sutskever' needs momentum > 0, which it rises to"):
        recipe({**SCHEDULED, "momentum": 0.0})


def test_without_a_schedule_updates_are_not_counted() -> None:
    net = Net()
    rule = rule_for(OPTIMIZERS["momentum"], net)
    advance(net, rule, range(2))
    assert all(key.endswith("/momentum_buffer") for key in rule.state())
