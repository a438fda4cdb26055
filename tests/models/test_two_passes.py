"""R-Drop's loss against the formula of Liang et al. (2021), and how a model passes twice."""

from __future__ import annotations

import math

import pytest
import torch
from support.models import make_batch, model_options, random_model, random_pairs, random_tensor
from torch import Tensor
from torch.nn import functional

from seq2seq.models.loss import ROWS, Losses, smoothed_cross_entropy, two_pass_cross_entropy

E, V = 5, 11


def inputs(rows: int, dtype: torch.dtype = torch.float64) -> tuple[list[Tensor], Tensor]:
    """What two passes share before dropout, two masks of it, weight and bias; labels."""
    leaves = [
        random_tensor(*shape, seed=k, dtype=dtype).requires_grad_()
        for k, shape in enumerate([(rows, E), (V, E), (V,)])
    ]
    generator = torch.Generator().manual_seed(rows)
    return leaves, torch.randint(0, V, (rows,), generator=generator)


def two_readouts(shared_ME: Tensor) -> Tensor:
    """Two passes with fixed dropout masks."""
    masks = (random_tensor(2, *shared_ME.shape, seed=7) > -0.5).to(shared_ME.dtype) * 1.5
    return (shared_ME * masks).flatten(0, 1)


def formula(logits_2MV: Tensor, labels_M: Tensor, smoothing: float, alpha: float) -> Tensor:
    """Half of the paper's equation 4, by torch's functions and its automatic gradients."""
    first, second = (one.log_softmax(-1) for one in logits_2MV)
    losses = [
        functional.cross_entropy(one, labels_M, label_smoothing=smoothing, reduction="sum")
        for one in logits_2MV
    ]
    divergences = [
        functional.kl_div(one, other, log_target=True, reduction="sum")
        for one, other in ((first, second), (second, first))
    ]
    return (sum(losses) + alpha * sum(divergences) / 2) / 2


@pytest.mark.parametrize("rows", [0, 1, ROWS // 2, ROWS // 2 + 1, ROWS + 3])
@pytest.mark.parametrize(("smoothing", "alpha"), [(0.0, 5.0), (0.1, 0.7), (0.4, 0.0)])
def test_values_and_gradients_are_the_formula_s(rows: int, smoothing: float, alpha: float) -> None:
    leaves, labels = inputs(rows)
    readouts, weight, bias = two_readouts(leaves[0]), *leaves[1:]
    loss, nll = two_pass_cross_entropy(readouts, weight, bias, labels, smoothing, alpha)
    logits = functional.linear(readouts, weight, bias).view(2, rows, V)
    expected = formula(logits, labels, smoothing, alpha)
    torch.testing.assert_close(loss, expected)
    plain = functional.cross_entropy(logits.flatten(0, 1), labels.repeat(2), reduction="sum")
    torch.testing.assert_close(nll, plain / 2)
    assert not nll.requires_grad
    torch.testing.assert_close(
        torch.autograd.grad(loss, leaves, retain_graph=True),
        torch.autograd.grad(expected, leaves),
    )


def test_the_divergence_is_that_of_two_distributions_added_up_by_hand() -> None:
    leaves, labels = inputs(3)
    readouts, weight, bias = two_readouts(leaves[0]), *leaves[1:]
    without, with_it = (
        two_pass_cross_entropy(readouts, weight, bias, labels, 0.1, alpha)[0].item()
        for alpha in (0.0, 4.0)
    )
    rows = functional.linear(readouts, weight, bias).tolist()
    shares = []
    for row in rows:
        total = sum(math.exp(one) for one in row)
        shares.append([math.exp(one) / total for one in row])
    apart = 0.0
    for p, q in zip(shares[:3], shares[3:], strict=True):
        apart += sum(a * math.log(a / b) + b * math.log(b / a) for a, b in zip(p, q, strict=True))
    assert with_it - without == pytest.approx(4.0 / 2 * apart / 2, rel=1e-9)


def test_gradients_are_slopes() -> None:
    leaves, labels = inputs(3)

    def loss(*leaves: Tensor) -> Tensor:
        return two_pass_cross_entropy(two_readouts(leaves[0]), *leaves[1:], labels, 0.1, 5.0)[0]

    assert torch.autograd.gradcheck(loss, leaves)


def test_passes_that_agree_cost_what_one_costs() -> None:
    leaves, labels = inputs(6)
    twice = two_pass_cross_entropy(leaves[0].repeat(2, 1), *leaves[1:], labels, 0.1, 5.0)
    once = smoothed_cross_entropy(*leaves, labels, 0.1)
    torch.testing.assert_close(twice, once)
    torch.testing.assert_close(
        torch.autograd.grad(twice[0], leaves), torch.autograd.grad(once[0], leaves)
    )


def test_bfloat16_is_near_float32() -> None:
    leaves, labels = inputs(ROWS, torch.float32)
    arguments = (two_readouts(leaves[0]), *leaves[1:], labels, 0.1, 5.0)
    exact, _ = two_pass_cross_entropy(*arguments)
    expected = torch.autograd.grad(exact / ROWS, leaves, retain_graph=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss, nll = two_pass_cross_entropy(*arguments)
    assert loss.dtype == nll.dtype == torch.float32
    found = torch.autograd.grad(loss / ROWS, leaves)
    assert [one.dtype for one in found] == [torch.float32] * 3
    torch.testing.assert_close(loss, exact, rtol=0.01, atol=0.01)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).norm() < 0.02 * other.norm()


@pytest.fixture
def losses() -> Losses:
    side = {"dropout": 0.3, "word_dropout": 0.2}
    model = random_model(model_options(side, {**side, "attention": "general"}))
    return Losses(model, 0.1, rdrop=5.0)


def test_a_batch_passes_twice_with_different_dropout(losses: Losses) -> None:
    batch = make_batch(random_pairs([(3, 2), (1, 4), (5, 3)]))
    losses.train()
    torch.manual_seed(3)
    loss, _ = losses(batch)
    torch.manual_seed(3)
    pairs = random_pairs([(3, 2), (1, 4), (5, 3)])
    readouts = losses.model(make_batch(pairs + pairs))
    logits = losses.model.output(readouts).view(2, batch.targets, -1)
    assert not torch.equal(logits[0], logits[1])
    torch.testing.assert_close(loss, formula(logits, batch.labels(), 0.1, 5.0))


def test_a_validation_passes_once(losses: Losses) -> None:
    batch = make_batch(random_pairs([(3, 2), (1, 4)]))
    losses.model.eval()
    assert losses(batch) == Losses(losses.model, 0.1)(batch)


def test_a_batch_without_targets_gives_zero_everywhere(losses: Losses) -> None:
    losses.train()
    loss, nll = losses(make_batch(random_pairs([(3, 2)])).without_targets())
    loss.backward()
    assert loss == nll == 0.0
    assert not any(one.grad.any() for one in losses.parameters() if one.grad is not None)
