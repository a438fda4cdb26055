"""Learning rates against their formulas."""

from __future__ import annotations

import math
from typing import Any

import pytest

from seq2seq.recipe.training import Constant, Cosine, InverseSqrt, Plateau
from seq2seq.training.optim import learning_rate


def rate(schedule: Any, update: int, progress: float = 0.0, reductions: int = 0) -> float:
    return learning_rate(0.5, schedule, update=update, progress=progress, reductions=reductions)


@pytest.mark.parametrize("kind", [Constant, InverseSqrt, Cosine, Plateau])
def test_warm_up_is_a_straight_line_to_the_peak(kind: Any) -> None:
    schedule = kind(warmup=40)
    for update in range(1, 41):
        assert rate(schedule, update) == pytest.approx(0.5 * update / 40)


@pytest.mark.parametrize("kind", [Constant, Cosine, Plateau])
def test_without_a_warm_up_training_begins_at_the_peak(kind: Any) -> None:
    assert rate(kind(warmup=0), 1) == 0.5


@pytest.mark.parametrize("kind", [Constant, Plateau])
def test_a_rate_that_nothing_cuts_stays(kind: Any) -> None:
    for update in (41, 1000, 10**6):
        assert rate(kind(warmup=40), update, progress=0.7) == 0.5


@pytest.mark.parametrize("warmup", [1, 40, 4000])
def test_inverse_sqrt_is_vaswani_s_up_to_a_factor(warmup: int) -> None:
    """d^-0.5 min(n^-0.5, n w^-1.5) (Vaswani et al. 2017), scaled to its peak at n = w."""
    peak = min(warmup**-0.5, warmup * warmup**-1.5)
    for update in (1, 2, 39, 40, 41, 160, 3999, 4000, 4001, 10**6):
        expected = 0.5 * min(update**-0.5, update * warmup**-1.5) / peak
        assert rate(InverseSqrt(warmup=warmup), update) == pytest.approx(expected)


@pytest.mark.parametrize("floor", [0.0, 0.1])
def test_cosine_falls_to_its_floor(floor: float) -> None:
    schedule = Cosine(warmup=0, floor=floor)
    assert rate(schedule, 1, progress=0.0) == pytest.approx(0.5)
    assert rate(schedule, 9, progress=0.5) == pytest.approx(0.5 * (1 + floor) / 2)
    assert rate(schedule, 9, progress=1.0) == pytest.approx(0.5 * floor)
    assert rate(schedule, 9, progress=1.2) == pytest.approx(0.5 * floor)
    for progress in (0.1, 0.3, 0.77):
        fall = math.cos(progress * math.pi / 2) ** 2
        expected = 0.5 * floor + 0.5 * (1 - floor) * fall
        assert rate(schedule, 9, progress=progress) == pytest.approx(expected)
    rates = [rate(schedule, 9, progress=n / 100) for n in range(101)]
    assert rates == sorted(rates, reverse=True)


def test_plateau_cuts_by_its_factor() -> None:
    schedule = Plateau(warmup=10, factor=0.25)
    assert rate(schedule, 100, reductions=1) == pytest.approx(0.5 * 0.25)
    assert rate(schedule, 100, reductions=3) == pytest.approx(0.5 * 0.25**3)
    assert rate(schedule, 5, reductions=1) == pytest.approx(0.5 * 0.5 * 0.25)


@pytest.mark.parametrize("schedule", [Constant(), InverseSqrt(), Cosine()])
def test_only_plateau_knows_reductions(schedule: Any) -> None:
    assert rate(schedule, 100, reductions=4) == rate(schedule, 100)
