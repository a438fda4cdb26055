"""Dropout against the law it has: a share of zeros, the rest scaled so that the mean stays."""

from __future__ import annotations

import math

import pytest
import torch

from seq2seq.nn.dropout import Dropout, same_masks


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.9])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float64])
def test_a_share_is_zero_and_the_rest_is_scaled(rate: float, kind: torch.dtype) -> None:
    torch.manual_seed(1)
    count = 40_001
    found = Dropout(rate)(torch.ones(count, dtype=kind))
    assert found.dtype == kind
    dropped = int((found == 0).sum())
    assert abs(dropped - rate * count) < 5 * math.sqrt(rate * (1 - rate) * count)
    kept = found[found != 0]
    scale = torch.tensor(1 / (1 - round(rate * 2**16) / 2**16), dtype=kind)
    assert (kept == scale).all()


def test_neighbours_are_independent() -> None:
    """Values share a draw of 64 bits in fours: no pair of them may go together."""
    torch.manual_seed(2)
    kept_NP = (Dropout(0.5)(torch.ones(50_000, 4)) != 0).double()
    correlation = torch.corrcoef(kept_NP.t())
    off = correlation - torch.eye(4)
    assert off.abs().max() < 5 / math.sqrt(50_000)


def test_the_gradient_is_that_of_the_mask() -> None:
    torch.manual_seed(3)
    x = torch.randn(7, 5, requires_grad=True)
    found = Dropout(0.4)(x)
    found.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(x.grad * x.detach(), found.detach())


def test_a_seed_decides_and_nothing_else() -> None:
    masks = []
    for _ in range(2):
        torch.manual_seed(4)
        masks.append(Dropout(0.3)(torch.ones(3, 11)))
    assert torch.equal(*masks)
    assert not torch.equal(masks[0], Dropout(0.3)(torch.ones(3, 11)))


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_nothing_is_dropped(rate: float, training: bool) -> None:
    x = torch.randn(3, 4)
    assert Dropout(rate).train(training)(x) is x


def test_all_can_be_dropped_and_nothing_is_no_trouble() -> None:
    assert torch.equal(Dropout(1.0)(torch.ones(5)), torch.zeros(5))
    assert Dropout(0.5)(torch.ones(0, 3)).shape == (0, 3)
    none_N = torch.zeros(0, dtype=torch.int64)
    assert Dropout(0.5, variational=True)(torch.ones(0, 3), none_N).shape == (0, 3)


def test_a_variational_mask_is_that_of_all_steps() -> None:
    torch.manual_seed(5)
    found_BTE = Dropout(0.4, variational=True)(torch.ones(6, 9, 40))
    assert torch.equal(found_BTE, found_BTE[:, :1].expand_as(found_BTE))
    masks = {tuple(one.tolist()) for one in found_BTE[:, 0]}
    assert len(masks) == 6  # each sequence has its own
    kept = found_BTE[found_BTE != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / 0.6), rtol=1e-4, atol=0)
    assert 0.2 < (found_BTE == 0).float().mean() < 0.6


def test_steps_of_any_order_have_their_sequence_s_mask() -> None:
    torch.manual_seed(6)
    sequence_N = torch.tensor([2, 0, 2, 1, 0, 2])
    found_NE = Dropout(0.5, variational=True)(torch.ones(6, 50), sequence_N)
    for one, two in ((0, 2), (0, 5), (1, 4)):
        assert torch.equal(found_NE[one], found_NE[two])
    assert not torch.equal(found_NE[0], found_NE[1])


def test_masks_are_held_in_their_context_only() -> None:
    dropout, plain = Dropout(0.5, variational=True), Dropout(0.5)
    ones = torch.ones(3, 40)
    with same_masks(torch.nn.ModuleList([dropout]), plain):
        first = dropout(ones)
        assert torch.equal(dropout(ones), first)
        assert torch.equal(dropout(ones[:, None].expand(3, 7, 40))[:, 4], first)
        assert not torch.equal(plain(ones), plain(ones))
    assert not torch.equal(dropout(ones), first)
    assert not torch.equal(dropout(ones), dropout(ones))


@pytest.mark.parametrize(("rate", "training"), [(0.5, False), (0.0, True)])
def test_nothing_is_dropped_the_same_way_either(rate: float, training: bool) -> None:
    x = torch.randn(3, 2, 4)
    assert Dropout(rate, variational=True).train(training)(x) is x
