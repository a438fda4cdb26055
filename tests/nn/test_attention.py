"""Each attention against its paper's formula, number by number."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from support.models import random_tensor, randomize

from seq2seq.errors import ModelError
from seq2seq.nn.attention import Memory
from seq2seq.recipe.registry import ATTENTIONS

Vector = list[float]
Weights = dict[str, list[Vector]]
Energy = Callable[[Vector, Vector, Weights], float]


def dot(a: Vector, b: Vector) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def times(matrix: list[Vector], vector: Vector) -> Vector:
    return [dot(row, vector) for row in matrix]


def by_dot(q: Vector, m: Vector, weights: Weights) -> float:
    del weights
    return dot(q, m)


def by_general(q: Vector, m: Vector, weights: Weights) -> float:
    return dot(q, times(weights["key.weight"], m))


def by_additive(q: Vector, m: Vector, weights: Weights) -> float:
    from_query = times(weights["query.weight"], q)
    from_memory = times(weights["key.weight"], m)
    bias = weights["query.bias"]
    hidden = [
        math.tanh(a + float(b) + c)  # type: ignore[arg-type]
        for a, b, c in zip(from_query, bias, from_memory, strict=True)
    ]
    return dot(weights["energy.weight"][0], hidden)


@pytest.mark.parametrize(
    ("name", "energy", "memory_size"),
    [("dot", by_dot, 3), ("general", by_general, 5), ("additive", by_additive, 5)],
)
def test_attention_is_the_paper_s_formula(name: str, energy: Energy, memory_size: int) -> None:
    attention = ATTENTIONS.load(name)(3, memory_size).double()
    randomize(attention)
    weights: Weights = {key: value.tolist() for key, value in attention.named_parameters()}
    query, outputs = random_tensor(2, 2, 3), random_tensor(2, 4, memory_size, seed=1)
    lengths = [4, 2]
    mask_BS = torch.arange(4) < torch.tensor(lengths)[:, None]
    context, shares = attention(query, attention.prepare(Memory(outputs, mask_BS)))
    for b, length in enumerate(lengths):
        for t in range(2):
            memory = outputs[b, :length].tolist()
            energies = [energy(query[b, t].tolist(), m, weights) for m in memory]
            total = sum(math.exp(e) for e in energies)
            expected = [math.exp(e) / total for e in energies]
            mean = [dot(expected, [m[d] for m in memory]) for d in range(memory_size)]
            assert shares[b, t, :length].tolist() == pytest.approx(expected, abs=1e-12)
            assert context[b, t].tolist() == pytest.approx(mean, abs=1e-12)


def test_dot_attention_needs_states_of_one_size() -> None:
    with pytest.raises(ModelError) as caught:
        ATTENTIONS.load("dot")(4, 6)
    assert str(caught.value) == (
        "model.decoder.attention = 'dot' needs states of one size: the encoder's has 6, the "
        "decoder's 4; set model.decoder.attention to 'general'"
    )
