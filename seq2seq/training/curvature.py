"""Products with the Gauss-Newton matrix of a loss (Schraudolph 2002), many at the same weights.

The matrix is J' H J: J is the Jacobian of the network's outputs by its weights, H the Hessian of
the loss by the outputs. Unlike the loss's own Hessian it has no negative curvature.

Structural damping (Martens and Sutskever 2011) adds a multiple of S' S, with the Jacobian S of the
hidden states: the curvature of their squared distance from what they are now, halved.

Shapes: B batch, T time, H hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.nn.recording import Recorded, recorded_outputs
from seq2seq.tasks import PaddedBatch

_grad = torch.autograd.grad


@dataclass(frozen=True)
class Linearized:
    """A batch's outputs as a linear function of a change of the weights, and its transpose.

    The transpose of J is a backward pass. It is linear in what it is given, so its own backward
    pass is the product with J. Both graphs are made once and gone through for every product.
    """

    places: list[int]  # of the weights that outputs or states depend on, among all
    weights: list[nn.Parameter]  # those
    results: list[Tensor]  # the outputs, then the states, if they are asked for
    seeds: list[Tensor]  # what the backward pass begins with, of each result
    ends: list[Tensor]  # and gives, of each weight
    point: Tensor  # the outputs once more, apart from the network
    slope: Tensor  # the gradient of the loss there
    scales: list[Tensor]  # the weight of each state's distance in the product

    def add_product(self, direction: Sequence[Tensor], total: list[Tensor]) -> None:
        """Adds J' H J times a direction, and the share of structural damping."""
        along = [direction[place] for place in self.places]
        changes = _grad(self.ends, self.seeds, along, retain_graph=True, materialize_grads=True)
        curved = _grad([self.slope], [self.point], [changes[0]], retain_graph=True)
        damped = [change * scale for change, scale in zip(changes[1:], self.scales, strict=True)]
        shares = _grad(self.results, self.weights, [*curved, *damped], retain_graph=True)
        for place, share in zip(self.places, shares, strict=True):
            total[place] += share


def linearized(
    twin: nn.Module, weights: list[nn.Parameter], batch: PaddedBatch, structural: float
) -> Linearized:
    """The twice differentiable loss of a batch, ready for products at the present weights.

    ``twin`` is what ``Task.loss`` gives. ``structural`` is the weight of the states' distance.
    """
    judge: Any = twin  # nn.Module knows nothing of ``outputs`` and ``sums``
    with recorded_outputs(twin) as records:
        outputs = judge.outputs(batch)
    states = [one for one in records if structural and one.outputs_BTH.requires_grad]
    results = [outputs, *(one.outputs_BTH for one in states)]
    seeds = [torch.zeros_like(one, requires_grad=True) for one in results]
    scales = [structural * mask for mask in _reached(outputs, states)] if states else []
    found = _grad(results, weights, seeds, create_graph=True, allow_unused=True)
    point = outputs.detach().requires_grad_()
    (slope,) = _grad([judge.sums(point, batch)[0]], [point], create_graph=True)
    ends = {place: end for place, end in enumerate(found) if end is not None}
    used = [weights[place] for place in ends]
    return Linearized([*ends], used, results, seeds, [*ends.values()], point, slope, scales)


def _reached(outputs: Tensor, states: list[Recorded]) -> list[Tensor]:
    """1 at the steps (B, T, 1) up to the last that the outputs depend on, 0 at padding after it.

    Recurrence itself is no dependence here, as within a fused sequence nobody can see it.
    """
    ends = [end for one in states for end in (one.outputs_BTH, *one.final)]
    ones = torch.ones_like(outputs)
    found = iter(_grad([outputs], ends, [ones], retain_graph=True, materialize_grads=True))
    masks = []
    for one in states:
        reads_BTH = next(found)
        read_BT = reads_BTH.ne(0).any(-1)
        final_BH = torch.stack([next(found) for _ in one.final]).ne(0).any(0)
        rows = torch.arange(len(read_BT), device=read_BT.device)
        last = -1 if one.lengths_B is None else one.lengths_B.to(read_BT.device) - 1
        read_BT[rows, last] |= final_BH.any(-1)
        later_BT = read_BT.flip(1).cumsum(1).flip(1) > 0
        masks.append(later_BT.unsqueeze(2).to(reads_BTH.dtype))
    return masks
