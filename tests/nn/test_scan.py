"""The recurrence over time, all at once, against a loop of single steps."""

from __future__ import annotations

import itertools

import pytest
import torch
from support.models import cell_options, random_tensor
from torch import Tensor

from seq2seq.nn import scan
from seq2seq.nn.cells import make_cell
from seq2seq.nn.scan import linear_scan

SCANNED = ["sru", "ssru", "mingru", "minlstm"]
STEPS = [1, 2, 3, 31, 32, 33, 49, 200]
# What torch's differentiation forwards begins with.
ignoring_torch = pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
every_way = pytest.mark.parametrize("small", [0, 10**9], ids=["steps", "chunks"])


def looped(keep_BTH: Tensor, write_BTH: Tensor, first_BH: Tensor) -> Tensor:
    made = [first_BH]
    for keep_BH, write_BH in zip(keep_BTH.unbind(1), write_BTH.unbind(1), strict=True):
        made.append(keep_BH * made[-1] + write_BH)
    return torch.stack(made[1:], dim=1)


def terms(rows: int, steps: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    keep_BTH = torch.sigmoid(random_tensor(rows, steps, size))
    write_BTH = random_tensor(rows, steps, size, seed=1)
    return keep_BTH, write_BTH, random_tensor(rows, size, seed=2)


@every_way
@pytest.mark.parametrize("steps", STEPS)
def test_it_is_the_loop(steps: int, small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "_SMALL", small)
    given = [one.requires_grad_() for one in terms(3, steps, 5)]
    weights = random_tensor(3, steps, 5, seed=3)
    found = []
    for run in (linear_scan, looped):
        made = run(*given)
        gradients = torch.autograd.grad((made * weights).sum(), given)
        found.append([made.detach(), *gradients])
    torch.testing.assert_close(*found, rtol=0, atol=1e-12)


@ignoring_torch
@every_way
@pytest.mark.parametrize("steps", [1, 2, 35])
def test_all_its_gradients_are_right(
    steps: int, small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First and second, backwards and forwards, by differences."""
    monkeypatch.setattr(scan, "_SMALL", small)
    given = [one.requires_grad_() for one in terms(1, steps, 2)]
    assert torch.autograd.gradcheck(linear_scan, given, check_forward_ad=True)
    assert torch.autograd.gradgradcheck(linear_scan, given, check_fwd_over_rev=True)


@ignoring_torch
def test_products_with_its_jacobian_are_those_of_torch_func() -> None:
    given = terms(2, 9, 3)
    along = tuple(random_tensor(*one.shape, seed=5) for one in given)
    found = torch.func.jvp(linear_scan, given, along)
    torch.testing.assert_close(found, torch.func.jvp(looped, given, along), rtol=0, atol=1e-12)
    back, expected = (
        torch.func.vjp(run, *given)[1](random_tensor(2, 9, 3, seed=6))
        for run in (linear_scan, looped)
    )
    torch.testing.assert_close(back, expected, rtol=0, atol=1e-12)


@every_way
def test_what_it_is_given_need_not_lie_in_one_piece(
    small: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "_SMALL", small)
    keep_BTH, write_BTH, first_BH = terms(3, 40, 8)
    given = keep_BTH[..., ::2], write_BTH[..., 4:], first_BH[:, :4]
    before = [one.clone() for one in given]
    made = linear_scan(*given)
    torch.testing.assert_close(made, looped(*given), rtol=0, atol=1e-12)
    assert all(torch.equal(*pair) for pair in zip(given, before, strict=True))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_sums_of_few_digits_are_taken_in_many(kind: torch.dtype) -> None:
    """In bfloat16 a memory that is kept would stop growing at 256, however often 1 is added."""
    one = torch.ones(1, 1000, 1, dtype=kind)
    made = linear_scan(one, one, one[:, 0])
    assert made.dtype == torch.float32
    assert made[0, -1] == 1001


@pytest.mark.parametrize("kind", SCANNED)
@pytest.mark.parametrize("sizes", [(3, 4), (32, 64)], ids=["chunks", "steps"])
def test_a_long_sequence_is_its_steps(kind: str, sizes: tuple[int, int]) -> None:
    rows, size = sizes
    cell = make_cell(cell_options({"kind": kind}), 3, size).double()
    with torch.no_grad():
        cell.reset_parameters("orthogonal")
    x_BTE = random_tensor(rows, 200, 3)
    start = tuple(random_tensor(rows, size, seed=5 + part) for part in range(cell.parts))
    lengths_B = torch.tensor([*itertools.islice(itertools.cycle([200, 1, 77]), rows)])
    real = (torch.arange(200) < lengths_B[:, None])[..., None]
    runs = []
    for run in (cell.sequence, cell.stepwise):
        outputs, final = run(x_BTE, start, lengths_B)
        loss = (outputs * real).square().sum() + sum(part.sum() for part in final)
        gradients = torch.autograd.grad(loss, [*cell.parameters()])
        runs.append([outputs * real, *final, *(one / 200 for one in gradients)])
    torch.testing.assert_close(*runs, rtol=1e-12, atol=1e-12)
