"""Conjugate gradients against dense solutions, and against the conditions of the paper."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from support.models import random_tensor
from torch import Tensor

from seq2seq.training.optim.conjugate_gradients import (
    CurvatureError,
    conjugate_gradients,
    kept_iterates,
)

SIZE = 12


def matrix(rank: int = SIZE, size: int = SIZE) -> Tensor:
    """Symmetric, of eigenvalues from 1 to about 100 and zeros."""
    basis, _ = torch.linalg.qr(random_tensor(size, size, seed=1))
    values = torch.zeros(size, dtype=torch.float64)
    values[:rank] = torch.logspace(0, 2, rank, dtype=torch.float64)
    return basis @ torch.diag(values) @ basis.t()


def solved(a: Tensor, b: Tensor, start: Tensor | None = None, **more: float) -> list[Tensor]:
    options = {"iterations": 100, "tolerance": 1e-14, **more}
    start = torch.zeros_like(b) if start is None else start
    return conjugate_gradients(
        lambda v: a @ v, b, start, iterations=int(options["iterations"]),
        tolerance=options["tolerance"],
    )  # fmt: skip


@pytest.mark.parametrize("warm", [False, True])
def test_the_last_iterate_is_the_dense_solution(warm: bool) -> None:
    a, b = matrix(), random_tensor(SIZE, seed=2)
    start = random_tensor(SIZE, seed=3) if warm else None
    found = solved(a, b, start)
    torch.testing.assert_close(found[-1], torch.linalg.solve(a, b), rtol=1e-8, atol=1e-10)


def test_each_iterate_is_the_best_of_its_krylov_space() -> None:
    """The minimum over span(b, A b, ..., A^(k-1) b), found densely, for the first of them."""
    a, b = matrix(), random_tensor(SIZE, seed=2)
    for count in range(1, 7):
        space = torch.linalg.qr(
            torch.stack([torch.linalg.matrix_power(a, k) @ b for k in range(count)], dim=1)
        )[0]
        best = space @ torch.linalg.solve(space.t() @ a @ space, space.t() @ b)
        found = solved(a, b, iterations=count)
        torch.testing.assert_close(found[-1], best, rtol=1e-6, atol=1e-9)


def test_iterates_are_kept_at_growing_distances() -> None:
    a, b = matrix(size=60, rank=60), random_tensor(60, seed=2)
    kept = solved(a, b, iterations=40)
    places = [1, 2, 3, 4, 6, 8, 11, 15, 20, 26, 34, 40]
    assert len(kept) == len(places)
    for place, one in zip(places, kept, strict=True):
        assert torch.equal(one, solved(a, b, iterations=place)[-1])
    assert kept_iterates(40) == len(places)
    for count in (1, 2, 7, 11, 12):
        assert kept_iterates(count) == len(solved(a, b, iterations=count))


def test_it_ends_where_the_model_hardly_falls() -> None:
    """Martens (2010), section 4.4, its sums written out from the iterates themselves."""
    size, epsilon = 200, 5e-3
    a, b = matrix(size, size) + torch.eye(size, dtype=torch.float64), random_tensor(size, seed=2)

    def model(x: Tensor) -> float:
        return float(0.5 * x @ a @ x - b @ x)

    values = [model(solved(a, b, iterations=k, tolerance=1e-300)[-1]) for k in range(1, 61)]
    ends = next(
        i
        for i in range(1, 61)
        if i > (k := max(10, i // 10))
        and values[i - 1] < 0
        and (values[i - 1] - values[i - 1 - k]) / values[i - 1] < k * epsilon
    )
    assert 12 < ends < 60
    last = solved(a, b, tolerance=epsilon)[-1]
    assert torch.equal(last, solved(a, b, iterations=ends, tolerance=1e-300)[-1])


def test_without_curvature_it_ends() -> None:
    """A singular matrix, a zero one, and one for which the start is the solution."""
    a = matrix(rank=3)
    b = a @ random_tensor(SIZE, seed=2)
    torch.testing.assert_close(a @ solved(a, b)[-1], b)
    zero, nothing = torch.zeros_like(a), torch.zeros_like(b)
    assert torch.equal(solved(zero, b)[0], nothing)
    assert torch.equal(solved(matrix(), nothing)[0], nothing)
    assert [one.shape for one in solved(-matrix(), b)] == [b.shape]


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
@pytest.mark.parametrize("when", [0, 3])
def test_a_product_that_is_not_finite_ends_it(wrong: float, when: int) -> None:
    a, b, calls = matrix(), random_tensor(SIZE, seed=2), iter(range(100))

    def product(v: Tensor) -> Tensor:
        return a @ v * (wrong if next(calls) == when else 1.0)

    broken: Callable[[Tensor], Tensor] = product
    with pytest.raises(CurvatureError) as caught:
        conjugate_gradients(broken, b, torch.zeros_like(b), iterations=50, tolerance=1e-10)
    assert not math.isfinite(caught.value.curvature)
