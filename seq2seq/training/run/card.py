"""``card.json``: what is known of a model, stored beside its weights."""

from __future__ import annotations

import platform
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from seq2seq import __version__
from seq2seq.data.dataset import PreparedData
from seq2seq.recipe import Recipe
from seq2seq.training.monitoring.metrics import PARTS, part_of

_PACKAGES = ("numpy", "sacrebleu", "safetensors", "sentencepiece")


def environment(device: torch.device, precision: torch.dtype, processes: int = 1) -> dict[str, Any]:
    """What a run's numbers may depend on besides recipe and data.

    Args:
        device: Where training runs.
        precision: The type for matrix products.
        processes: How many train together.

    Returns:
        Versions, device, precision, processes, threads of each, and whether torch is held to its
        deterministic ways.
    """
    return {
        "seq2seq": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device.type,
        "precision": str(precision).removeprefix("torch."),
        "processes": processes,
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def model_card(
    recipe: Recipe,
    prepared: PreparedData,
    model: nn.Module,
    record: dict[str, Any],
    about: dict[str, Any],
    environment: dict[str, Any],
) -> dict[str, Any]:
    """A model's card.

    Args:
        recipe: What it was made by.
        prepared: What it was made from.
        model: The model.
        record: What its validation found; its "update" names the weights.
        about: What the task says of it; see ``Task.card``.
        environment: What its numbers depend on, from ``environment``.

    Returns:
        Plain values for JSON.
    """
    mixture = prepared.mixture(recipe)
    mixed = {} if mixture is None else {"corpora": mixture.described()}
    stored = {} if prepared.stored is None else {"train": len(prepared.stored)}
    parts = dict.fromkeys(PARTS, 0)
    for name, parameter in model.named_parameters():
        parts[part_of(name)] = parts.get(part_of(name), 0) + parameter.numel()
    return {
        "name": recipe.name,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "update": record["update"],
        **about,
        "parameters": sum(parts.values()),
        "parameters_of": {part: count for part, count in parts.items() if count},
        "pairs": {**stored, "val": len(prepared.val)},
        **mixed,
        "source_vocabulary": prepared.tokenizers.source.size,
        "target_vocabulary": prepared.tokenizers.target.size,
        "tokenizer_sha256": prepared.tokenizers.digest,
        "data_sha256": prepared.digest,
        "versions": {
            "seq2seq": __version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "environment": environment,
    }
