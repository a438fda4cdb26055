"""The model that fine-tuning begins with: an earlier run's weights, and which of them fit."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from safetensors.torch import load
from torch import Tensor, nn

from seq2seq.data.dataset import value_in_words
from seq2seq.errors import ModelError, RecipeError
from seq2seq.inference.model_folder import ModelFolder, read_published
from seq2seq.models.weights import check_shapes, naming_recipe, tensors_of, without_memory
from seq2seq.recipe import Model, Recipe
from seq2seq.recipe.base import Checks
from seq2seq.storage.atomic import file_digest
from seq2seq.storage.layout import SOURCE_TOKENIZER, TARGET_TOKENIZER, TOKENIZER, WEIGHTS
from seq2seq.storage.whole import TOKENIZER_SIZE, read_bytes
from seq2seq.tasks import task_for
from seq2seq.text.tokenizer import Tokenizers
from seq2seq.training.run import differing_keys, in_words
from seq2seq.training.run.checkpoint import Tensors

Shape = tuple[int, ...]

SHOWN = 5  # names, of many, in messages
_TOKENIZER_FILES = {
    "model": TOKENIZER,
    "source_model": SOURCE_TOKENIZER,
    "target_model": TARGET_TOKENIZER,
}
# Keys that change how a network learns, or how it begins, and not what its weights mean.
_HARMLESS = {
    *("dropout", "word_dropout", "recurrent_init", "forget_bias", "chrono"),
    *(
        "spectral_radius",
        "input_scale",
        "bias_scale",
        "connections",
    ),  # what is drawn by them is saved
}


@dataclass(frozen=True)
class SourceModel:
    """A trained model, to begin another training with."""

    folder: Path
    recipe: Recipe
    tokenizers: Tokenizers
    weights: Tensors  # as published (an average, if there is one), under all their names
    update: int | None  # None where it is not known
    digest: str  # SHA-256 of the file of weights

    @classmethod
    def read(cls, folder: Path) -> SourceModel:
        """Reads a run or model folder, also one in which a training is under way.

        Raises ``ModelError`` or ``RecipeError`` if there is no model with weights, or it is
        damaged.
        """

        def read() -> tuple[ModelFolder, Tensors, str]:
            model = ModelFolder.open(folder)
            return model, model.weights(load), file_digest(model.file(WEIGHTS))

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

    def tokenizer_files(self) -> dict[str, Any]:
        """The keys of a recipe's table [tokenizer] that name this tokenizer's files."""
        if self.tokenizers.in_one_file:
            files = {"model": str(self.folder / TOKENIZER)}
        else:
            files = {
                "source_model": str(self.folder / SOURCE_TOKENIZER),
                "target_model": str(self.folder / TARGET_TOKENIZER),
            }
        return {"joint": self.tokenizers.joint, **dict.fromkeys(_TOKENIZER_FILES), **files}

    def check_tokenizer(self, recipe: Recipe) -> None:
        """Refuses a recipe that asks for another tokenizer: the weights know this one's ids.

        Keys that it does not give ask for nothing; sampling is its own.
        """
        ours, theirs = recipe.tokenizer.model_dump(), self.recipe.tokenizer.model_dump()
        problems = []
        for key in type(recipe.tokenizer).model_fields:
            if key not in recipe.tokenizer.model_fields_set or key == "sampling":
                continue
            here, there, name = ours[key], theirs[key], _TOKENIZER_FILES.get(key)
            if name is None and here != there:
                problems.append(
                    f"tokenizer.{key}: {value_in_words(here)} here and {value_in_words(there)} "
                    f"in {self.folder}, whose tokenizer is used: leave the key out, or give the "
                    "same"
                )
            if name and here and not _holds(Path(here), self.tokenizers.files.get(name)):
                problems.append(
                    f"tokenizer.{key}: {here} is not the tokenizer of {self.folder}, which is "
                    "used: leave the key out"
                )
        if problems:
            raise RecipeError(recipe.name, problems)


def described(folder: str, update: int | None) -> str:
    """A folder and an update (None: unknown), such as "runs/general (update 1,200)"."""
    return folder if update is None else f"{folder} (update {update:,})"


@dataclass(frozen=True)
class Transfer:
    """Which weights of a source model fit another recipe, by name and shape."""

    taken: tuple[str, ...]  # tensors that begin with the source's weights
    fresh: tuple[str, ...]  # tensors that the source lacks
    reshaped: dict[str, tuple[Shape, Shape]]  # tensors of another shape: there, and here
    left: tuple[str, ...]  # the source's that are not taken
    weights: tuple[int, int]  # how many numbers are taken, and how many there are
    differing: dict[str, tuple[Any, Any]]  # keys of [model] that change what weights mean

    @classmethod
    def by(cls, recipe: Recipe, source: SourceModel) -> Transfer:
        """Compares a recipe's network with a model, by name and shape.

        Raises ``ModelError`` if nothing that was learned fits but biases.
        """
        own = tensors_of(_network(recipe, source.tokenizers))
        shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
        there = {name: tuple(weight.shape) for name, weight in source.weights.items()}
        taken = [name for name, shape in shapes.items() if there.get(name) == shape]
        pointers = {source.weights[name].data_ptr() for name in taken}
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
                for name, weight in source.weights.items()
                if name not in shapes and weight.data_ptr() not in pointers
            ),
            weights=(
                sum(own[name].numel() for name in taken),
                sum(tensor.numel() for tensor in own.values()),
            ),
            differing=differing_model_keys(source.recipe, recipe),
        )
        if all(own[name].ndim < 2 for name in taken):
            raise ModelError(
                f"none of the weights of {source.folder} fits the recipe: "
                f"{in_words(found.differing)}: leave these keys out of [model], and they are as "
                "they are there"
            )
        return found

    @property
    def whole(self) -> bool:
        """Whether every parameter begins with the source's weights."""
        return not self.fresh and not self.reshaped

    @property
    def tensors(self) -> tuple[int, int]:
        """How many tensors are taken, and how many there are."""
        return len(self.taken), len(self.taken) + len(self.fresh) + len(self.reshaped)

    def line(self) -> str:
        """How much is taken and what is not, with some of the names, in one line."""
        (taken, count), (weights, of_weights) = self.tensors, self.weights
        line = f"{taken} of {count} tensors, {weights:,} of {of_weights:,} parameters taken"
        groups = {
            "new": self.fresh,
            "of another shape": tuple(self.reshaped),
            "left there": self.left,
        }
        line += "".join(f"; {what}: {_some(names)}" for what, names in groups.items() if names)
        return f"{line}; {in_words(self.differing)}" if self.differing else line

    def record(self) -> dict[str, Any]:
        """All of it as plain values, for JSON."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self)))  # with lists for tuples
        return {"tensors": [*self.tensors], "parameters": values.pop("weights"), **values}


def _network(recipe: Recipe, tokenizers: Tokenizers) -> nn.Module:
    """A network without weights: its names and shapes."""
    with without_memory():
        return task_for(recipe).build_model(tokenizers)


def _under_all_names(model: ModelFolder, read: Tensors) -> Tensors:
    """The weights under every name: a shared one is stored once, and may not be shared here."""
    with naming_recipe(model.path):
        network = _network(model.recipe, model.tokenizers)
    check_shapes(tensors_of(network), read, model.file(WEIGHTS))
    stored: dict[int, str] = {}
    every = {
        n: one for n, one in network.state_dict(keep_vars=True).items() if isinstance(one, Tensor)
    }
    return {name: read[stored.setdefault(id(one), name)] for name, one in every.items()}


def differing_model_keys(theirs: Recipe, ours: Recipe) -> dict[str, tuple[Any, Any]]:
    """The keys of [model] by which two models' weights mean different things, with both values.

    A model's recipe has the keys that its cells had when it was trained; others are at their
    defaults.
    """
    there = theirs.model
    with suppress(ValidationError):  # the cell of a package that is not installed stays as it is
        there = Model.model_validate(there.model_dump(), context=Checks(cells=True))
    differing = differing_keys(theirs.model_copy(update={"model": there}), ours)
    found = {
        key: values
        for key, values in differing.items()
        if key.startswith("model.") and key.rpartition(".")[2] not in _HARMLESS
    }
    others = [key.removesuffix("kind") for key in found if key.endswith(".cell.kind")]
    return {  # of a cell of another kind its options tell nothing more
        key: values
        for key, values in found.items()
        if key.endswith(".kind") or not key.startswith(tuple(others))
    }


def take(model: torch.nn.Module, weights: dict[str, Tensor], names: tuple[str, ...]) -> None:
    """Copies some weights into a model, by name."""
    own = tensors_of(model)
    for name in names:
        own[name].copy_(weights[name])


def _holds(path: Path, content: bytes | None) -> bool:
    try:
        return read_bytes(path, TOKENIZER_SIZE) == content
    except OSError:
        return False


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
