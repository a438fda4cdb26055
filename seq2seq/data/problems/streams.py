"""Streams: a number to be told at every step, and no end that means anything.

What is scored is the normalized mean squared error: of 1 where the mean is told at every step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from seq2seq.data.problems import Figure, Floats, Generators, Problem, Sequences


class _Stream(Problem):
    inputs = 1
    outputs = 1
    good: ClassVar[float]  # below this normalized error it is solved
    figures = (Figure("nmse", "NMSE", "Squared error over the targets' variance", 4),)

    @property
    def counted(self) -> slice:
        return slice(self.first, self.steps)

    @property
    def baseline(self) -> str:
        return "NMSE 1"

    def _sequences(self, inputs_BT: Floats, targets_BT: Floats) -> Sequences:
        return Sequences(
            inputs_BT.astype(np.float32)[:, :, None],
            targets_BT.astype(np.float32)[:, self.counted, None],
        )

    def statistics(self, outputs: NDArray[Any], targets: NDArray[Any]) -> Floats:
        told_BC, due_BC = (one[..., 0].astype(float) for one in (outputs, targets))
        errors_BC, count_B = (told_BC - due_BC) ** 2, np.full(len(due_BC), due_BC.shape[1])
        sums = count_B, errors_BC.sum(1), due_BC.sum(1), (due_BC**2).sum(1)
        return np.stack(sums, axis=1).astype(float)

    def measure(self, sums_S: Floats) -> dict[str, float]:
        count, errors, total, squares = sums_S
        variance = squares - total**2 / count
        return {"nmse": float(errors / variance) if variance > 0 else math.nan}

    def is_solved(self, measured: Mapping[str, float | None]) -> bool | None:
        found = measured.get("nmse")
        return found is not None and found < self.good


class Narma10(_Stream):
    """A nonlinear moving average of order 10, driven by noise (Atiya and Parlos 2000).

    y(t+1) = 0.3 y(t) + 0.05 y(t) (y(t) + ... + y(t-9)) + 1.5 u(t-9) u(t) + 0.1, u from 0 to 0.5.
    """

    good = 0.1
    criterion = "an NMSE below 0.1"
    order = 10

    def _drawn(self, random: Generators) -> Sequences:
        inputs_BT = np.stack([one.random(self.steps) / 2 for one in random])
        targets_BT = self._answers(inputs_BT)
        while (far := np.flatnonzero(~(np.abs(targets_BT).max(1) < 1.0))).size:  # it ran away
            again = [random[int(row)].random(self.steps) / 2 for row in far]
            inputs_BT[far] = again
            targets_BT[far] = self._answers(np.stack(again))
        return self._sequences(inputs_BT, targets_BT)

    def _answers(self, inputs_BT: Floats) -> Floats:
        """y(t+1) at each step t; y and u were 0 before the first."""
        order, (rows, steps) = self.order, inputs_BT.shape
        u = np.concatenate([np.zeros((rows, order - 1)), inputs_BT], axis=1)
        y = np.zeros((rows, order + steps))
        with np.errstate(over="ignore", invalid="ignore"):
            for t in range(steps):
                last = y[:, t + order - 1]
                y[:, t + order] = (
                    0.3 * last
                    + 0.05 * last * y[:, t : t + order].sum(1)
                    + 1.5 * u[:, t] * u[:, t + order - 1]
                    + 0.1
                )
        return y[:, order:]


class MackeyGlass(_Stream):
    """Tells a chaotic series 84 steps ahead (Mackey and Glass 1977; Jaeger and Haas 2004).

    dx/dt = 0.2 x(t-17) / (1 + x(t-17)^10) - 0.1 x(t), by the method of Runge and Kutta with a step
    of 1 in which x(t-17) stands still. Input and target are x - 1.
    """

    good = 0.05
    criterion = "an NMSE below 0.05"
    delay, ahead, skipped = 17, 84, 500

    def _drawn(self, random: Generators) -> Sequences:
        past = np.stack([1.2 + 0.2 * (one.random(self.delay + 1) - 0.5) for one in random])
        series = self.series(past, self.skipped + self.steps + self.ahead)[:, self.skipped :] - 1.0
        return self._sequences(series[:, : self.steps], series[:, self.ahead :])

    def series(self, past: Floats, steps: int) -> Floats:
        """The steps (B, steps) that follow x(-17) to x(0) (B, 18)."""
        x = np.concatenate([past, np.zeros((len(past), steps))], axis=1)
        for t in range(self.delay, self.delay + steps):
            now, then = x[:, t], x[:, t - self.delay]
            drive = 0.2 * then / (1.0 + then**10)
            k1 = drive - 0.1 * now
            k2 = drive - 0.1 * (now + k1 / 2)
            k3 = drive - 0.1 * (now + k2 / 2)
            k4 = drive - 0.1 * (now + k3)
            x[:, t + 1] = now + (k1 + 2 * k2 + 2 * k3 + k4) / 6
        return x[:, self.delay + 1 :]


class Memory(_Stream):
    """Tells the inputs of the last 100 steps again, each by an output of its own (Jaeger 2001).

    The capacity is the sum over delays of the squared correlation of what is told with what is due;
    that of a network is at most its number of units.
    """

    outputs = 100
    criterion = ""
    figures = (Figure("capacity", "capacity", "Memory capacity"),)

    @property
    def baseline(self) -> str:
        return "capacity 0"

    def _drawn(self, random: Generators) -> Sequences:
        inputs_BT = np.stack([one.random(self.steps) - 0.5 for one in random])
        past = np.concatenate([np.zeros((len(random), self.outputs)), inputs_BT], axis=1)
        begins = [self.outputs - delay for delay in range(1, self.outputs + 1)]
        due_BTK = np.stack([past[:, at : at + self.steps] for at in begins], axis=-1)
        return Sequences(
            inputs_BT.astype(np.float32)[:, :, None], due_BTK[:, self.counted].astype(np.float32)
        )

    def statistics(self, outputs: NDArray[Any], targets: NDArray[Any]) -> Floats:
        told, due = outputs.astype(float), targets.astype(float)
        sums = (np.ones_like(due), told, due, told**2, due**2, told * due)
        return np.concatenate([one.sum(1) for one in sums], axis=1)

    def measure(self, sums_S: Floats) -> dict[str, float]:
        count, told, due, told2, due2, both = sums_S.reshape(6, -1)
        variances = (told2 - told**2 / count) * (due2 - due**2 / count)
        covariances = both - told * due / count
        squares = np.divide(
            covariances**2, variances, out=np.zeros_like(variances), where=variances > 0
        )
        return {"capacity": float(squares.sum())}

    def is_solved(self, measured: Mapping[str, float | None]) -> bool | None:
        return None
