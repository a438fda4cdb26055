"""A model's folder, as every engine reads it: what must be there and what must fit what.

A run's folder is one as soon as its first validation is done, and a training may publish into it
while it is read: the files of a model never change, and the card, which names them, is swapped for
that of the next. Nothing here needs torch. The messages are the same for all engines.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, NonNegativeInt
from safetensors import SafetensorError

from seq2seq.errors import ModelError
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import recipe_from_toml
from seq2seq.storage import checked_json
from seq2seq.storage.checked_json import DIGEST
from seq2seq.storage.layout import (
    CARD,
    ENCODER,
    ENCODERS,
    RECIPE,
    STEPS,
    WEIGHTS,
    plain_name,
    published_file,
    published_name,
)
from seq2seq.storage.whole import GRAPH_SIZE, JSON_SIZE, RECIPE_SIZE, read_bytes
from seq2seq.text.tokenizer import Tokenizers

Array = TypeVar("Array")
T = TypeVar("T")

_TRIES = 100
_AGAIN = (
    "copy the folder again, or go on with the training, which writes it anew with the next better "
    "weights"
)


Digest = Annotated[str, Field(pattern=DIGEST)]


class _Validation(BaseModel):
    update: NonNegativeInt | None = None
    epoch: float | None = None
    loss: float | None = None


class CardShape(BaseModel):
    """What is relied on of a model's card, which may say much else."""

    files: dict[str, Digest] | None = None
    weights_sha256: Digest | None = None
    tokenizer_sha256: Digest | None = None
    recipe_sha256: Digest | None = None
    update: NonNegativeInt | None = None
    validation: _Validation | None = None


@dataclass(frozen=True)
class ModelFolder:
    """What was read of a run or model folder; weights and graphs are the engine's to read."""

    path: Path
    recipe: Recipe
    tokenizers: Tokenizers  # those that the model was trained with
    card: Mapping[str, Any] = field(default_factory=dict)  # with the checksums of its files

    @classmethod
    def open(cls, path: str | Path) -> ModelFolder:
        """Reads a folder, all but its weights and graphs."""
        folder = Path(path)
        text = _recipe_text(folder)
        recipe = recipe_from_toml(text, str(folder / RECIPE), cells=False)
        if recipe.data.kind is not None:
            raise ModelError(
                f"{folder}: trained on the problem {recipe.data.problem!r}, so this is no "
                "translation model: expected one that was trained on pairs of texts"
            )
        tokenizers = Tokenizers.load(folder)
        model = cls(folder, recipe, tokenizers, _card(folder))
        if not model.file(ENCODER).exists():
            model._check_has_weights()
        _check_tokenizers(folder, tokenizers, model.card)
        _check_recipe(folder, text, model.card)
        return model

    @property
    def is_exported(self) -> bool:
        """Whether it holds graphs alone, as ``seq2seq export`` writes them."""
        return not self.file(WEIGHTS).exists()

    @property
    def has_graphs(self) -> bool:
        """Whether ONNX Runtime can run it: a run's card says so, since older graphs may be left."""
        return self.is_exported or all(name in self._sums for name in (ENCODER, STEPS["float32"]))

    def has_precision(self, precision: str) -> bool:
        """Whether there is a graph of a precision: one that is too rough is not published."""
        return self.has_graphs and (self.is_exported or STEPS[precision] in self._sums)

    def encoder(self, precision: str) -> str:
        """The graph that reads sources in a precision: older models have one for all."""
        name = ENCODERS[precision]
        return name if name in self._sums else ENCODER

    @property
    def graphs_were_tried(self) -> bool:
        """Whether the training made graphs, or could not: version 0.3 and older did not try."""
        return isinstance(self.card.get("files"), dict)

    @property
    def _sums(self) -> Mapping[str, str]:
        return digests(self.card)

    def file(self, name: str) -> Path:
        """Where the weights or a graph are: in a run, under a name of their content."""
        if digest := self._sums.get(name):
            return published_file(self.path, name, digest)
        # Where the card was lost, the only one there is.
        alike = [one for one in self.path.iterdir() if plain_name(one.name) == name]
        return alike[0] if len(alike) == 1 else self.path / name

    def graph_file(self, name: str) -> bytes:
        """Reads a file of the exported model, refusing any but that which the card names."""
        path = self.file(name)
        again = "export the model again" if self.is_exported else _AGAIN
        try:
            content = read_bytes(path, GRAPH_SIZE)
        except FileNotFoundError:
            raise ModelError(f"{path}: missing: {again}") from None
        except OSError as error:
            raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
        if name not in self._sums:
            raise ModelError(f"{self.path / CARD}: damaged: it has no checksum of {name}; {again}")
        if hashlib.sha256(content).hexdigest() != self._sums[name]:
            raise ModelError(f"{path}: damaged: not what {CARD} says; {again}")
        if name.endswith(".onnx"):
            check_self_contained(content, path)
        return content

    def weights(self, load: Callable[[bytes], dict[str, Array]]) -> dict[str, Array]:
        """Reads the weights by ``load`` of safetensors, as the engine's kind of arrays."""
        self._check_has_weights()
        path = self.file(WEIGHTS)
        try:
            content = read_bytes(path)
        except OSError as error:
            raise ModelError(f"{path} is damaged or no safetensors file: {error}") from error
        digest = hashlib.sha256(content).hexdigest()
        if self._sums.get(WEIGHTS, digest) != digest:
            raise ModelError(f"{path}: damaged: its sha256 is not the one in {CARD}: {_AGAIN}")
        try:
            return load(content)
        except (SafetensorError, LookupError) as error:  # LookupError: of unknown numbers
            raise ModelError(f"{path} is damaged or no safetensors file: {error}") from error

    def _check_has_weights(self) -> None:
        folder = self.path
        if self.file(WEIGHTS).exists():
            return
        if digest := self._sums.get(WEIGHTS):
            raise ModelError(f"{folder / published_name(WEIGHTS, digest)}: missing: {_AGAIN}")
        if self.file(ENCODER).exists():
            raise ModelError(
                f"{folder}: an exported model has no {WEIGHTS}, so that only the engine 'onnx' can "
                "translate with it: for anything else use the run that it was made of"
            )
        raise ModelError(
            f"{folder}: no {WEIGHTS}: this is a prepared corpus, or a run that has not reached "
            "its first validation; train first: seq2seq train"
        )


def digests(card: Mapping[str, Any]) -> dict[str, str]:
    """The SHA-256 of weights and graphs, by their plain names, as far as a card names them."""
    graphs, weights = card.get("files"), card.get("weights_sha256")
    found = {WEIGHTS: weights, **(graphs if isinstance(graphs, dict) else {})}
    return {name: digest for name, digest in found.items() if isinstance(digest, str)}


def read_published(folder: str | Path, read: Callable[[], T]) -> T:
    """Reads a folder into which a training may publish in this very moment.

    The files of a model go when those of the next are complete, and then ``read`` fails with a
    ``ModelError``, which is raised unless the card has changed: then the next model is read.
    """
    card = Path(folder) / CARD
    for _ in range(_TRIES):
        before = _content(card)
        try:
            return read()
        except ModelError:
            if _content(card) == before:
                raise
    return read()


def _content(path: Path) -> bytes | None:
    try:
        return read_bytes(path, JSON_SIZE)
    except OSError:
        return None


def check_self_contained(graph: bytes, origin: Path | str) -> None:
    """Refuses a graph that would read other files: a model is no way to a user's data."""
    # ONNX names the other file under this key; none of our graphs has the word. Nor are they in
    # ONNX Runtime's own format, which has another way to name one.
    if b"location" in graph or graph[4:8] == b"ORTM":
        raise ModelError(f"{origin}: refers to data in other files, which a model may not do")


def recipe_digest(text: str) -> str:
    """Hashes those tables of a recipe, given as TOML with all keys, that a finished model needs.

    The SHA-256 does not change with what only training reads: a run may go on for longer than was
    planned.
    """
    tables = tomllib.loads(text)
    return checked_json.digest(
        {key: tables.get(key) for key in ("tokenizer", "model", "translation")}
    )


def _recipe_text(folder: Path) -> str:
    if not folder.exists():
        raise ModelError(
            f"{folder}: no such folder; expected one that seq2seq train or export wrote"
        )
    if not folder.is_dir():
        raise ModelError(
            f"{folder}: a file, but a model is a folder: give the folder that it is in"
        )
    path = folder / RECIPE
    try:
        return read_bytes(path, RECIPE_SIZE).decode("utf-8")
    except FileNotFoundError:
        raise ModelError(
            f"{folder}: no recipe.toml, so this is not a model: expected a folder that seq2seq "
            "train has written"
        ) from None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ModelError(f"{path}: damaged: it is not UTF-8 text") from None


def _card(folder: Path) -> dict[str, Any]:
    path = folder / CARD
    try:
        return checked_json.loads(read_bytes(path, JSON_SIZE), CardShape)
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


def _check_recipe(folder: Path, recipe: str, card: Mapping[str, Any]) -> None:
    """One wrong bit in a recipe is still a recipe."""
    if card.get("recipe_sha256") not in (None, recipe_digest(recipe)):
        raise ModelError(
            f"{folder / RECIPE}: damaged or changed since the model was trained: the sha256 of its "
            f"tables tokenizer, model and translation is not the one in {CARD}: put back the one "
            "of the training"
        )
