"""Attention with several heads, number by number; its pieces, its derivatives, what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from support.models import random_tensor, randomize
from torch import Tensor

from seq2seq.errors import ModelError
from seq2seq.nn import heads
from seq2seq.nn.attention import Memory
from seq2seq.nn.heads import AdditiveHeads, GeneralHeads, HeadsAttention
from seq2seq.recipe import Model

Array = NDArray[np.float64]
Weights = dict[str, Array]


def general(q: Array, m: Array, weights: Weights, own: slice) -> float:
    query, key = weights["query.weight"][own] @ q, weights["key.weight"][own] @ m
    return float(query @ key) / math.sqrt(len(query))


def additive(q: Array, m: Array, weights: Weights, own: slice) -> float:
    query, key = weights["query.weight"][own] @ q, weights["key.weight"][own] @ m
    hidden = np.tanh(query + weights["query.bias"][own] + key)
    head = own.start // len(hidden)
    return float(weights["energy.weight"][head] @ hidden)


@pytest.mark.parametrize(("kind", "score"), [(GeneralHeads, general), (AdditiveHeads, additive)])
@pytest.mark.parametrize("count", [2, 3])
def test_each_head_is_the_paper_s_formula(
    kind: type[HeadsAttention], score: Callable[..., float], count: int
) -> None:
    attention = kind(12, 6, count).double()
    randomize(attention)
    weights = {key: value.detach().numpy() for key, value in attention.named_parameters()}
    query, outputs = random_tensor(2, 3, 12), random_tensor(2, 4, 6, seed=1)
    lengths = [4, 2]
    mask_BS = torch.arange(4) < torch.tensor(lengths)[:, None]
    context, shares = attention(query, attention.prepare(Memory(outputs, mask_BS)))
    for b, length in enumerate(lengths):
        memory = outputs[b, :length].numpy()
        for t in range(3):
            mean = np.zeros(length)
            for head in range(count):
                own = slice(head * 12 // count, (head + 1) * 12 // count)
                energies = [score(query[b, t].numpy(), m, weights, own) for m in memory]
                expected = np.exp(energies) / np.exp(energies).sum()
                mean += expected / count
                np.testing.assert_allclose(
                    context[b, t, head::count].detach().numpy(),
                    expected @ memory[:, head::count],
                    atol=1e-12,
                )
            np.testing.assert_allclose(shares[b, t, :length].detach().numpy(), mean, atol=1e-12)


def plain(query: Tensor, keys: Tensor, energy: Tensor) -> Tensor:
    """All hidden units at once, in float64 or whatever the inputs are."""
    hidden = torch.tanh(query[:, :, None] + keys[:, None])
    parts = hidden.chunk(len(energy), dim=-1)
    return torch.stack([part @ one for part, one in zip(parts, energy, strict=True)], dim=1)


@pytest.mark.parametrize("numbers", [1, 30, 100, 2**18])
def test_pieces_of_any_size_are_the_whole(monkeypatch: Any, numbers: int) -> None:
    monkeypatch.setattr(heads, "_NUMBERS", numbers)
    inputs = [random_tensor(3, 4, 6), random_tensor(3, 5, 6, seed=1), random_tensor(2, 3, seed=2)]
    ours, theirs = ([one.clone().requires_grad_() for one in inputs] for _ in range(2))
    found, expected = heads._Additive.apply(*ours), plain(*theirs)  # type: ignore[no-untyped-call]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)
    along = random_tensor(*expected.shape, seed=3)
    found.backward(along)
    expected.backward(along)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-12)


def test_first_and_second_derivatives() -> None:
    inputs = [random_tensor(2, 2, 4), random_tensor(2, 3, 4, seed=1), random_tensor(2, 2, seed=2)]
    for one in inputs:
        one.requires_grad_()
    assert torch.autograd.gradcheck(heads._Additive.apply, inputs)
    assert torch.autograd.gradgradcheck(heads._Additive.apply, inputs)


def test_one_head_of_the_additive_kind_is_bahdanau_s() -> None:
    """The class of one head and that of several are the same attention, where heads are one."""
    from seq2seq.nn.attention import AdditiveAttention

    one, other = AdditiveAttention(4, 6).double(), AdditiveHeads(4, 6, 1).double()
    randomize(one)
    other.load_state_dict(one.state_dict())
    query, mask_BS = random_tensor(2, 3, 4), torch.tensor([[True] * 3, [True, True, False]])
    memory = Memory(random_tensor(2, 3, 6, seed=1), mask_BS)
    found = other(query, other.prepare(memory))
    expected = one(query, one.prepare(memory))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("sizes", [(8, 6), (6, 8)])
def test_heads_divide_the_sizes(sizes: tuple[int, int]) -> None:
    with pytest.raises(ModelError) as caught:
        AdditiveHeads(*sizes, 4)
    assert str(caught.value) == (
        "model.decoder.attention_heads = 4 must divide both sides' hidden sizes: the encoder's is "
        f"{sizes[1]}, the decoder's {sizes[0]}"
    )


@pytest.mark.parametrize(
    ("encoder", "decoder", "words"),
    [
        ({}, {"attention": "dot"}, "needs attention = 'general' or 'additive', not 'dot'"),
        ({}, {"attention": "none"}, "needs attention = 'general' or 'additive', not 'none'"),
        ({}, {"hidden": 6}, "attention_heads = 4 must divide hidden = 6"),
        ({"hidden": 6}, {}, "decoder.attention_heads = 4 must divide encoder.hidden = 6"),
    ],
)
def test_a_recipe_says_what_does_not_go_together(
    encoder: dict[str, Any], decoder: dict[str, Any], words: str
) -> None:
    table = {"encoder": encoder, "decoder": {"attention_heads": 4, **decoder}}
    with pytest.raises(ValidationError) as caught:
        Model.model_validate(table)
    assert words in str(caught.value)
