"""The recipe: everything that makes a model what it is, as one tree of frozen values.

A recipe is data. It is written as TOML (see ``recipes/``), checked here, and stored beside the
model it made. There are no other settings: what is not in the recipe cannot change the weights,
apart from the number of threads.

Reading files, ``--set`` assignments and the error texts are in :mod:`seq2seq.recipe.files`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from seq2seq.recipe.base import NAME, Section
from seq2seq.recipe.data import Cleaning, Data, Tokenizer
from seq2seq.recipe.model import Model
from seq2seq.recipe.text import Text
from seq2seq.recipe.training import Training, Translation

__all__ = [
    "Cleaning",
    "Data",
    "Model",
    "Recipe",
    "Section",
    "Text",
    "Tokenizer",
    "Training",
    "Translation",
]


class Recipe(Section):
    """The whole recipe; see the sections for their keys."""

    name: Annotated[str, Field(pattern=NAME)] = "unnamed"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 1
    data: Data = Data()
    cleaning: Cleaning = Cleaning()
    text: Text = Text()
    tokenizer: Tokenizer = Tokenizer()
    model: Model = Model()
    training: Training = Training()
    translation: Translation = Translation()

    def _broken_rules(self) -> dict[str, bool]:
        training, streamed = self.training, self.data.stream is not None
        wrong = {
            "training.epochs = 'none'": training.epochs is not None,
            "training.updates": training.updates is None,
            "training.validation.every": training.validation.every is None,
        }
        wanted = [key for key, is_wrong in wrong.items() if is_wrong]
        return {
            "model.tie = 'all' needs tokenizer.joint = true": (
                self.model.tie == "all" and not self.tokenizer.joint
            ),
            "translation.coverage > 0 needs model.decoder.attention": (
                self.translation.coverage > 0 and self.model.decoder.attention == "none"
            ),
            f"data.stream has no epochs: it needs {', '.join(wanted)}": streamed and bool(wanted),
            "text.augment adds to training pairs that are stored: data.stream needs all its shares "
            "to be 0.0": streamed and bool(self.text.augment.shares),
            "cleaning.duplicates would remember every pair of a stream: data.stream needs "
            "cleaning.duplicates = false": streamed and self.cleaning.duplicates,
        }
