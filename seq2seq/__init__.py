"""Machine translation with encoder-decoder RNNs.

The command line's verbs as Python:

    import seq2seq

    seq2seq.prepare("quickstart", "data/quickstart")
    seq2seq.train("quickstart", "runs/quickstart", data="data/quickstart")
    seq2seq.Translator.load("runs/quickstart").translate(["The dog sleeps."])

Everything is loaded when it is first used: importing the package alone imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seq2seq.api import prepare, train, write_report
    from seq2seq.data.dataset import PreparedData
    from seq2seq.errors import (
        DataError,
        MissingExtraError,
        ModelError,
        RecipeError,
        Seq2SeqError,
        TrainingError,
    )
    from seq2seq.inference.export import export_model
    from seq2seq.inference.translator import ScoredTranslation, Translator
    from seq2seq.metrics import Score, corpus_scores
    from seq2seq.recipe import Recipe
    from seq2seq.recipe.files import load_recipe
    from seq2seq.recipe.packaged import packaged_recipes
    from seq2seq.search import Constraints, Sampling, SearchOptions, Wish
    from seq2seq.training.state import TrainingResult

    __version__: str

__all__ = [
    "Constraints",
    "DataError",
    "MissingExtraError",
    "ModelError",
    "PreparedData",
    "Recipe",
    "RecipeError",
    "Sampling",
    "Score",
    "ScoredTranslation",
    "SearchOptions",
    "Seq2SeqError",
    "TrainingError",
    "TrainingResult",
    "Translator",
    "Wish",
    "__version__",
    "corpus_scores",
    "export_model",
    "load_recipe",
    "packaged_recipes",
    "prepare",
    "train",
    "write_report",
]

_HOMES = {
    "Constraints": "search",
    "DataError": "errors",
    "MissingExtraError": "errors",
    "ModelError": "errors",
    "PreparedData": "data.dataset",
    "Recipe": "recipe",
    "RecipeError": "errors",
    "Score": "metrics",
    "ScoredTranslation": "inference.translator",
    "Seq2SeqError": "errors",
    "Sampling": "search",
    "SearchOptions": "search",
    "TrainingError": "errors",
    "TrainingResult": "training.state",
    "Translator": "inference.translator",
    "Wish": "search",  # what Constraints was called until 0.3
    "corpus_scores": "metrics",
    "export_model": "inference.export",
    "load_recipe": "recipe.files",
    "packaged_recipes": "recipe.packaged",
    "prepare": "api",
    "train": "api",
    "write_report": "api",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("seq2seq")
    if name not in _HOMES:
        raise AttributeError(f"module 'seq2seq' has no attribute {name!r}")
    return getattr(import_module(f"seq2seq.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
