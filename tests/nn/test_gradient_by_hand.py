"""The gradient of a plain recurrent network as ``docs/course.md`` derives it, in numpy.

Shapes: T time, B batch, E input size, H hidden size.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.models import random_cell, random_tensor

Floats = npt.NDArray[np.float64]

# The derivative of an activation, from its value.
SLOPES: dict[str, Callable[[Floats], Floats]] = {
    "tanh": lambda h: 1.0 - h**2,
    "relu": lambda h: (h > 0).astype(float),
}


def by_hand(
    x_BTE: Floats, h_BTH: Floats, first_BH: Floats, wanted_BTH: Floats, W: Floats, slope: str
) -> dict[str, Floats]:
    """Backpropagation through time of sum(wanted * h), with delta_t = dL / d(W h + U x + b)."""
    batch, steps, hidden = h_BTH.shape
    dW, dU, db = np.zeros_like(W), np.zeros((hidden, x_BTE.shape[2])), np.zeros(hidden)
    from_later_BH = np.zeros((batch, hidden))  # dL / dh_t through all later steps
    for t in reversed(range(steps)):
        delta_BH = (wanted_BTH[:, t] + from_later_BH) * SLOPES[slope](h_BTH[:, t])
        before_BH = h_BTH[:, t - 1] if t else first_BH
        dW += delta_BH.T @ before_BH
        dU += delta_BH.T @ x_BTE[:, t]
        db += delta_BH.sum(0)
        from_later_BH = delta_BH @ W
    return {"weight_ih": dU, "weight_hh": dW, "bias_ih": db, "bias_hh": db, "first": from_later_BH}


@pytest.mark.parametrize("way", ["sequence", "stepwise"])
@pytest.mark.parametrize("activation", list(SLOPES))
def test_it_is_what_autograd_finds(activation: str, way: str) -> None:
    cell = random_cell({"kind": "rnn", "activation": activation})
    x_BTE, wanted_BTH = random_tensor(3, 9, 3), random_tensor(3, 9, 4, seed=2)
    first_BH = random_tensor(3, 4, seed=3).requires_grad_()
    outputs_BTH, _ = getattr(cell, way)(x_BTE, (first_BH,))
    (outputs_BTH * wanted_BTH).sum().backward()
    found = {name: one.grad for name, one in cell.named_parameters()} | {"first": first_BH.grad}
    x, h, first, wanted, W = (
        one.detach().numpy() for one in (x_BTE, outputs_BTH, first_BH, wanted_BTH, cell.weight_hh)
    )
    expected = by_hand(x, h, first, wanted, W, activation)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert gradient is not None
        torch.testing.assert_close(gradient, torch.from_numpy(expected[name]), rtol=0, atol=1e-12)
