"""A model's folder, as every engine reads it: what must be there and what must fit what.

Nothing here needs torch. The messages are the same for all engines.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError

from seq2seq.errors import ModelError
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import recipe_from_toml
from seq2seq.text.tokenizer import Tokenizers

WEIGHTS = "weights.safetensors"
CARD = "card.json"

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
        recipe = _stored_recipe(folder)
        tokenizers = Tokenizers.load(folder)
        weights_file(folder)
        _check_tokenizers(folder, tokenizers)
        return cls(folder, recipe, tokenizers)


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


def _stored_recipe(folder: Path) -> Recipe:
    if not folder.exists():
        raise ModelError(f"{folder}: no such folder; expected one that seq2seq train has written")
    if not folder.is_dir():
        raise ModelError(f"{folder}: a file, but a model is a folder: give the one it lies in")
    path = folder / "recipe.toml"
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise ModelError(
            f"{folder}: no recipe.toml, so this is no model: expected a folder that seq2seq train "
            "has written"
        ) from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path}: damaged: it is not UTF-8 text") from None
    return recipe_from_toml(text, str(path))


def _check_tokenizers(folder: Path, tokenizers: Tokenizers) -> None:
    """Another tokenizer of the same size fits the weights, and makes nonsense of every word."""
    path = folder / CARD
    try:
        card = json.loads(path.read_bytes())
    except FileNotFoundError:
        return  # a run may be stopped between its first weights and their card
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise ModelError(f"{path}: damaged: it is not JSON") from None
    trained_with = card.get("tokenizer_sha256") if isinstance(card, dict) else None
    if trained_with in (None, tokenizers.digest):
        return
    names = " with ".join(tokenizers.files)
    raise ModelError(
        f"{folder}: {names} is not the tokenizer that the model was trained with: {CARD} gives "
        f"its sha256 as {str(trained_with)[:16]}..., not {tokenizers.digest[:16]}...; put the "
        "tokenizer of the training back"
    )
