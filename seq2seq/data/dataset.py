"""A prepared folder: what ``prepare`` writes, and training reads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seq2seq.data.arrow import PairDataset, Ragged
from seq2seq.data.mixture import Mixture, sources_of
from seq2seq.data.preparing.manifest import (
    check_files,
    data_tables,
    digester,
    read_manifest,
    sketch_digest,
    streamed,
)
from seq2seq.data.preparing.statistics import PrepareReport
from seq2seq.data.reading.corpus import source_files
from seq2seq.errors import DataError
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import recipe_from_toml
from seq2seq.storage.atomic import file_digest
from seq2seq.storage.layout import RECIPE, SPLITS, split_file
from seq2seq.text.tokenizer import Tokenizers

__all__ = ["PairDataset", "PreparedData", "Ragged"]

_PATH_KEYS = {"path", "source_path", "target_path"}
_MODEL_KEYS = {"model", "source_model", "target_model"}


@dataclass(frozen=True)
class PreparedData:
    """A prepared folder, opened.

    Attributes:
        folder: The folder.
        recipe: What it was made by.
        tokenizers: One a side.
        manifest: What it says of itself; see :mod:`seq2seq.data.preparing.manifest`.
        stored: The cleaned training pairs; None where they are streamed.
        val: All validation pairs.
        test: All test pairs, where the recipe names any.
    """

    folder: Path
    recipe: Recipe
    tokenizers: Tokenizers
    manifest: dict[str, Any]
    stored: PairDataset | None
    val: PairDataset
    test: PairDataset | None

    @classmethod
    def open(cls, folder: Path, *, verify: bool = True) -> PreparedData:
        """Opens a prepared folder.

        Args:
            folder: The folder.
            verify: Whether to compare every file with its hash first (seconds a gigabyte).

        Returns:
            The data; the pairs stay on the disk.

        Raises:
            DataError: If it is missing, not a prepared folder, damaged or of another format.
            ModelError: If a tokenizer cannot be used.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if verify:
            check_files(folder, manifest["files"])
        path = folder / RECIPE
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{path}: cannot be read ({error}): prepare the folder again") from None
        splits = {
            split: PairDataset.open(folder / split_file(split))
            for split in SPLITS
            if split_file(split) in manifest["files"]
        }
        needed = ("val",) if streamed(manifest) else ("train", "val")
        if missing := [split for split in needed if split not in splits]:
            raise DataError(f"{folder}: damaged (no {' and no '.join(missing)}): prepare it again")
        return cls(
            folder,
            recipe_from_toml(text, str(path), cells=False),
            Tokenizers.load(folder),
            manifest,
            splits.get("train"),
            splits["val"],
            splits.get("test"),
        )

    @property
    def digest(self) -> str:
        """A hash of the content: the pairs and the tokenizers."""
        return str(self.manifest["digest"])

    @property
    def train(self) -> PairDataset:
        """The cleaned training pairs.

        Raises:
            DataError: If they are streamed.
        """
        if self.stored is None:
            raise DataError(
                f"{self.folder}: its training pairs are streamed (data.stream), and none are "
                "stored: prepare a part of them by a recipe without data.stream"
            )
        return self.stored

    def mixture(self, recipe: Recipe) -> Mixture | None:
        """The training corpora, with a recipe's weights; None where there is only one."""
        known = self.manifest.get("mixture")
        return None if known is None else Mixture.of(recipe.data, known)

    @property
    def report(self) -> PrepareReport:
        """What ``prepare`` found out."""
        return PrepareReport.from_json(self.manifest["report"])

    def check_fits(self, recipe: Recipe) -> None:
        """Checks that a recipe would have prepared the same data.

        Its tables on cleaning and the tokenizer must be the same; its sources are compared where
        it names any. A file that is named by another path is the same if its bytes are, or if it
        is not on this machine; a tokenizer's model is if its bytes are.

        Args:
            recipe: The recipe to train.

        Raises:
            DataError: If a key differs; the message names all that do, with both values.
        """
        here, wanted = self.manifest["recipe"], data_tables(recipe)
        for split in SPLITS:
            if wanted["data"].get(split) is None:
                here = {**here, "data": {**here["data"], split: None}}
        differences = [
            f"{key} is {_show(ours)} there but {_show(theirs)} in the recipe"
            for key, ours, theirs in _differences("", here, wanted)
            if not (self._is_our_model(key, theirs) or self._is_our_input(key, ours, theirs))
        ]
        if differences:
            raise DataError(
                f"{self.folder}: was prepared with a different recipe: {'; '.join(differences)}: "
                "prepare again into another folder, or change the recipe"
            )

    def changed_inputs(self, recipe: Recipe) -> list[str]:
        """Returns the paths of a recipe's files that have changed since they were prepared.

        A file that is not on this machine has not.
        """
        changed = []
        for split in SPLITS:
            named = sources_of(recipe.data, split)
            paths = [path for one in named for path in source_files(one.source)]
            known = self.manifest["inputs"].get(split, {})
            digest = digester(recipe.data, split)
            for path in paths:
                if path in known and Path(path).is_file() and digest(path) != known[path]:
                    changed.append(path)
        return changed

    def changed_error(self, files: list[str]) -> DataError:
        """Says what may be done about the files that ``changed_inputs`` found."""
        trained_on = "what was prepared" if self.stored is not None else "what they are now"
        return DataError(
            f"{', '.join(files)}: changed since {self.folder} was prepared (the SHA-256 is another "
            "one): prepare again into another folder and begin a new run with it, or train on "
            f"with {trained_on}: --changed-data"
        )

    def _is_our_input(self, key: str, ours: object, theirs: object) -> bool:
        """The same file under another path, or one that is not on this machine, is no other."""
        _, split, name = f"{key}..".split(".")[:3]
        if name not in _PATH_KEYS or not isinstance(theirs, str):
            return False
        split = split.partition("[")[0]
        digest = sketch_digest if split == "train" and streamed(self.manifest) else file_digest
        path = Path(theirs)
        return not path.exists() or digest(path) == self.manifest["inputs"][split].get(ours)

    def _is_our_model(self, key: str, path: object) -> bool:
        name = key.removeprefix("tokenizer.")
        if name not in _MODEL_KEYS or not isinstance(path, str) or not Path(path).is_file():
            return False
        tokenizers = self.tokenizers
        ours = tokenizers.target if name == "target_model" else tokenizers.source
        if self.manifest["recipe"]["tokenizer"].get(name) is None:
            return False
        return file_digest(path) == ours.digest


def _differences(prefix: str, here: Any, wanted: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(here, dict) and isinstance(wanted, dict):
        for key in dict.fromkeys([*here, *wanted]):
            yield from _differences(
                f"{prefix}.{key}" if prefix else key, here.get(key), wanted.get(key)
            )
    elif isinstance(here, list) and isinstance(wanted, list) and len(here) == len(wanted):
        for number, (ours, theirs) in enumerate(zip(here, wanted, strict=True)):
            yield from _differences(f"{prefix}[{number}]", ours, theirs)
    elif here != wanted:
        yield prefix, here, wanted


def _show(value: Any) -> str:
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return f"a list of {len(value)} corpora"
    return repr(value)
