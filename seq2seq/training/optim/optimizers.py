"""Optimizers from the recipe, and their state as plain tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from seq2seq.recipe.training import AdamW, Sgd, Training


def build_optimizer(recipe: Training, model: nn.Module) -> torch.optim.Optimizer:
    """The recipe's optimizer over a model's parameters.

    Args:
        recipe: The training table.
        model: Its parameters are optimized, shared ones once.

    Returns:
        The optimizer; the loop sets its learning rate before every update.
    """
    options = recipe.optimizer
    parameters = list(model.parameters())
    if isinstance(options, Sgd):
        return torch.optim.SGD(
            parameters,
            lr=recipe.learning_rate,
            momentum=options.momentum,
            nesterov=options.nesterov,
            weight_decay=options.weight_decay,
        )
    betas = (options.beta1, options.beta2)
    if isinstance(options, AdamW):
        return torch.optim.AdamW(
            parameters,
            lr=recipe.learning_rate,
            betas=betas,
            eps=options.eps,
            weight_decay=options.weight_decay,
            fused=True,
        )
    return torch.optim.Adam(
        parameters, lr=recipe.learning_rate, betas=betas, eps=options.eps, fused=True
    )


def optimizer_copies(optimizer: torch.optim.Optimizer) -> int:
    """How many numbers an optimizer keeps for each weight, once it has begun.

    Args:
        optimizer: From ``build_optimizer``.

    Returns:
        The count.
    """
    if isinstance(optimizer, torch.optim.SGD):
        return int(optimizer.param_groups[0]["momentum"] != 0.0)
    return 2


def optimizer_tensors(optimizer: torch.optim.Optimizer, names: list[str]) -> dict[str, Tensor]:
    """An optimizer's state, flat.

    Args:
        optimizer: The optimizer.
        names: The parameters' names, in its order.

    Returns:
        Tensors under "<parameter>/<part>".
    """
    state: dict[int, dict[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{names[index]}/{part}": value if isinstance(value, Tensor) else torch.tensor(value)
        for index, parts in state.items()
        for part, value in parts.items()
        if value is not None
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, names: list[str], tensors: dict[str, Tensor]
) -> None:
    """Puts back what ``optimizer_tensors`` gave.

    Args:
        optimizer: Changed in place.
        names: The parameters' names, in its order.
        tensors: The flat state.
    """
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        name, part = key.rsplit("/", 1)
        state.setdefault(names.index(name), {})[part] = value
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
