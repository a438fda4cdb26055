"""Choosing and turning rows, against torch's own indexing."""

from __future__ import annotations

import torch

from seq2seq.nn.rows import chosen_rows, reverse_within

LENGTHS = torch.tensor([4, 1, 3])


def turned(x_BTD: torch.Tensor) -> torch.Tensor:
    """Row by row."""
    rows = []
    for row, length in zip(x_BTD, LENGTHS.tolist(), strict=True):
        rows.append(torch.cat([row[:length].flip(0), row[length:]]))
    return torch.stack(rows)


def test_rows_turn_within_their_lengths() -> None:
    x_BTD = torch.randn(3, 5, 2)
    assert torch.equal(reverse_within(x_BTD, LENGTHS), turned(x_BTD))
    assert torch.equal(reverse_within(x_BTD[..., 0], LENGTHS), turned(x_BTD[..., 0]))


def test_gradients_of_turning() -> None:
    x = torch.randn(3, 5, 2, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 5, 2, dtype=torch.float64)
    (found,) = torch.autograd.grad((reverse_within(x, LENGTHS) * weight).sum(), x)
    (expected,) = torch.autograd.grad((turned(x) * weight).sum(), x)
    assert torch.equal(found, expected)
    assert torch.autograd.gradcheck(lambda one: reverse_within(one, LENGTHS), x)


def test_chosen_rows_and_their_gradients() -> None:
    x = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    where = torch.tensor([5, 0, 2])
    assert torch.equal(chosen_rows(x, where), x[where])
    assert torch.autograd.gradcheck(lambda one: chosen_rows(one, where), x)
    (found,) = torch.autograd.grad(chosen_rows(x, where[:0]).sum(), x)
    assert torch.equal(found, torch.zeros(6, 3, dtype=torch.float64))


def test_both_have_right_second_derivatives() -> None:
    x = torch.randn(3, 5, 2, dtype=torch.float64, requires_grad=True)
    where = torch.tensor([2, 0])
    assert torch.autograd.gradgradcheck(lambda one: reverse_within(one, LENGTHS) ** 3, x)
    assert torch.autograd.gradgradcheck(lambda one: chosen_rows(one, where) ** 3, x)
