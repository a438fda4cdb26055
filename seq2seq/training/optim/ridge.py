"""Ridge regression: the output layer in closed form, and nothing else learns (Jaeger 2001).

What the output layer reads and what it should say enter by their sums of products, in float64: each
update adds those of its batches, and the weights are then the solution for all sequences so far.

Shapes: F what the output layer reads, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from seq2seq.recipe import training as recipe

if TYPE_CHECKING:
    from seq2seq.training.optim import Objective


class Ridge:
    """See the module. ``model.output`` is the linear layer that is solved for."""

    def __init__(self, model: Any, options: recipe.Ridge) -> None:
        self.output: nn.Linear = model.output
        self.penalty = options.penalty
        reads, says = self.output.in_features + 1, self.output.out_features
        weight = self.output.weight
        self.gram = torch.zeros(reads, reads, dtype=torch.float64, device=weight.device)
        self.cross = torch.zeros(reads, says, dtype=torch.float64, device=weight.device)
        self._found = (torch.zeros_like(self.gram), torch.zeros_like(self.cross))

    @property
    def pending_copies(self) -> int:
        """None."""
        return 0

    def evaluate(self, objective: Objective, rate: float) -> None:
        """Asks for the batch's sums of products."""
        self._found = objective.products()

    @torch.no_grad()
    def apply(self, rate: float) -> None:
        """Adds them to those before, and solves."""
        self.gram += self._found[0]
        self.cross += self._found[1]
        solution = solved(self.gram, self.cross, self.penalty).to(self.output.weight.dtype)
        self.output.weight.copy_(solution[:-1].t())
        self.output.bias.copy_(solution[-1])

    def state(self) -> dict[str, Tensor]:
        """The sums."""
        return {"gram": self.gram, "cross": self.cross}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what ``state`` gave."""
        self.gram.copy_(tensors["gram"])
        self.cross.copy_(tensors["cross"])


def solved(gram: Tensor, cross: Tensor, penalty: float) -> Tensor:
    """The weights (F + 1, K), the biases last, that minimize the penalized sum of squared errors.

    ``gram`` (F + 1, F + 1) and ``cross`` (F + 1, K) are the sums of products; biases are not
    penalized. Without a penalty, and more features than they determine, the smallest weights.
    """
    system = gram.clone()
    system.diagonal()[:-1] += penalty
    factor, failed = torch.linalg.cholesky_ex(system)
    if penalty > 0 and not failed:
        return torch.cholesky_solve(cross, factor)
    smallest: Tensor = torch.linalg.lstsq(system.cpu(), cross.cpu(), driver="gelsd").solution
    return smallest.to(gram.device)
