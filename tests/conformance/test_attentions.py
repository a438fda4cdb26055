"""Laws that every registered attention obeys, with several heads too; registering enrols it."""

from __future__ import annotations

import itertools

import pytest
import torch
from support.models import random_tensor, randomize
from torch import Tensor

from seq2seq.nn.attention import Attention, Memory
from seq2seq.nn.heads import make_attention
from seq2seq.recipe import model as recipe
from seq2seq.recipe.registry import ATTENTIONS

KINDS = {name: (name, 1) for name in ATTENTIONS.names()} | {
    f"{name}, {heads} heads": (name, heads)
    for name, heads in itertools.product(["general", "additive"], [2, 4])
}
every_attention = pytest.mark.parametrize("name", KINDS)


def make(name: str) -> Attention:
    kind, heads = KINDS[name]
    options = recipe.Decoder(hidden=4, attention=kind, attention_heads=heads)
    attention = make_attention(options, 4)
    assert attention is not None
    randomize(attention.double())
    return attention


def mask_of(lengths: tuple[int, ...], width: int) -> Tensor:
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def attend(
    attention: Attention, query_BTQ: Tensor, outputs_BSD: Tensor, mask_BS: Tensor
) -> tuple[Tensor, Tensor]:
    context, weights = attention(query_BTQ, attention.prepare(Memory(outputs_BSD, mask_BS)))
    return context, weights


def test_some_attentions_are_registered() -> None:
    assert {"dot", "general", "additive"} <= {*ATTENTIONS.names()}


def test_no_attention_is_none() -> None:
    assert make_attention(recipe.Decoder(attention="none"), 4) is None


@every_attention
def test_weights_are_a_distribution_over_real_positions(name: str) -> None:
    query_BTQ, outputs_BSD = random_tensor(3, 2, 4), random_tensor(3, 5, 4, seed=1)
    for lengths in itertools.product([1, 3, 5], repeat=3):
        mask_BS = mask_of(lengths, 5)
        context, weights = attend(make(name), query_BTQ, outputs_BSD, mask_BS)
        assert context.shape == (3, 2, 4)
        assert weights.shape == (3, 2, 5)
        torch.testing.assert_close(weights.sum(-1), torch.ones(3, 2).double(), rtol=0, atol=1e-12)
        at_padding = weights.transpose(1, 2)[~mask_BS]
        assert torch.equal(at_padding, torch.zeros_like(at_padding))
        assert (weights.transpose(1, 2)[mask_BS] > 0).all()


@pytest.mark.parametrize("name", ATTENTIONS.names())
def test_the_context_is_the_weighted_mean(name: str) -> None:
    outputs_BSD = random_tensor(3, 5, 4, seed=1)
    context, weights = attend(
        make(name), random_tensor(3, 2, 4), outputs_BSD, mask_of((5, 1, 3), 5)
    )
    for b, t in itertools.product(range(3), range(2)):
        mean = sum(weights[b, t, s] * outputs_BSD[b, s] for s in range(5))
        torch.testing.assert_close(context[b, t], mean, rtol=0, atol=1e-12)


@every_attention
@pytest.mark.parametrize("filler", [100.0, -1e30])
def test_padding_changes_nothing(name: str, filler: float) -> None:
    """Results and gradients are those of each row alone, whatever stands at its padding."""
    lengths = (5, 1, 3)
    mask_BS = mask_of(lengths, 5)
    query_BTQ, outputs_BSD = random_tensor(3, 2, 4), random_tensor(3, 5, 4, seed=1)
    together = make(name)
    filled = torch.where(mask_BS[..., None], outputs_BSD, filler).requires_grad_()
    context, weights = attend(together, query_BTQ, filled, mask_BS)
    context.pow(2).sum().backward()
    assert filled.grad is not None
    assert not filled.grad[~mask_BS].any()
    apart = make(name)
    for row, length in enumerate(lengths):
        one = slice(row, row + 1)
        rows = outputs_BSD[one, :length].clone().requires_grad_()
        alone, shares = attend(apart, query_BTQ[one], rows, mask_of((length,), length))
        alone.pow(2).sum().backward()
        torch.testing.assert_close(context[one], alone, rtol=0, atol=1e-12)
        torch.testing.assert_close(weights[one, :, :length], shares, rtol=0, atol=1e-12)
        torch.testing.assert_close(filled.grad[one, :length], rows.grad, rtol=0, atol=1e-11)
    for ours, theirs in zip(together.parameters(), apart.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-11)


@every_attention
def test_targets_are_independent_of_each_other(name: str) -> None:
    """All positions at once are what each position is by itself: training as decoding."""
    attention, mask_BS = make(name), mask_of((5, 2), 5)
    query_BTQ, outputs_BSD = random_tensor(2, 3, 4), random_tensor(2, 5, 4, seed=1)
    context, weights = attend(attention, query_BTQ, outputs_BSD, mask_BS)
    for t in range(3):
        one, shares = attend(attention, query_BTQ[:, t : t + 1], outputs_BSD, mask_BS)
        torch.testing.assert_close(one[:, 0], context[:, t], rtol=0, atol=1e-12)
        torch.testing.assert_close(shares[:, 0], weights[:, t], rtol=0, atol=1e-12)


@every_attention
def test_gradients_are_right(name: str) -> None:
    attention, mask_BS = make(name), mask_of((3, 1), 3)
    inputs = [random_tensor(2, 1, 4), random_tensor(2, 3, 4, seed=1)]

    def run(query_BTQ: Tensor, outputs_BSD: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
        return attend(attention, query_BTQ, outputs_BSD, mask_BS)  # reads the weights in place

    assert torch.autograd.gradcheck(
        run, [*(value.requires_grad_() for value in inputs), *attention.parameters()]
    )


@every_attention
def test_every_parameter_gets_a_gradient(name: str) -> None:
    attention = make(name)
    outputs_BSD = random_tensor(2, 3, 4, seed=1).requires_grad_()
    context, _ = attend(attention, random_tensor(2, 2, 4), outputs_BSD, mask_of((3, 2), 3))
    context.pow(2).sum().backward()
    for key, parameter in attention.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.any(), key


@every_attention
def test_a_selected_memory_is_that_of_the_rows(name: str) -> None:
    attention, index_N = make(name), torch.tensor([1, 1, 0, 2])
    query, outputs, mask = random_tensor(4, 2, 4), random_tensor(3, 5, 4), mask_of((5, 1, 3), 5)
    chosen = attention.prepare(Memory(outputs, mask)).select(index_N)
    expected = attend(attention, query, outputs[index_N], mask[index_N])
    torch.testing.assert_close(attention(query, chosen), expected, rtol=0, atol=1e-12)
    assert Memory(outputs, mask).select(index_N).keys_BSK is None


@every_attention
def test_bfloat16_is_near_float32(name: str) -> None:
    attention = make(name).float()
    query, outputs = random_tensor(2, 3, 4).float(), random_tensor(2, 5, 4, seed=1).float()
    exact, shares = attend(attention, query, outputs, mask_of((5, 2), 5))
    with torch.autocast("cpu", torch.bfloat16):
        context, weights = attend(attention, query, outputs, mask_of((5, 2), 5))
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.sum(-1), torch.ones(2, 3))
    torch.testing.assert_close(context.float(), exact, rtol=0.05, atol=0.05)
    torch.testing.assert_close(weights, shares, rtol=0.05, atol=0.05)
