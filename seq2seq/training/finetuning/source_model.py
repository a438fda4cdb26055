"""Where a fine-tuned model comes from: an earlier run's weights, and which of them fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import Tensor

from seq2seq import recipe as recipes
from seq2seq.data.reading.files import file_digest
from seq2seq.errors import ModelError, RecipeError
from seq2seq.inference.model_folder import ModelFolder, read_published
from seq2seq.models.translation import TranslationModel
from seq2seq.models.weights import check_shapes
from seq2seq.recipe import Recipe
from seq2seq.storage.layout import (
    SOURCE_TOKENIZER,
    TARGET_TOKENIZER,
    TOKENIZER,
    WEIGHTS,
)
from seq2seq.text.tokenizer import Tokenizers
from seq2seq.training.run.checkpoint import Tensors
from seq2seq.training.run.folder import flat

Shape = tuple[int, ...]

SHOWN = 5  # names, of many, in messages
_TOKENIZER_FILES = {
    "model": TOKENIZER,
    "source_model": SOURCE_TOKENIZER,
    "target_model": TARGET_TOKENIZER,
}
# Keys that change how a network learns, or how it begins, and not what its weights mean.
_HARMLESS = ("dropout", "word_dropout", "recurrent_init", "forget_bias")


@dataclass(frozen=True)
class Origin:
    """A trained model, to begin another training with.

    Attributes:
        folder: The run's or model's folder.
        recipe: Its recipe.
        tokenizers: Its tokenizers.
        weights: What it published (an average, where its recipe has one), shared ones under each
            of their names.
        update: The update that they are of; None: it is not known.
        digest: The SHA-256 of their file.
    """

    folder: Path
    recipe: Recipe
    tokenizers: Tokenizers
    weights: Tensors
    update: int | None
    digest: str

    @classmethod
    def read(cls, folder: Path) -> Origin:
        """Reads a run or model folder, also one in which a training is under way.

        Args:
            folder: The folder.

        Returns:
            The model, all of one update.

        Raises:
            ModelError: If there is no model with weights, or it is damaged.
            RecipeError: If its recipe cannot be used.
        """

        def read() -> tuple[ModelFolder, Tensors, str]:
            model = ModelFolder.open(folder)
            return model, model.weights(load), file_digest(folder / WEIGHTS)

        model, weights, digest = read_published(folder, read)
        update = model.card.get("update")
        return cls(
            folder=folder.absolute(),
            recipe=model.recipe,
            tokenizers=model.tokenizers,
            weights=_under_all_names(model, weights),
            update=update if isinstance(update, int) else None,
            digest=digest,
        )

    @property
    def named(self) -> str:
        """The folder and the update, in words."""
        return named(str(self.folder), self.update)

    def tokenizer_files(self) -> dict[str, Any]:
        """The tokenizer as a recipe names it.

        Returns:
            The keys of the recipe's table that say where its files are.
        """
        if self.tokenizers.joint:
            files = {"model": str(self.folder / TOKENIZER)}
        else:
            files = {
                "source_model": str(self.folder / SOURCE_TOKENIZER),
                "target_model": str(self.folder / TARGET_TOKENIZER),
            }
        return {"joint": self.tokenizers.joint, **dict.fromkeys(_TOKENIZER_FILES), **files}

    def check_tokenizer(self, recipe: Recipe) -> None:
        """Checks that a recipe asks for no other tokenizer, since the weights know this one's ids.

        Args:
            recipe: The recipe. Keys that it does not give ask for nothing; sampling is its own.

        Raises:
            RecipeError: If it does; the message names each of the keys.
        """
        ours, theirs = recipe.tokenizer, self.recipe.tokenizer
        problems = []
        for key in type(ours).model_fields:
            if key not in ours.model_fields_set or key == "sampling":
                continue
            here, there, name = getattr(ours, key), getattr(theirs, key), _TOKENIZER_FILES.get(key)
            if name is None and here != there:
                problems.append(
                    f"tokenizer.{key}: {_shown(here)} here and {_shown(there)} in {self.folder}, "
                    "whose tokenizer is used: leave the key out, or give the same"
                )
            if name and here and not _holds(Path(here), self.tokenizers.files.get(name)):
                problems.append(
                    f"tokenizer.{key}: {here} is not the tokenizer of {self.folder}, which is "
                    "used: leave the key out"
                )
        if problems:
            raise RecipeError(recipe.name, problems)


def named(folder: str, update: int | None) -> str:
    """A folder and an update, in words.

    Args:
        folder: The folder.
        update: The update; None: it is not known.

    Returns:
        Such as "runs/general (update 1,200)".
    """
    return folder if update is None else f"{folder} (update {update:,})"


@dataclass(frozen=True)
class Taken:
    """Which weights of a model fit another recipe.

    Attributes:
        taken: Parameters that begin with the model's weights.
        fresh: Parameters that the model has not.
        reshaped: Parameters that have another shape there: there, and here.
        left: The model's that no parameter takes.
        weights: How many numbers are taken, and how many there are.
        differing: Keys of the tables [model] that say what the weights mean and are not the same:
            there, and here.
    """

    taken: tuple[str, ...]
    fresh: tuple[str, ...]
    reshaped: dict[str, tuple[Shape, Shape]]
    left: tuple[str, ...]
    weights: tuple[int, int]
    differing: dict[str, tuple[Any, Any]]

    @classmethod
    def by(cls, recipe: Recipe, origin: Origin) -> Taken:
        """Compares a recipe's network with a model, by name and shape.

        Args:
            recipe: The recipe; its tokenizers are the model's.
            origin: The model.

        Returns:
            What fits.

        Raises:
            ModelError: If nothing that was learned fits but biases.
        """
        own = dict(_network(recipe.model, origin.tokenizers).named_parameters())
        shapes = {name: tuple(parameter.shape) for name, parameter in own.items()}
        there = {name: tuple(weight.shape) for name, weight in origin.weights.items()}
        taken = [name for name, shape in shapes.items() if there.get(name) == shape]
        pointers = {origin.weights[name].data_ptr() for name in taken}
        found = cls(
            taken=tuple(taken),
            fresh=tuple(name for name in shapes if name not in there),
            reshaped={
                name: (there[name], shape)
                for name, shape in shapes.items()
                if there.get(name, shape) != shape
            },
            left=tuple(
                name
                for name, weight in origin.weights.items()
                if name not in shapes and weight.data_ptr() not in pointers
            ),
            weights=(
                sum(own[name].numel() for name in taken),
                sum(parameter.numel() for parameter in own.values()),
            ),
            differing=_differing(origin.recipe, recipe),
        )
        if all(own[name].ndim < 2 for name in taken):
            raise ModelError(
                f"none of the weights of {origin.folder} fits the recipe: {found.keys()}: leave "
                "these keys out of [model], and they are as they are there"
            )
        return found

    @property
    def whole(self) -> bool:
        """Whether every parameter begins with the model's weights."""
        return not self.fresh and not self.reshaped

    def keys(self) -> str:
        """The keys of [model] that differ, in words.

        Returns:
            Them with both values; empty if there are none.
        """
        return "; ".join(
            f"{key} is {_shown(there)} there and {_shown(here)} here"
            for key, (there, here) in self.differing.items()
        )

    def line(self) -> str:
        """How much was taken, and what was not.

        Returns:
            One line, with some of the names.
        """
        taken, count = self.weights
        tensors = len(self.taken) + len(self.fresh) + len(self.reshaped)
        told = f"{len(self.taken)} of {tensors} tensors, {taken:,} of {count:,} parameters taken"
        groups = {
            "new": self.fresh,
            "of another shape": tuple(self.reshaped),
            "left there": self.left,
        }
        told += "".join(f"; {what}: {_some(names)}" for what, names in groups.items() if names)
        return f"{told}; {self.keys()}" if self.differing else told

    def record(self) -> dict[str, Any]:
        """The whole of it as plain values.

        Returns:
            For JSON.
        """
        return {
            "tensors": [len(self.taken), len(self.taken) + len(self.fresh) + len(self.reshaped)],
            "parameters": list(self.weights),
            "taken": list(self.taken),
            "fresh": list(self.fresh),
            "reshaped": {name: [list(a), list(b)] for name, (a, b) in self.reshaped.items()},
            "left": list(self.left),
            "differing": {key: list(values) for key, values in self.differing.items()},
        }


def _network(options: recipes.Model, tokenizers: Tokenizers) -> TranslationModel:
    """A network without weights: its names and shapes."""
    with torch.device("meta"):
        return TranslationModel(options, tokenizers.source.size, tokenizers.target.size)


def _under_all_names(model: ModelFolder, read: Tensors) -> Tensors:
    """A shared parameter is stored once; another recipe may not share it."""
    network = _network(model.recipe.model, model.tokenizers)
    stored = {id(parameter): name for name, parameter in network.named_parameters()}
    check_shapes(dict(network.named_parameters()), read, model.path / WEIGHTS)
    every = network.named_parameters(remove_duplicate=False)
    return {name: read[stored[id(parameter)]] for name, parameter in every}


def _differing(theirs: Recipe, ours: Recipe) -> dict[str, tuple[Any, Any]]:
    there, here = flat(theirs), flat(ours)
    keys = [
        key
        for key in {**there, **here}
        if key.startswith("model.") and key.rpartition(".")[2] not in _HARMLESS
    ]
    return {k: (there.get(k), here.get(k)) for k in keys if there.get(k) != here.get(k)}


def take(model: torch.nn.Module, weights: dict[str, Tensor], names: tuple[str, ...]) -> None:
    """Copies weights into a model.

    Args:
        model: Changed in place.
        weights: By parameter name.
        names: Which to copy.
    """
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name in names:
            parameters[name].copy_(weights[name])


def _holds(path: Path, content: bytes | None) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _shown(value: Any) -> str:
    return "not given" if value is None else repr(value)
