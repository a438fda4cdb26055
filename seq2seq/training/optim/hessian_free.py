"""Hessian-free optimization (Martens 2010; Martens and Sutskever 2011).

An update goes to the minimum of a quadratic model of the batch's loss: its gradient, and its
Gauss-Newton matrix G with damping. That matrix is never made: conjugate gradients need its products
with directions alone. The damping is

- lambda I (Levenberg and Marquardt): lambda grows where the model promises too much, and shrinks
  where it can be trusted, so that the steps stay where the model holds;
- structural: mu lambda times the Gauss-Newton matrix of the hidden states' distance from what they
  were, since of a recurrent network's weights a small change may change all that it remembers.

The learning rate has no part in it: a step has length 1, or what the line search leaves of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from seq2seq.recipe import training as recipe
from seq2seq.training.optim.conjugate_gradients import (
    CurvatureError,
    conjugate_gradients,
    kept_iterates,
)
from seq2seq.training.optim.objective import NotFiniteError, Objective

TRUSTED, DOUBTED, CHANGE = 0.75, 0.25, 1.5
"""Above the first ratio of what a step gains to what was promised lambda is divided, below the
second it is multiplied, by the third (Martens 2010)."""
LEAST, MOST = 1e-12, 1e12
"""What lambda stays between."""
SHORTER, TRIALS, SHARE = 0.8, 60, 0.01
"""The line search: factor from one trial to the next, how many, share of the slope to be gained."""

_DAMPING = "damping"
_DIRECTION = "/direction"


@dataclass(frozen=True)
class Step:
    """What an update has found."""

    move: Tensor  # of all weights, one after the other
    direction: Tensor  # what the next conjugate gradients begin near
    damping: float  # the next lambda


class HessianFree:
    """See the module. Vectors are all weights, one after the other, in float64.

    In float32 the residuals of conjugate gradients soon have nothing to do with the equations.
    """

    def __init__(self, model: nn.Module, options: recipe.HessianFree) -> None:
        self.weights = {
            name: one for name, one in model.named_parameters() if one.requires_grad
        }  # shared ones once
        self.options = options
        self.damping = options.damping
        self.direction: Tensor | None = None
        self.found: Step | None = None

    @property
    def pending_copies(self) -> int:
        """Tensors of a weight's size that an update allocates: of float64, so each counts twice."""
        return 2 * (8 + kept_iterates(self.options.iterations))

    # -- an update --------------------------------------------------------------------------

    def evaluate(self, objective: Objective, rate: float) -> None:
        """Finds the step; the learning rate is not asked for."""
        first = objective.gradient(clipped=False)
        gradient = _joined(
            [
                torch.zeros_like(one) if one.grad is None else one.grad
                for one in self.weights.values()
            ]
        )
        try:
            iterates = self._iterates(objective, gradient)
            move, loss = self._best_of(objective, iterates)
            promised = self._promised(objective, gradient, move)
        except CurvatureError as error:
            raise NotFiniteError(replace(first, curvature=error.curvature)) from None
        scale = self._line_search(objective, move, float(gradient @ move), first.loss, loss)
        # Where no step helps, the next search does not begin near this one.
        self.found = Step(
            move * scale,
            iterates[-1] if scale else torch.zeros_like(move),
            self._next_damping(promised, loss - first.loss),
        )

    def _iterates(self, objective: Objective, gradient: Tensor) -> list[Tensor]:
        """Towards the minimum of the damped model, from a part of the last update's way."""
        structural = self.options.structural * self.damping
        product = objective.gauss_newton(structural, self.options.curvature_batches)
        start = torch.zeros_like(gradient)
        if self.direction is not None:
            start = self.options.warm_start * self.direction
        return conjugate_gradients(
            lambda v: _joined(product(self._split(v))) + self.damping * v,
            -gradient,
            start,
            iterations=self.options.iterations,
            tolerance=self.options.tolerance,
        )

    def _best_of(self, objective: Objective, iterates: list[Tensor]) -> tuple[Tensor, float]:
        """Goes back over the iterates as long as the loss itself falls, and gives it with it.

        Late iterates use directions of little curvature, of which a batch knows little.
        """
        best, loss = iterates[-1], self._loss_after(objective, iterates[-1])
        for earlier in reversed(iterates[:-1]):
            before = self._loss_after(objective, earlier)
            if before > loss:
                break
            best, loss = earlier, before
        return best, loss

    def _promised(self, objective: Objective, gradient: Tensor, move: Tensor) -> float:
        """How much the model without damping changes along a move."""
        product = objective.gauss_newton(0.0, self.options.curvature_batches)
        along = _joined(product(self._split(move)))
        promised = float(gradient @ move) + 0.5 * float(move @ along)
        if not math.isfinite(promised):
            raise CurvatureError(promised)
        return promised

    def _next_damping(self, promised: float, gained: float) -> float:
        """Lambda after a step by the rule of Levenberg and Marquardt."""
        ratio = gained / promised if promised < 0.0 else -math.inf
        if ratio < DOUBTED:
            return min(self.damping * CHANGE, MOST)
        return max(self.damping / CHANGE, LEAST) if ratio > TRUSTED else self.damping

    def _line_search(
        self, objective: Objective, move: Tensor, slope: float, before: float, loss: float
    ) -> float:
        """The share of a move after which the loss has fallen enough (Armijo 1966); 0: none."""
        if slope >= 0.0:
            return 0.0
        scale = 1.0
        for _ in range(TRIALS):
            if loss <= before + SHARE * scale * slope:
                return scale
            scale *= SHORTER
            loss = self._loss_after(objective, move * scale)
        return 0.0

    def _loss_after(self, objective: Objective, move: Tensor) -> float:
        """The loss after a move; infinite where it is not a number."""
        with objective.trial():
            self._move(move)
            loss = objective.loss()
        return math.inf if math.isnan(loss) else loss

    def apply(self, rate: float) -> None:
        """Makes the step that was found."""
        assert self.found is not None
        self._move(self.found.move)
        self.direction, self.damping = self._rounded(self.found.direction), self.found.damping
        self.found = None

    @torch.no_grad()
    def _move(self, move: Tensor) -> None:
        torch._foreach_add_(list(self.weights.values()), self._split(move))

    # -- vectors and tensors ----------------------------------------------------------------

    def _split(self, vector: Tensor) -> list[Tensor]:
        """A tensor for each weight, of its shape and type."""
        pieces = torch.split(vector, [one.numel() for one in self.weights.values()])
        return [
            piece.view_as(one).to(one.dtype)
            for piece, one in zip(pieces, self.weights.values(), strict=True)
        ]

    def _rounded(self, vector: Tensor) -> Tensor:
        """What a checkpoint keeps of a vector, so that a resumed run has the same."""
        return _joined(self._split(vector))

    def state(self) -> dict[str, Tensor]:
        """Lambda, and the last direction of each weight once there is one."""
        kept = {_DAMPING: torch.tensor(self.damping, dtype=torch.float64)}
        if self.direction is not None:
            pieces = zip(self.weights, self._split(self.direction), strict=True)
            kept |= {name + _DIRECTION: piece.clone() for name, piece in pieces}
        return kept

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what ``state`` gave, on the device of the weights."""
        damping = float(tensors[_DAMPING])
        self.direction = None
        if len(tensors) > 1:
            pieces = [tensors[name + _DIRECTION] for name in self.weights]
            for piece, one in zip(pieces, self.weights.values(), strict=True):
                if piece.shape != one.shape:
                    raise ValueError(f"a direction is {piece.shape}, its weight {one.shape}")
            device = next(iter(self.weights.values())).device
            self.direction = _joined([piece.to(device) for piece in pieces])
        self.damping = damping


def _joined(tensors: list[Tensor]) -> Tensor:
    """All numbers of some tensors as one vector."""
    return torch.cat([one.detach().flatten().double() for one in tensors])
