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

from seq2seq.processors import set_thread_waits

set_thread_waits()  # before anything imports torch, which reads the setting once

if TYPE_CHECKING:
    from seq2seq.api import prepare, train, write_report
    from seq2seq.data import Progress
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
    from seq2seq.inference.glossary import Glossary
    from seq2seq.inference.pool import TranslatorPool
    from seq2seq.inference.translator import ScoredTranslation, Translator
    from seq2seq.metrics import Score, corpus_scores
    from seq2seq.recipe import Recipe
    from seq2seq.recipe.files import load_recipe
    from seq2seq.recipe.packaged import packaged_recipes
    from seq2seq.search import Constraints, Sampling, SearchOptions, Wish
    from seq2seq.training.monitoring import Monitor
    from seq2seq.training.state import TrainingResult

    __version__: str

__all__ = [
    "Constraints",
    "DataError",
    "Glossary",
    "MissingExtraError",
    "ModelError",
    "Monitor",
    "PreparedData",
    "Progress",
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
    "TranslatorPool",
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

_NAMES = {
    "api": "prepare train write_report",
    "data": "Progress",
    "data.dataset": "PreparedData",
    "errors": "DataError MissingExtraError ModelError RecipeError Seq2SeqError TrainingError",
    "inference.export": "export_model",
    "inference.glossary": "Glossary",
    "inference.pool": "TranslatorPool",
    "inference.translator": "ScoredTranslation Translator",
    "metrics": "Score corpus_scores",
    "recipe": "Recipe",
    "recipe.files": "load_recipe",
    "recipe.packaged": "packaged_recipes",
    "search": "Constraints Sampling SearchOptions Wish",  # Wish: Constraints until 0.3
    "training.monitoring": "Monitor",
    "training.state": "TrainingResult",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("seq2seq")
    if name not in _HOMES:
        raise AttributeError(f"module 'seq2seq' has no attribute {name!r}")
    return getattr(import_module(f"seq2seq.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
