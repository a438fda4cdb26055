from __future__ import annotations

import copy

import pytest
import torch
from support.models import random_tensor
from torch import nn

from seq2seq.training.run.writer import mean_of
from seq2seq.training.updater import MovingAverage


def trained(steps: int, decay: float) -> tuple[list[float], list[float]]:
    """A single weight that is set anew at each step; it and its average."""
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 4.0)
    twin = copy.deepcopy(model)
    average = MovingAverage(model, twin, decay)
    values, averages = [], []
    for step in range(1, steps + 1):
        nn.init.constant_(model.weight, float(step * step % 7))
        average.update(step)
        values.append(model.weight.item())
        averages.append(twin.weight.item())
    return values, averages


@pytest.mark.parametrize("decay", [0.3, 0.9, 0.999])
def test_the_average_is_its_formula(decay: float) -> None:
    """a = d a + (1 - d) w with d = min(decay, (1 + n) / (10 + n))."""
    values, averages = trained(120, decay)
    expected = 4.0
    for n, (value, found) in enumerate(zip(values, averages, strict=True), start=1):
        d = min(decay, (1 + n) / (10 + n))
        expected = d * expected + (1 - d) * value
        assert found == pytest.approx(expected, rel=1e-4)


def test_the_average_forgets_where_it_began() -> None:
    values, averages = trained(1000, 0.999)
    assert averages[-1] == pytest.approx(sum(values[-700:]) / 700, abs=0.05)


def test_shared_weights_stay_shared_and_the_model_is_left_alone() -> None:
    model = nn.ModuleDict({"table": nn.Embedding(3, 2), "output": nn.Linear(2, 3)})
    model["output"].weight = model["table"].weight
    twin = copy.deepcopy(model)
    before = copy.deepcopy(model)
    with torch.no_grad():
        twin["table"].weight.zero_()
        twin["output"].bias.zero_()
    MovingAverage(model, twin, 0.5).update(100)
    assert twin["output"].weight is twin["table"].weight
    torch.testing.assert_close(twin["table"].weight, model["table"].weight / 2)
    torch.testing.assert_close(twin["output"].bias, model["output"].bias / 2)
    assert all(map(torch.equal, model.parameters(), before.parameters()))
    assert not any(p.grad_fn for p in twin.parameters())


def test_the_mean_of_several_is_their_mean() -> None:
    several = [
        {"a": random_tensor(3, 2, seed=k).float(), "b": random_tensor(4, seed=9 + k).float()}
        for k in range(5)
    ]
    kept = copy.deepcopy(several)
    mean = mean_of(iter(several))
    assert mean.keys() == {"a", "b"}
    for name, value in mean.items():
        expected = torch.stack([one[name] for one in several]).double().mean(0).float()
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-7)
    for one, other in zip(several, kept, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_the_mean_of_one_is_itself_and_a_copy() -> None:
    one = {"a": random_tensor(3).float()}
    mean = mean_of([one])
    assert torch.equal(mean["a"], one["a"])
    mean["a"].zero_()
    assert one["a"].any()


def test_the_mean_of_many_near_values_keeps_its_digits() -> None:
    """In float32 the sum of 3,000 of these would be off in the fourth digit."""
    value = torch.tensor([16777.217])
    assert torch.equal(mean_of([{"a": value}] * 3000)["a"], value)
