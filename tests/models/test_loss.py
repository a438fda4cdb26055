"""The fused loss against torch's own and against the formula of Szegedy et al. (2016)."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from support.models import make_batch, model_options, random_model, random_pairs, random_tensor
from torch import Tensor
from torch.nn import functional

from seq2seq.models.loss import (
    ROWS,
    Losses,
    smoothed_cross_entropy,
    twice_differentiable_cross_entropy,
)

E, V = 5, 11


def inputs(rows: int, dtype: torch.dtype = torch.float32) -> tuple[list[Tensor], Tensor]:
    """Readouts, weight and bias as leaves; labels."""
    generator = torch.Generator().manual_seed(rows)
    leaves = [
        random_tensor(*shape, seed=k, dtype=dtype).requires_grad_()
        for k, shape in enumerate([(rows, E), (V, E), (V,)])
    ]
    return leaves, torch.randint(0, V, (rows,), generator=generator)


@pytest.mark.parametrize("rows", [0, 1, ROWS - 1, ROWS, ROWS + 1, 2 * ROWS, 2 * ROWS + 3])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_values_and_gradients_are_torch_s(rows: int, smoothing: float) -> None:
    leaves, labels = inputs(rows)
    loss, nll = smoothed_cross_entropy(*leaves, labels, smoothing)
    found = torch.autograd.grad(loss, leaves)
    logits = functional.linear(*leaves)
    expected = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="sum")
    plain = functional.cross_entropy(logits, labels, reduction="sum")
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(nll, plain, rtol=1e-5, atol=1e-5)
    gradients = torch.autograd.grad(expected, leaves)
    torch.testing.assert_close(found, gradients, rtol=1e-4, atol=1e-4)


def test_the_value_is_the_paper_s_formula() -> None:
    """(1 - eps) (-log p of the label) + eps times the mean of -log p over the vocabulary."""
    leaves, labels = inputs(7)
    x, weight, bias = (leaf.tolist() for leaf in leaves)
    smoothed = plain = 0.0
    for row, label in zip(x, labels.tolist(), strict=True):
        logits = [
            sum(a * b for a, b in zip(row, w, strict=True)) + c
            for w, c in zip(weight, bias, strict=True)
        ]
        total = math.log(sum(math.exp(logit) for logit in logits))
        nats = [total - logit for logit in logits]
        plain += nats[label]
        smoothed += 0.9 * nats[label] + 0.1 * sum(nats) / V
    loss, nll = smoothed_cross_entropy(*leaves, labels, 0.1)
    assert loss.item() == pytest.approx(smoothed, rel=1e-6)
    assert nll.item() == pytest.approx(plain, rel=1e-6)


def test_gradients_are_slopes() -> None:
    """Central differences of torch's loss in float64: no automatic differentiation at all."""
    leaves, labels = inputs(4)
    found = torch.autograd.grad(smoothed_cross_entropy(*leaves, labels, 0.3)[0], leaves)
    exact = [leaf.detach().double() for leaf in leaves]

    def value() -> float:
        logits = functional.linear(*exact)
        loss = functional.cross_entropy(logits, labels, label_smoothing=0.3, reduction="sum")
        return loss.item()

    for leaf, gradient in zip(exact, found, strict=True):
        flat, slopes = leaf.flatten(), gradient.flatten()
        assert flat.data_ptr() == leaf.data_ptr()
        for i in range(len(flat)):
            at = flat[i].item()
            flat[i] = at + 1e-5
            above = value()
            flat[i] = at - 1e-5
            below = value()
            flat[i] = at
            assert slopes[i].item() == pytest.approx((above - below) / 2e-5, abs=1e-5)


@pytest.mark.parametrize("scale", [1.0 / 37, 5.0, 0.0])
def test_a_divided_loss_has_divided_gradients(scale: float) -> None:
    leaves, labels = inputs(9)
    whole = torch.autograd.grad(smoothed_cross_entropy(*leaves, labels, 0.1)[0], leaves)
    scaled = torch.autograd.grad(smoothed_cross_entropy(*leaves, labels, 0.1)[0] * scale, leaves)
    torch.testing.assert_close(scaled, tuple(one * scale for one in whole))


def test_the_cut_into_batches_changes_nothing() -> None:
    leaves, labels = inputs(20)
    whole, nll = smoothed_cross_entropy(*leaves, labels, 0.1)
    readouts, weight, bias = leaves
    cuts = [slice(0, 3), slice(3, 4), slice(4, 20)]
    parts = [smoothed_cross_entropy(readouts[cut], weight, bias, labels[cut], 0.1) for cut in cuts]
    together = torch.stack([loss for loss, _ in parts]).sum()
    torch.testing.assert_close(together, whole)
    torch.testing.assert_close(sum(part for _, part in parts), nll)
    torch.testing.assert_close(
        torch.autograd.grad(together, leaves), torch.autograd.grad(whole, leaves)
    )


def test_a_tied_weight_gets_both_gradients() -> None:
    """One table is read at one end of the network and is the output layer at the other."""
    (_, weight, bias), labels = inputs(6)
    tokens = torch.tensor([1, 4, 4, 0, 9, 2])
    read = functional.embedding(tokens, weight)
    loss, _ = smoothed_cross_entropy(read, weight, bias, labels, 0.1)
    logits = functional.linear(functional.embedding(tokens, weight), weight, bias)
    expected = functional.cross_entropy(logits, labels, label_smoothing=0.1, reduction="sum")
    torch.testing.assert_close(
        torch.autograd.grad(loss, [weight, bias]), torch.autograd.grad(expected, [weight, bias])
    )


def test_the_plain_loss_carries_no_gradient() -> None:
    leaves, labels = inputs(3)
    loss, nll = smoothed_cross_entropy(*leaves, labels, 0.1)
    assert loss.requires_grad
    assert not nll.requires_grad


def test_large_logits_do_not_overflow() -> None:
    leaves, labels = inputs(5)
    leaves[0] = (leaves[0].detach() * 1e4).requires_grad_()
    loss, _ = smoothed_cross_entropy(*leaves, labels, 0.1)
    logits = functional.linear(*leaves)
    expected = functional.cross_entropy(logits, labels, label_smoothing=0.1, reduction="sum")
    torch.testing.assert_close(loss, expected)
    assert all(gradient.isfinite().all() for gradient in torch.autograd.grad(loss, leaves))


@pytest.mark.parametrize("rows", [5, ROWS + 1])
def test_bfloat16_is_near_float32(rows: int) -> None:
    leaves, labels = inputs(rows)
    exact, _ = smoothed_cross_entropy(*leaves, labels, 0.1)
    expected = torch.autograd.grad(exact / rows, leaves)
    with torch.autocast("cpu", torch.bfloat16):
        loss, nll = smoothed_cross_entropy(*leaves, labels, 0.1)
    found = torch.autograd.grad(loss / rows, leaves)
    assert loss.dtype == nll.dtype == torch.float32
    assert [one.dtype for one in found] == [torch.float32] * 3
    torch.testing.assert_close(loss, exact, rtol=0.01, atol=0.01)
    torch.testing.assert_close(found, expected, rtol=0.03, atol=0.01)


def test_readouts_of_bfloat16_get_gradients_of_bfloat16() -> None:
    (readouts, weight, bias), labels = inputs(5)
    with torch.autocast("cpu", torch.bfloat16):
        half = readouts.detach().bfloat16().requires_grad_()
        loss, _ = smoothed_cross_entropy(half, weight, bias, labels, 0.1)
    gradients = torch.autograd.grad(loss, [half, weight, bias])
    assert [one.dtype for one in gradients] == [torch.bfloat16, torch.float32, torch.float32]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_bfloat16_gradients_of_what_is_known_well_are_no_rounding(smoothing: float) -> None:
    """Near a share of 1, bfloat16's steps are as large as what is left to learn."""
    labels = torch.arange(V)
    # Numbers that bfloat16 has, so that the logits are exact, and shares of 0.998 halfway between
    # two that it has.
    leaves = [(8.5 * torch.eye(V)).requires_grad_(), torch.eye(V).requires_grad_()]
    leaves.append(torch.zeros(V))  # gradients of the bias cancel out: each label comes once
    logits = functional.linear(*leaves)
    exact = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="sum")
    expected = torch.autograd.grad(exact, leaves[:2])
    with torch.autocast("cpu", torch.bfloat16):
        loss, _ = smoothed_cross_entropy(*leaves, labels, smoothing)
    for one, other in zip(torch.autograd.grad(loss, leaves[:2]), expected, strict=True):
        assert (one - other).norm() < 0.01 * other.norm()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_without_gradients_the_values_are_the_same_and_no_matrix_is_kept(
    smoothing: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A validation holds the logits of some rows at a time, not of all."""
    leaves, labels = inputs(2 * ROWS + 3)
    expected = [one.detach() for one in smoothed_cross_entropy(*leaves, labels, smoothing)]

    def unwanted(*_: object, **__: object) -> Tensor:
        raise AssertionError

    monkeypatch.setattr(torch, "softmax", unwanted)
    with torch.no_grad():
        found = smoothed_cross_entropy(*leaves, labels, smoothing)
    torch.testing.assert_close(list(found), expected)
    constants = [leaf.detach() for leaf in leaves]
    torch.testing.assert_close(
        list(smoothed_cross_entropy(*constants, labels, smoothing)), expected
    )


# -- second derivatives ---------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_twice_differentiable_loss_is_the_same_loss(smoothing: float) -> None:
    leaves, labels = inputs(ROWS + 3, torch.float64)
    fast = smoothed_cross_entropy(*leaves, labels, smoothing)
    twin = twice_differentiable_cross_entropy(functional.linear(*leaves), labels, smoothing)
    torch.testing.assert_close(twin, fast)
    assert not twin[1].requires_grad
    torch.testing.assert_close(
        torch.autograd.grad(twin[0], leaves), torch.autograd.grad(fast[0], leaves)
    )


def test_its_hessian_vector_product_is_the_slope_of_the_gradient() -> None:
    leaves, labels = inputs(6, torch.float64)
    vectors = [random_tensor(*leaf.shape, seed=9 + k) for k, leaf in enumerate(leaves)]

    def gradient(distance: float) -> tuple[Tensor, ...]:
        """By the fast loss, some way along the vectors."""
        moved = [
            (leaf.detach() + distance * vector).requires_grad_()
            for leaf, vector in zip(leaves, vectors, strict=True)
        ]
        return torch.autograd.grad(smoothed_cross_entropy(*moved, labels, 0.1)[0], moved)

    loss, _ = twice_differentiable_cross_entropy(functional.linear(*leaves), labels, 0.1)
    first = torch.autograd.grad(loss, leaves, create_graph=True)
    products = torch.autograd.grad(first, leaves, vectors)
    for product, above, below in zip(products, gradient(1e-5), gradient(-1e-5), strict=True):
        torch.testing.assert_close(product, (above - below) / 2e-5, rtol=1e-5, atol=1e-7)


def test_the_fast_loss_refuses_a_second_derivative() -> None:
    """Also of what lies below it, where its gradients would be taken for constants."""
    (readouts, weight, bias), labels = inputs(6)
    below = random_tensor(E, E, dtype=torch.float32).requires_grad_()
    loss, _ = smoothed_cross_entropy(readouts @ below, weight, bias, labels, 0.1)
    with pytest.raises(RuntimeError) as caught:
        torch.autograd.grad(loss, [below], create_graph=True)
    assert str(caught.value) == (
        "the fused loss has no second derivative: use Losses(twice_differentiable=True)"
    )


HEADS = {"attention": "additive", "attention_heads": 2}
WORDS = {"lexical": True, "output": {"kind": "fixnorm", "radius": 2.0}}


def test_the_fast_loss_is_the_slow_one_s_of_every_output_layer() -> None:
    """Values and all gradients, with vectors of a length and a lexical model too."""
    batch = make_batch(random_pairs([(3, 2), (1, 4), (5, 3)]))
    found = []
    for twice in (False, True):
        model = random_model(model_options({}, HEADS, **WORDS)).train()
        loss, nll = Losses(model, 0.1, twice_differentiable=twice)(batch)
        loss.backward()
        found.append([loss, nll, *(one.grad for one in model.parameters())])
    torch.testing.assert_close(*found, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("cell", "attention", "more"),
    [
        ("rnn", {"attention": "general"}, {}),
        ("gru", {"attention": "general"}, {}),
        ("lstm", {"attention": "general"}, {}),
        ("gru", HEADS, WORDS),
    ],
)
def test_a_whole_network_has_hessian_vector_products(
    cell: str, attention: dict[str, Any], more: dict[str, Any]
) -> None:
    side = {"cell": cell, "layers": 2}
    model = random_model(model_options(side, {**side, **attention}, **more)).train()
    losses = Losses(model, 0.1, twice_differentiable=True)
    batch = make_batch(random_pairs([(3, 2), (1, 4), (5, 3)]))
    weights = list(model.parameters())
    vectors = [random_tensor(*one.shape, seed=k) for k, one in enumerate(weights)]

    def gradient(distance: float) -> list[Tensor]:
        moves = [distance * vector for vector in vectors]
        with torch.no_grad():
            torch._foreach_add_(weights, moves)
        found = torch.autograd.grad(losses(batch)[0], weights)
        with torch.no_grad():
            torch._foreach_sub_(weights, moves)
        return list(found)

    first = torch.autograd.grad(losses(batch)[0], weights, create_graph=True)
    products = torch.autograd.grad(first, weights, vectors)
    for product, above, below in zip(products, gradient(1e-5), gradient(-1e-5), strict=True):
        torch.testing.assert_close(product, (above - below) / 2e-5, rtol=1e-4, atol=1e-5)
