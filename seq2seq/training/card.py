"""``card.json``: what is known of a model, stored beside its weights."""

from __future__ import annotations

import platform
from typing import Any

import torch

from seq2seq import __version__
from seq2seq.data.dataset import PreparedData
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe import Recipe


def environment(device: torch.device, precision: torch.dtype) -> dict[str, Any]:
    """What a run's numbers may depend on besides recipe and data.

    Args:
        device: Where training runs.
        precision: The type for matrix products.

    Returns:
        Versions, device, precision, threads, and whether torch is held to its deterministic ways.
    """
    return {
        "seq2seq": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device.type,
        "precision": str(precision).removeprefix("torch."),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def model_card(
    recipe: Recipe, prepared: PreparedData, model: TranslationModel, record: dict[str, Any]
) -> dict[str, Any]:
    """A model's card.

    Args:
        recipe: What it was made by.
        prepared: What it was made from.
        model: The model.
        record: What its validation found; its "update" names the weights.

    Returns:
        Plain values for JSON.
    """
    return {
        "name": recipe.name,
        "update": record["update"],
        "validation": record,
        "bleu_signature": "greedy, sacreBLEU nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "source_vocabulary": prepared.tokenizers.source.size,
        "target_vocabulary": prepared.tokenizers.target.size,
        "tokenizer_sha256": prepared.tokenizers.digest,
        "data_sha256": prepared.digest,
        "versions": {"seq2seq": __version__, "torch": torch.__version__},
    }
