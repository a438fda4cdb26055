"""SGD and Adam: one gradient an update.

The arithmetic is torch's own functions. Its ``Optimizer`` classes would import the compiler
(torch._dynamo, with sympy), a quarter of what starting a training takes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from seq2seq.recipe import training as recipe
from seq2seq.training.optim.objective import Objective

_UPDATES = "updates"
"""Where the number of updates is kept; no parameter's part is called so: it has no "/"."""


class FirstOrder(ABC):
    """What rules have in common that ask once for the gradient.

    What they remember are tensors by the name of a parameter and then by their own.
    """

    def __init__(self, model: nn.Module) -> None:
        self.parameters = dict(model.named_parameters())  # shared ones once
        self.remembered: dict[str, dict[str, Tensor]] = defaultdict(dict)

    @property
    def pending_copies(self) -> int:
        """How many tensors of each weight's size the first update will allocate."""
        return 0 if self.remembered else self.copies

    @property
    def copies(self) -> int:
        """How many tensors of each weight's size the rule remembers."""
        return 0

    def evaluate(self, objective: Objective, rate: float) -> None:
        """Asks for the gradient."""
        objective.gradient()

    @torch.no_grad()
    def apply(self, rate: float) -> None:
        """Moves the weights that have a gradient."""
        named = {name: one for name, one in self.parameters.items() if one.grad is not None}
        gradients = [one.grad for one in named.values() if one.grad is not None]
        self.step(list(named), list(named.values()), gradients, rate)

    @abstractmethod
    def step(
        self, names: list[str], weights: list[Tensor], gradients: list[Tensor], rate: float
    ) -> None:
        """Changes weights in place."""

    def state(self) -> dict[str, Tensor]:
        """The remembered tensors, by "<parameter>/<part>"."""
        return {
            f"{name}/{part}": value
            for name, parts in self.remembered.items()
            for part, value in parts.items()
        }

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what ``state`` gave, on the device of the weights."""
        self.remembered.clear()
        for key, value in tensors.items():
            name, part = key.rsplit("/", 1)
            weight = self.parameters[name]
            kind = weight.dtype if value.shape == weight.shape else torch.float32
            self.remembered[name][part] = value.to(weight.device, kind, copy=True)


class Sgd(FirstOrder):
    """Stochastic gradient descent, with momentum (Polyak 1964; Nesterov: Sutskever et al. 2013).

    Their schedule for the momentum needs the number of updates made, which is remembered too.
    """

    def __init__(self, model: nn.Module, options: recipe.Sgd) -> None:
        super().__init__(model)
        self.options = options
        self.scheduled = options.momentum_schedule == "sutskever"
        self.updates = 0

    @property
    def copies(self) -> int:
        """One where there is momentum."""
        return int(self.options.momentum != 0.0)

    def step(
        self, names: list[str], weights: list[Tensor], gradients: list[Tensor], rate: float
    ) -> None:
        """Moves along the gradient, or along its moving sum."""
        buffers = [self.remembered[name].get("momentum_buffer") for name in names]
        if self.scheduled:
            self._step_by_schedule(weights, gradients, buffers, rate)
        else:
            sgd(
                weights,
                gradients,
                buffers,
                lr=rate,
                momentum=self.options.momentum,
                nesterov=self.options.nesterov,
                weight_decay=self.options.weight_decay,
                dampening=0.0,
                maximize=False,
            )
        for name, buffer in zip(names, buffers, strict=True):
            if buffer is not None:
                self.remembered[name]["momentum_buffer"] = buffer

    def _step_by_schedule(
        self,
        weights: list[Tensor],
        gradients: list[Tensor],
        buffers: list[Tensor | None],
        rate: float,
    ) -> None:
        """Nesterov's step where the momentum changes, which torch's function has no argument for.

        As there, the weights kept are those where the next gradient is taken, which the next
        velocity is already part of: the buffer grows by this update's momentum, and what looks
        ahead is the next one's.
        """
        now, ahead = (momentum_at(self.updates + k, self.options.momentum) for k in (0, 1))
        for place, (weight, gradient) in enumerate(zip(weights, gradients, strict=True)):
            downhill = gradient.add(weight, alpha=self.options.weight_decay)
            buffer = buffers[place]
            buffer = downhill.clone() if buffer is None else buffer.mul_(now).add_(downhill)
            buffers[place] = buffer
            weight.sub_(downhill.add_(buffer, alpha=ahead), alpha=rate)
        self.updates += 1

    def state(self) -> dict[str, Tensor]:
        """What rules of this file give, and the number of updates where the momentum needs it."""
        counted = {_UPDATES: torch.tensor(self.updates)} if self.scheduled else {}
        return {**super().state(), **counted}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:
        """Puts back what ``state`` gave."""
        if self.scheduled:
            self.updates = int(tensors[_UPDATES])
        super().load_state({key: one for key, one in tensors.items() if key != _UPDATES})


def momentum_at(updates: int, most: float) -> float:
    """The momentum after so many updates (Sutskever et al. 2013, equation 5), ``most`` at most.

    It is 1 - 2 ** (-1 - log2(floor(t / 250) + 1)): 0.5 at first, 0.75 after 250, 0.9 after 1,000.
    """
    return min(1.0 - 0.5 / (updates // 250 + 1), most)


class Adam(FirstOrder):
    """Adam (Kingma and Ba 2015), and with decoupled weight decay (Loshchilov and Hutter 2019)."""

    def __init__(self, model: nn.Module, options: recipe.Adam | recipe.AdamW) -> None:
        super().__init__(model)
        self.options = options

    @property
    def copies(self) -> int:
        """The means of gradients and of their squares."""
        return 2

    def step(
        self, names: list[str], weights: list[Tensor], gradients: list[Tensor], rate: float
    ) -> None:
        """Moves by the mean gradient over the root of the mean square."""
        for name, weight in zip(names, weights, strict=True):
            if not self.remembered[name]:
                self.remembered[name] = {
                    "step": torch.zeros((), dtype=torch.float32, device=weight.device),
                    "exp_avg": torch.zeros_like(weight),
                    "exp_avg_sq": torch.zeros_like(weight),
                }
        decay = self.options.weight_decay if isinstance(self.options, recipe.AdamW) else 0.0
        (adamw if decay else adam)(
            weights,
            gradients,
            [self.remembered[name]["exp_avg"] for name in names],
            [self.remembered[name]["exp_avg_sq"] for name in names],
            [],
            [self.remembered[name]["step"] for name in names],
            foreach=False,
            fused=True,
            amsgrad=False,
            beta1=self.options.beta1,
            beta2=self.options.beta2,
            lr=rate,
            weight_decay=decay,
            eps=self.options.eps,
            maximize=False,
        )
