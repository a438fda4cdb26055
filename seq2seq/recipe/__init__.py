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
from seq2seq.recipe.data import PROBLEMS, Cleaning, Data, Tokenizer
from seq2seq.recipe.model import Model
from seq2seq.recipe.text import Text
from seq2seq.recipe.training import MinimumRisk, NoAverage, Ridge, Training, Translation

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
            **self._broken_rules_of_problems(),
        }

    def _broken_rules_of_problems(self) -> dict[str, bool]:
        training, traits = self.training, self.data.traits
        numbers = ", ".join(name for name, one in PROBLEMS.items() if one.numbers)
        streams = ", ".join(name for name, one in PROBLEMS.items() if one.stream)
        ridge, window = isinstance(training.method, Ridge), training.bptt_window is not None
        return {
            "training.method = 'ridge' needs targets that are numbers: data.kind = 'problem' with "
            f"data.problem one of {numbers}": ridge and (traits is None or not traits.numbers),
            "training.method = 'ridge' reads the training sequences once: it needs "
            "training.epochs = 1, or training.updates alone": (
                ridge and "epochs" in training.model_fields_set and training.epochs not in (None, 1)
            ),
            "training.method = 'ridge' solves for the weights anew at each update: it needs "
            "training.average = 'none'": ridge and not isinstance(training.average, NoAverage),
            "training.bptt_window cuts the gradients of a stream: it needs data.kind = 'problem' "
            f"with data.problem one of {streams}": window and (traits is None or not traits.stream),
            "training.bptt_window goes forward in time: it needs model.encoder.directions = "
            "'forward'": window and self.model.encoder.directions != "forward",
            "training.bptt_window is for gradients, and training.method = 'ridge' has none": (
                ridge and window
            ),
            "model.output_std is of the output layer of problems: it needs data.kind = 'problem'": (
                self.model.output_std > 0 and traits is None
            ),
            "training.method = 'minimum_risk' is for pairs of texts: it needs data.kind left out": (
                isinstance(training.method, MinimumRisk) and traits is not None
            ),
            "training.rdrop > 0 is for pairs of texts: it needs data.kind left out": (
                training.rdrop > 0.0 and traits is not None
            ),
            "training.scheduled_sampling.probability > 0 is for pairs of texts: it needs data.kind "
            "left out": training.scheduled_sampling.probability > 0.0 and traits is not None,
            "training.early_stopping.solved is for problems: it needs data.kind = 'problem'": (
                training.early_stopping.solved and traits is None
            ),
        }
