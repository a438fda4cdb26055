"""What each problem draws and asks, by brute force; its baseline by its formula, and sampled."""

from __future__ import annotations

import math
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from seq2seq.data.problems import Judged, Problem, problem_of
from seq2seq.data.problems.streams import MackeyGlass, Narma10
from seq2seq.recipe import Data
from seq2seq.recipe.data import PROBLEMS, WASHOUT, Name

SEED = 7


def problem(name: Name, length: int = 40, **keys: Any) -> Problem:
    return problem_of(Data(kind="problem", problem=name, length=length, **keys))


def rows(count: int) -> NDArray[np.int64]:
    return np.arange(count)


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_sequence_is_a_function_of_seed_and_number(name: Name) -> None:
    one = problem(name, 150)
    drawn = one.draw(SEED, rows(6))
    assert drawn.inputs_BTE.shape == (6, one.steps, one.inputs)
    assert drawn.inputs_BTE.dtype == np.float32
    counted = range(*one.counted.indices(one.steps))
    assert counted.stop == one.steps, "the steps that count are the last ones"
    shape = (6, len(counted), one.outputs) if one.numbers else (6, len(counted))
    assert drawn.targets.shape == shape
    again = one.draw(SEED, np.array([4, 1]))
    assert np.array_equal(again.inputs_BTE, drawn.inputs_BTE[[4, 1]])
    assert np.array_equal(again.targets, drawn.targets[[4, 1]])
    for other in (one.draw(SEED + 1, rows(6)), one.draw(SEED, rows(6) + 100)):
        assert not np.array_equal(other.inputs_BTE, drawn.inputs_BTE)


def test_the_recipe_knows_of_each_problem_what_is_so() -> None:
    assert get_args(Name) == tuple(PROBLEMS)
    for name, traits in PROBLEMS.items():
        assert problem(name, 150).numbers == traits.numbers
        shortest = problem(name, traits.least, **({"washout": 0} if traits.stream else {}))
        shortest.draw(SEED, rows(50))


def test_only_streams_leave_their_first_steps_out() -> None:
    for name, traits in PROBLEMS.items():
        first = problem(name, 150).counted.start
        if traits.stream:
            assert first == WASHOUT == 100
            assert problem(name, 150, washout=7).counted.start == 7


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("adding", lambda first, second: first + second),
        ("multiplication", lambda first, second: first * second),
        ("xor", lambda first, second: int(first != second)),
    ],
)
def test_two_marked_values_are_the_question(name: Name, answer: Any) -> None:
    drawn = problem(name, 43).draw(SEED, rows(300))
    places = set()
    for inputs_TE, target in zip(drawn.inputs_BTE, drawn.targets, strict=True):
        values, marks = inputs_TE.T
        (first, second) = np.flatnonzero(marks)
        assert set(marks) == {0.0, 1.0}
        assert first < 4 <= second < 21
        places |= {first, second}
        assert target.item() == pytest.approx(answer(values[first], values[second]))
    assert places == {*range(21)}


def test_temporal_order_asks_for_the_order_of_two_symbols() -> None:
    drawn = problem("temporal_order", 40).draw(SEED, rows(400))
    found = set()
    for inputs_TE, target in zip(drawn.inputs_BTE, drawn.targets, strict=True):
        assert (inputs_TE.sum(1) == 1).all()
        symbols = inputs_TE.argmax(1)
        first, second = np.flatnonzero(symbols < 2)
        assert 4 <= first < 8
        assert 20 <= second < 24
        assert target.item() == 2 * symbols[first] + symbols[second]
        found.add(target.item())
    assert found == {0, 1, 2, 3}


@pytest.mark.parametrize(("name", "size", "said"), [("copy", 8, 10), ("memorization", 2, 5)])
def test_a_message_is_due_after_the_cue(name: Name, size: int, said: int) -> None:
    length = 30
    drawn = problem(name, length).draw(SEED, rows(50))
    symbols = drawn.inputs_BTE.argmax(2)
    assert symbols.shape[1] == length + 2 * said
    blank, cue = size, size + 1
    assert set(symbols[:, :said].flatten()) == {*range(size)}
    assert (symbols[:, said : said + length - 1] == blank).all()
    assert (symbols[:, said + length - 1] == cue).all()
    assert (symbols[:, said + length :] == blank).all()
    assert (drawn.targets[:, : said + length] == blank).all()
    assert np.array_equal(drawn.targets[:, said + length :], symbols[:, :said])


def test_narma_is_its_formula() -> None:
    length = 60
    drawn = problem("narma10", length, washout=0).draw(SEED, rows(3))
    for u, due in zip(drawn.inputs_BTE[..., 0], drawn.targets[..., 0], strict=True):
        y = np.zeros(length + 1)
        for t in range(length):
            past = sum(y[t - i] for i in range(10) if t >= i)
            old = u[t - 9] if t >= 9 else 0.0
            y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * past + 1.5 * old * u[t] + 0.1
        assert due == pytest.approx(y[1:], rel=1e-5)
        assert 0 <= u.min() <= u.max() <= 0.5


def test_a_narma_sequence_that_runs_away_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Narma10._answers
    calls: list[int] = []

    def first_runs_away(self: Narma10, inputs_BT: Any) -> Any:
        found = honest(self, inputs_BT)
        calls.append(len(found))
        if len(calls) == 1:
            found[1] = np.inf
        return found

    plain = problem("narma10", 60, washout=0).draw(SEED, rows(3))
    monkeypatch.setattr(Narma10, "_answers", first_runs_away)
    drawn = problem("narma10", 60, washout=0).draw(SEED, rows(3))
    assert calls == [3, 1]
    same = [np.array_equal(*pair) for pair in zip(plain.targets, drawn.targets, strict=True)]
    assert same == [True, False, True]
    assert np.isfinite(drawn.targets).all()


def test_mackey_glass_follows_the_differential_equation() -> None:
    """A finer step of Euler's, with the delayed value between steps, goes the same way at first."""
    one = MackeyGlass(50)
    past = 1.2 + 0.2 * (np.random.default_rng(3).random((1, 18)) - 0.5)
    ours = one.series(past, 15)[0]
    fine, x = 1000, past[0, -1]
    for step in range(15):
        then = past[0, step]  # x(t - 17), which stands still for a step
        for _ in range(fine):
            x += (0.2 * then / (1 + then**10) - 0.1 * x) / fine
        assert ours[step] == pytest.approx(x, rel=1e-4)


def test_mackey_glass_is_told_ahead() -> None:
    drawn = problem("mackey_glass", 300, washout=0).draw(SEED, rows(2))
    assert drawn.targets[:, :-84, 0] == pytest.approx(drawn.inputs_BTE[:, 84:, 0])
    assert -1 < drawn.inputs_BTE.min() < -0.3 < 0.2 < drawn.inputs_BTE.max() < 1


def test_memory_asks_for_each_of_the_last_inputs() -> None:
    drawn = problem("memory", 160, washout=120).draw(SEED, rows(2))
    for delay in range(1, 101):
        due = drawn.inputs_BTE[:, 120 - delay : 160 - delay, 0]
        assert np.array_equal(drawn.targets[:, :, delay - 1], due)
    early = problem("memory", 160, washout=0).draw(SEED, rows(2))
    assert (early.targets[:, 0] == 0).all(), "nothing was before the first"


BASELINES = {
    "adding": 1 / 6,
    "multiplication": 7 / 144,
    "xor": math.log(2),
    "temporal_order": math.log(4),
    "copy": 10 * math.log(8) / (40 + 20),
    "memorization": 5 * math.log(2) / (40 + 10),
}


@pytest.mark.parametrize(("name", "baseline"), BASELINES.items())
def test_baselines_are_exact(name: Name, baseline: float) -> None:
    assert problem(name).baseline == f"loss {baseline:.4f}"


@pytest.mark.parametrize("name", BASELINES)
def test_nothing_better_can_be_said_without_looking(name: Name) -> None:
    """The best constant answer at each step, found from 20,000 sequences, scores the baseline."""
    one = problem(name, 10)
    targets = one.draw(SEED, rows(20_000)).targets
    if one.numbers:
        loss = float(targets.var())
    else:
        shares = np.stack([(targets == k).mean(0) for k in range(one.outputs)])  # (K, C)
        loss = float(-(shares * np.log(shares.clip(1e-12))).sum(0).mean())
    assert loss == pytest.approx(float(one.baseline.split()[1]), rel=0.02)


def statistics(one: Problem, outputs: NDArray[Any], targets: NDArray[Any]) -> dict[str, float]:
    """By halves, as several processes would."""
    halves = [one.statistics(outputs[part], targets[part]) for part in (slice(3), slice(3, None))]
    return one.measure(np.concatenate(halves).sum(0))


def test_a_sequence_is_wrong_from_4_hundredths_on() -> None:
    one = problem("adding")
    targets = np.ones((200, 1, 1))
    outputs = targets.copy()
    assert statistics(one, outputs, targets) == {"wrong": 0.0}
    outputs[:2] += 0.0399
    assert statistics(one, outputs, targets) == {"wrong": 0.0}
    outputs[2], outputs[3] = 0.95, np.nan
    found = statistics(one, outputs, targets)
    assert found == {"wrong": 1.0}
    assert one.is_solved(found) is False, "fewer than 1 % must be wrong"
    outputs[3] = 1.0
    assert one.is_solved(statistics(one, outputs, targets)) is True


def test_a_sequence_of_classes_is_wrong_by_a_single_one() -> None:
    one = problem("copy", 5)
    assert isinstance(one, Judged)
    targets = one.draw(SEED, rows(8)).targets
    outputs = np.eye(one.outputs)[targets]
    assert one.wrong(outputs, targets).tolist() == [False] * 8
    outputs[3, -1] = np.eye(one.outputs)[(targets[3, -1] + 1) % 8]
    assert statistics(one, outputs, targets) == {"wrong": 12.5}


def test_the_normalized_error_is_numpys() -> None:
    one, random = problem("narma10", 150), np.random.default_rng(1)
    targets, outputs = random.random((2, 6, 50, 1))
    found = statistics(one, outputs, targets)
    assert found["nmse"] == pytest.approx(((outputs - targets) ** 2).mean() / targets.var())
    mean = np.full_like(targets, targets.mean())
    assert statistics(one, mean, targets)["nmse"] == pytest.approx(1.0)  # its baseline
    assert one.baseline == "NMSE 1"
    still = np.ones_like(targets)
    assert math.isnan(statistics(one, mean, still)["nmse"])  # no variance to divide by
    assert one.is_solved({"nmse": 0.0999})
    assert not one.is_solved({"nmse": 0.1})


def test_the_capacity_is_the_sum_of_squared_correlations() -> None:
    one, random = problem("memory", 150), np.random.default_rng(1)
    targets = random.random((6, 50, 100))
    outputs = targets + random.random((6, 50, 100))
    outputs[..., 5] = 3.0  # says nothing
    found = statistics(one, outputs, targets)
    each = [
        np.corrcoef(outputs[..., k].flatten(), targets[..., k].flatten())[0, 1] ** 2
        for k in range(100)
        if k != 5
    ]
    assert found["capacity"] == pytest.approx(sum(each))
    assert statistics(one, 2 * targets - 1, targets)["capacity"] == pytest.approx(100.0)
    assert one.is_solved(found) is None
