"""A model's folder, as every engine reads it: what must be there and what must fit what.

Nothing here needs torch. The messages are the same for all engines.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError

from seq2seq.errors import ModelError
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import recipe_from_toml
from seq2seq.storage.checked_json import own_sum, unsealed
from seq2seq.text.tokenizer import Tokenizers

WEIGHTS = "weights.safetensors"
CARD = "card.json"
ENCODER = "encoder.onnx"
STEPS = {"float32": "step.onnx", "int8": "step.int8.onnx"}
BODIES = {"float32": "body.onnx", "int8": "body.int8.onnx"}
OUTPUT = "output.safetensors"
SHORTLIST = "shortlist.safetensors"
"""The files of an exported model: the encoder's graph, and the step's in each precision; where it
has a shortlist, that, and the step without its output layer, and that layer by itself."""
RECIPE = "recipe.toml"

Array = TypeVar("Array")
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class ModelFolder:
    """What was read of a run or model folder; the weights are the engine's to read.

    Attributes:
        path: The folder.
        recipe: The recipe stored there.
        tokenizers: The tokenizers stored there, those that the model was trained with.
    """

    path: Path
    recipe: Recipe
    tokenizers: Tokenizers

    @classmethod
    def open(cls, path: str | Path) -> ModelFolder:
        """Reads a folder, all but its weights.

        Args:
            path: A run folder or a model folder.

        Returns:
            What it holds.

        Raises:
            ModelError: If there is no model, or it is damaged or its parts do not fit.
            RecipeError: If its recipe cannot be used.
        """
        folder = Path(path)
        text = _recipe_text(folder)
        recipe = recipe_from_toml(text, str(folder / RECIPE))
        tokenizers = Tokenizers.load(folder)
        if not is_exported(folder):
            weights_file(folder)
        card = _card(folder)
        _check_tokenizers(folder, tokenizers, card)
        _check_sums(folder, text, card)
        return cls(folder, recipe, tokenizers)


def is_exported(folder: Path) -> bool:
    """Whether a folder holds the graphs that ``seq2seq export`` writes.

    Args:
        folder: A run or model folder.

    Returns:
        Whether it does.
    """
    return (folder / ENCODER).exists()


def weights_file(folder: Path) -> Path:
    """Finds a folder's weights.

    Args:
        folder: A run folder or a model folder.

    Returns:
        The path of their file.

    Raises:
        ModelError: If there are none.
    """
    path = folder / WEIGHTS
    if not path.exists() and is_exported(folder):
        raise ModelError(
            f"{folder}: an exported model has no {WEIGHTS}: translate it with the engine 'onnx', "
            "or use the run that it was made of"
        )
    if not path.exists():
        raise ModelError(
            f"{folder}: no {WEIGHTS}: this is a prepared corpus, or a run that has not reached "
            "its first validation; train first: seq2seq train"
        )
    return path


def read_weights(folder: Path, read: Callable[[Path], dict[str, Array]]) -> dict[str, Array]:
    """Reads a folder's weights.

    Args:
        folder: A run folder or a model folder.
        read: ``load_file`` of safetensors, for the engine's kind of arrays.

    Returns:
        Arrays by parameter name.

    Raises:
        ModelError: If there are none, or they are damaged.
    """
    path = weights_file(folder)
    try:
        return read(path)
    except (SafetensorError, OSError) as error:
        raise ModelError(f"{path} is damaged or no safetensors file: {error}") from error


def check_shapes(wanted: Shapes, found: Shapes, origin: Path) -> None:
    """Checks that weights are those of a network.

    Args:
        wanted: The network's shapes by parameter name, each shared one once.
        found: The weights' shapes.
        origin: Where the weights are from, for messages.

    Raises:
        ModelError: If names or shapes differ.
    """
    missing = sorted(wanted.keys() - found.keys())
    unknown = sorted(found.keys() - wanted.keys())
    if missing or unknown:
        raise ModelError(
            f"{origin} does not fit the recipe: it lacks {', '.join(missing) or 'nothing'} and has "
            f"{', '.join(unknown) or 'nothing'} besides; recipe.toml and weights must be of one run"
        )
    for name, shape in wanted.items():
        if tuple(shape) != tuple(found[name]):
            raise ModelError(
                f"{origin}: {name} is {tuple(found[name])}, recipe and tokenizer ask for "
                f"{tuple(shape)}; recipe.toml, tokenizer and weights must be of one run"
            )


def recipe_digest(text: str) -> str:
    """Hashes those tables of a recipe that a finished model depends on.

    Args:
        text: TOML, with all keys.

    Returns:
        A SHA-256 that does not change with the tables that only training reads: a run may go on
        for longer than was planned.
    """
    tables = tomllib.loads(text)
    return own_sum({key: tables.get(key) for key in ("tokenizer", "model", "translation")})


def _recipe_text(folder: Path) -> str:
    if not folder.exists():
        raise ModelError(
            f"{folder}: no such folder; expected one that seq2seq train or export wrote"
        )
    if not folder.is_dir():
        raise ModelError(f"{folder}: a file, but a model is a folder: give the one it lies in")
    path = folder / RECIPE
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ModelError(
            f"{folder}: no recipe.toml, so this is no model: expected a folder that seq2seq train "
            "has written"
        ) from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path}: damaged: it is not UTF-8 text") from None


def _card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        return unsealed(path.read_bytes())
    except FileNotFoundError:
        return {}  # a run may be stopped between its first weights and their card
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ModelError(f"{path}: damaged: {error}") from None


def _check_tokenizers(folder: Path, tokenizers: Tokenizers, card: Mapping[str, Any]) -> None:
    """Another tokenizer of the same size fits the weights, and makes nonsense of every word."""
    trained_with = card.get("tokenizer_sha256")
    if trained_with in (None, tokenizers.digest):
        return
    names = " with ".join(tokenizers.files)
    raise ModelError(
        f"{folder}: {names} is not the tokenizer that the model was trained with: {CARD} gives "
        f"its sha256 as {str(trained_with)[:16]}..., not {tokenizers.digest[:16]}...; put the "
        "tokenizer of the training back"
    )


def _check_sums(folder: Path, recipe: str, card: Mapping[str, Any]) -> None:
    """One wrong bit in the weights is still a number, and one in the recipe still a recipe."""
    if card.get("recipe_sha256") not in (None, recipe_digest(recipe)):
        raise ModelError(
            f"{folder / RECIPE}: damaged or changed since the model was trained: the sha256 of its "
            f"tables tokenizer, model and translation is not the one in {CARD}: put back the one "
            "of the training"
        )
    wanted = card.get("weights_sha256")
    if wanted is None:
        return
    path = folder / WEIGHTS
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    if found != wanted:
        raise ModelError(
            f"{path}: damaged: its sha256 is not the one in {CARD}: copy the folder again, or go "
            "on with the training, which writes it anew where it was stopped midway"
        )
