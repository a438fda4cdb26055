"""A prepared folder, which ``prepare`` writes and training reads, and its ``manifest.json``."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, PositiveFloat

from seq2seq.data.arrow import Dataset, PairDataset, Ragged
from seq2seq.data.mixture import Mixture, sources_of
from seq2seq.data.preparing.statistics import PrepareReport
from seq2seq.data.reading.corpus import source_files
from seq2seq.errors import DataError
from seq2seq.recipe import Data, Recipe
from seq2seq.recipe.base import left_out
from seq2seq.recipe.data import TsvSource
from seq2seq.recipe.files import recipe_from_toml
from seq2seq.recipe.packaged import quickstart_files, without_phrasebook
from seq2seq.storage.atomic import file_digest
from seq2seq.storage.checked_json import DIGEST, check_structure, dumps, loads
from seq2seq.storage.layout import MANIFEST, PREPARED_FILES, RECIPE, SPLITS, split_file
from seq2seq.storage.lines import begins_with_mark
from seq2seq.storage.whole import JSON_SIZE, RECIPE_SIZE, read_bytes
from seq2seq.text.tokenizer import Tokenizers

__all__ = ["Dataset", "PairDataset", "PreparedData", "Ragged"]

_PATH_KEYS = {"path", "source_path", "target_path"}
_MODEL_KEYS = {"model", "source_model", "target_model"}

FORMAT = 1
READING = 2
"""Rises where the same files are read otherwise than before; up to 0.3.0 manifests had none."""
_SKETCHED = 2**20  # bytes at each of three places

_PHRASEBOOK = {
    "train.en": "2da090ed453a8f8f859c1f665db4d05e762b136ee731b1923d5c5bc84546dc35",
    "train.de": "fc02ac2afd8aadcb893a9f5d6d4892d4e4a2c989e4d34d60ab742af19b34c673",
    "val.en": "1fe7894f525e34c6f03624781f10d9ad7773b058db74f990343aee53b3edcf67",
    "val.de": "9c5ef5f819cea3cbf3b10d5f4c3216c30d0c016aa0b7dd239fdfc33ecda23741",
    "test.en": "aae639a9fa7d4a1e86f28853cef3cdcf4561454e870f62a2db961c0560310e21",
    "test.de": "383e4df2d73a4e5b4afb5f8c91da0ab7912e0c5eb18bc3a59acfe62b7356beea",
}
"""What the files of the quickstart are where a folder of version 0.3.0 says "phrasebook"."""

_PACKAGES = ("numpy", "pyarrow", "sentencepiece", "seq2seq")


InputDigests = dict[str, dict[str, str]]
"""SHA-256 of the files that were read, by split and path."""


class _Tables(BaseModel):
    data: dict[str, Any]
    cleaning: dict[str, Any]
    tokenizer: dict[str, Any]


class _Mixture(BaseModel):
    temperature: PositiveFloat
    corpora: list[tuple[str, int, int, PositiveFloat]]


class ManifestShape(BaseModel):
    """What is relied on of ``manifest.json``."""

    digest: str
    files: dict[str, Annotated[str, Field(pattern=DIGEST)]]
    inputs: InputDigests
    recipe_digest: str
    recipe: _Tables
    report: PrepareReport
    mixture: _Mixture | None = None


@dataclass(frozen=True)
class PreparedData:
    """A prepared folder, opened."""

    folder: Path
    recipe: Recipe  # what it was made by
    tokenizers: Tokenizers
    manifest: dict[str, Any]  # what it says of itself; see ``write_manifest``
    stored: Dataset | None  # the cleaned training pairs; None where they are streamed
    val: Dataset
    test: Dataset | None  # None where the recipe names no test pairs

    @classmethod
    def open(cls, folder: Path, *, verify: bool = True) -> PreparedData:
        """Opens a prepared folder; the pairs stay on the disk.

        With ``verify`` every file is compared with its hash, and read (seconds a gigabyte). It is a
        DataError if the folder is missing, not a prepared one, damaged or of another format, and a
        ModelError if a tokenizer cannot be used.
        """
        folder = Path(folder)
        manifest = read_manifest(folder)
        if verify:
            check_files(folder, manifest["files"])
        path = folder / RECIPE
        try:
            text = read_bytes(path, RECIPE_SIZE).decode("utf-8")
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
        tokenizers = Tokenizers.load(folder)
        if verify:
            for pairs in splits.values():
                pairs.check(tokenizers.source.size, tokenizers.target.size)
        return cls(
            folder,
            recipe_from_toml(text, str(path), cells=False),
            tokenizers,
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
    def train(self) -> Dataset:
        """The cleaned training pairs; a DataError if they are streamed."""
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

    def check_fits(
        self,
        recipe: Recipe,
        remedy: str = "prepare again into another folder, or change the recipe",
    ) -> None:
        """Checks that a recipe would have prepared the same data; a DataError names what differs.

        Its tables on cleaning and the tokenizer must be the same; its sources are compared where
        it names any. A file that is named by another path is the same if its bytes are, or if it
        is not on this machine; a tokenizer's model is if its bytes are.
        """
        here, wanted = self.manifest["recipe"], data_tables(recipe)
        for key in left_out(recipe.tokenizer):  # this asks for nothing
            wanted["tokenizer"][key] = here["tokenizer"].get(key)
        here = {**here, "data": dict(here["data"])}
        for tables in (here, wanted):
            tables.pop("seed", None)  # another one may train on the same pairs
        for split in SPLITS:
            if wanted["data"].get(split) is None:
                here["data"][split] = None
        if "held_out" not in here["data"] or "held_out" not in wanted["data"]:
            for tables in (here, wanted):  # one of them names its validation pairs, or nothing
                tables["data"].pop("held_out", None)
        differences = [
            f"{key} is {value_in_words(ours)} there but {value_in_words(theirs)} in the recipe"
            for key, ours, theirs in _differences("", here, wanted)
            if not (self._is_our_model(key, theirs) or self._is_our_input(key, ours, theirs))
        ]
        if differences:
            more = f" and {len(differences) - 2} more" if len(differences) > 2 else ""
            raise DataError(
                f"{self.folder}: was prepared with a different recipe: "
                f"{'; '.join(differences[:2])}{more}: {remedy}"
            )

    def changed_inputs(self, recipe: Recipe) -> list[str]:
        """The paths of a recipe's files that have changed since, of those on this machine."""
        changed = []
        for split in SPLITS:
            known = self._known(split)
            digest = _digester(split, recipe.data.stream is not None)
            for path in _paths(recipe.data, split):
                before = known.get(os.path.normpath(path))
                if before is not None and Path(path).is_file() and digest(path) != before:
                    changed.append(path)
        return changed

    def changed_error(self, files: list[str]) -> DataError:
        """Says what may be done about the files that ``changed_inputs`` found."""
        trained_on = "what was prepared" if self.stored is not None else "what they are now"
        return DataError(
            f"{', '.join(files)}: changed since {self.folder} was prepared (the SHA-256 "
            "differs): prepare again into another folder and begin a new run with it, or train on "
            f"with {trained_on}: --changed-data"
        )

    def _is_our_input(self, key: str, ours: object, theirs: object) -> bool:
        """Whether a file is ours under another path, or is not on this machine."""
        _, split, name = f"{key}..".split(".")[:3]
        if name not in _PATH_KEYS or not (isinstance(theirs, str) and isinstance(ours, str)):
            return False
        if os.path.normpath(ours) == os.path.normpath(theirs):
            return True  # whether it has changed is asked by changed_inputs
        split = split.partition("[")[0]
        digest = _digester(split, streamed(self.manifest))
        known = self._known(split).get(os.path.normpath(ours))
        return not Path(theirs).exists() or digest(theirs) == known

    def _known(self, split: str) -> dict[str, str]:
        """What was read for a split, by plain path: up to 0.4.0 one might have ``..`` in it."""
        inputs = self.manifest["inputs"].get(split, {})
        return {os.path.normpath(path): digest for path, digest in inputs.items()}

    def _is_our_model(self, key: str, path: object) -> bool:
        name = key.removeprefix("tokenizer.")
        if name not in _MODEL_KEYS or not isinstance(path, str) or not Path(path).is_file():
            return False
        if self.manifest["recipe"]["tokenizer"].get(name) is None:
            return False
        tokenizers = self.tokenizers
        ours = tokenizers.target if name == "target_model" else tokenizers.source
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


def value_in_words(value: Any) -> str:
    """A key's value as a recipe has it; of a table, the files."""
    if value is None:
        return "not given"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return f"a list of {len(value)} corpora"
    if isinstance(value, dict):
        return " and ".join(repr(value[key]) for key in value if key in _PATH_KEYS) or "a table"
    return repr(value)


def data_tables(recipe: Recipe) -> dict[str, Any]:
    """Takes from a recipe the tables that determine the prepared data, as plain values.

    Subword sampling, and how corpora are mixed, are left out: that happens in training. So is what
    adds no pairs.
    """
    tables = recipe.model_dump(mode="json", include={"data", "cleaning", "tokenizer"})
    del tables["tokenizer"]["sampling"]
    data = tables["data"]
    for table in _tables_of(data):
        if table["kind"] == "tsv":  # what is not said was 0 and 1 in version 0.3.0
            for number, side in enumerate(("source", "target")):
                table[side] = number if table[side] is None else table[side]
    del data["temperature"]
    if data["train"] is None or data["val"] is not None:
        del data["held_out"]
    for key in ("kind", "problem", "length", "train_size", "val_size", "seed", "washout"):
        if data[key] is None:  # of text, as before there were problems
            del data[key]
    data["stream"] = data["stream"] is not None
    if not data["stream"]:
        del data["stream"]
    if recipe.data.train is not None and isinstance(recipe.data.train, tuple):
        for part in data["train"]:
            del part["weight"], part["label"]
    if shares := recipe.text.augment.shares:
        tables |= {f"text.augment.{kind}": share for kind, share in shares.items()}
        tables["seed"] = recipe.seed
    return tables


def _tables_of(data: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The table of each corpus in a recipe's plain table of data."""
    for split in SPLITS:
        parts = data.get(split) or []
        yield from parts if isinstance(parts, list) else [parts]


def same_content(manifest: Mapping[str, Any], recipe: Recipe) -> bool:
    """Whether a recipe would prepare what a manifest tells of: files count by their content."""
    here, wanted = manifest["recipe"], data_tables(recipe)
    if any(_differences("", _by_content(here, None), _by_content(wanted, None))):
        return False  # whatever is in the files, which it takes time to hash
    digests = input_digests(recipe.data)
    here, wanted = _by_content(here, manifest["inputs"]), _by_content(wanted, digests)
    return not any(_differences("", here, wanted))


def read_otherwise(manifest: Mapping[str, Any], data: Data) -> bool:
    """Whether this version may read a recipe's files otherwise than the one that prepared them.

    Up to 0.3.0 a mark at a text's beginning was text, and so was the header of a table, whose lines
    might have any number of columns.
    """
    if manifest.get("reading") == READING:
        return False
    read = [one.source for split in SPLITS for one in sources_of(data, split)]
    return any(
        isinstance(one, TsvSource) or any(map(begins_with_mark, source_files(one))) for one in read
    )


def _by_content(
    tables: dict[str, Any], inputs: Mapping[str, Mapping[str, str]] | None
) -> dict[str, Any]:
    """A recipe's tables with the digest of each file in its path's place; None: with nothing."""
    tables = json.loads(json.dumps(tables))
    for split in SPLITS:
        for table in _tables_of({split: tables["data"].get(split)}):
            for key in _PATH_KEYS & table.keys():
                known = {} if inputs is None else inputs.get(split, {})
                table[key] = None if inputs is None else known.get(table[key], table[key])
    return tables


def digest_of(values: Any) -> str:
    """Hashes anything that JSON can hold: the SHA-256 of its canonical JSON."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _paths(data: Data, split: str) -> list[str]:
    return [path for one in sources_of(data, split) for path in source_files(one.source)]


def _digester(split: str, streamed: bool) -> Callable[[str], str]:
    """The function that hashes a split's files: whole, or in part where they are streamed."""
    return sketch_digest if split == "train" and streamed else file_digest


def sketch_digest(path: Path | str) -> str:
    """Hashes a file that is too large to be read twice.

    It is the SHA-256, in hexadecimal digits, of the file's size and of a mebibyte each at its
    beginning, in the middle and at the end.
    """
    size = Path(path).stat().st_size
    found = hashlib.sha256(f"{size} ".encode())
    with Path(path).open("rb") as file:
        for place in (0, size // 2, max(0, size - _SKETCHED)):
            file.seek(place)
            found.update(file.read(_SKETCHED))
    return found.hexdigest()


def streamed(manifest: Mapping[str, Any]) -> bool:
    """Whether a prepared folder's training pairs are streamed."""
    return bool(manifest["recipe"]["data"].get("stream"))


def input_digests(data: Data) -> dict[str, dict[str, str]]:
    """Hashes the files that a recipe reads: for each split that is there, by path.

    The hub has none: the recipe alone describes it. One that cannot be read is a DataError.
    """
    try:
        found = {}
        for split in SPLITS:
            digest = _digester(split, data.stream is not None)
            if sources_of(data, split):
                found[split] = {path: digest(path) for path in _paths(data, split)}
        return found
    except OSError as error:
        raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None


def _mixture_of(data: Data, report: PrepareReport) -> dict[str, Any] | None:
    """The temperature, and each corpus's name, first pair, pair after its last, and weight.

    None where the recipe names no list of corpora, or streams them.
    """
    if not isinstance(data.train, tuple) or data.stream is not None:
        return None
    corpora: list[tuple[str, int, int, float]] = []
    start = 0
    kept = {one.name: one.kept for split in report.splits for one in split.corpora}
    for one in sources_of(data, "train"):
        corpora.append((one.name, start, start + kept[one.name], one.weight))
        start += kept[one.name]
    return {"temperature": data.temperature, "corpora": corpora}


def write_manifest(
    folder: Path, recipe: Recipe, inputs: Mapping[str, Mapping[str, str]], report: PrepareReport
) -> None:
    """Writes the manifest of a complete folder; ``inputs`` is what ``input_digests`` gave."""
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
    content = {name: digest for name, digest in files.items() if name != RECIPE}
    tables = data_tables(recipe)
    mixture = _mixture_of(recipe.data, report)
    manifest = {
        "format": FORMAT,
        "reading": READING,
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in _PACKAGES},
        },
        "digest": digest_of(content),
        "files": files,
        "inputs": inputs,
        "recipe_digest": digest_of(tables),
        "recipe": tables,
        "report": report.to_json(),
        **({"mixture": mixture} if mixture else {}),
    }
    (folder / MANIFEST).write_bytes(dumps(manifest))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Reads and checks the manifest of a prepared folder, not the files that it names.

    It is a DataError if there is none, it is damaged, or of another format.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {what}: 'seq2seq prepare RECIPE -o {folder}' makes it")
    try:
        written = read_bytes(path, JSON_SIZE)
        manifest = loads(written)
    except FileNotFoundError:
        raise DataError(
            f"{folder}: not a prepared folder (it has no {MANIFEST}): "
            f"'seq2seq prepare RECIPE -o FOLDER' makes one"
        ) from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: damaged ({error}): prepare it again") from None
    found = manifest.get("format")
    if found != FORMAT:
        raise DataError(
            f"{path}: its format is {found!r}, this version reads {FORMAT}: prepare it again"
        )
    wanted = {"digest", "files", "inputs", "recipe_digest", "recipe", "report"}
    if missing := sorted(wanted - manifest.keys()):
        raise DataError(f"{path}: damaged (no {', '.join(missing)}): prepare it again")
    try:
        check_structure(written, ManifestShape)
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}): prepare it again") from None
    return _without_phrasebook(manifest)


def _without_phrasebook(manifest: dict[str, Any]) -> dict[str, Any]:
    """Names the quickstart's files in a manifest of 0.3.0, which made their text by a grammar."""
    data = without_phrasebook(manifest["recipe"]["data"])
    if data == manifest["recipe"]["data"]:
        return manifest
    inputs = {split: dict(digests) for split, digests in manifest["inputs"].items()}
    for split in SPLITS:
        for part in _tables_of({split: manifest["recipe"]["data"].get(split)}):
            if part["kind"] == "phrasebook" and not (split == "train" and streamed(manifest)):
                paths = quickstart_files(part["split"])
                inputs[split] |= {path: _PHRASEBOOK[Path(path).name] for path in paths}
    tables = {**manifest["recipe"], "data": data}
    return {**manifest, "recipe": tables, "recipe_digest": digest_of(tables), "inputs": inputs}


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Compares files of a prepared folder, given by name, with their SHA-256; else a DataError."""
    for name, digest in files.items():
        if name not in PREPARED_FILES:
            raise DataError(f"{folder / MANIFEST}: damaged (it names {name!r}): prepare it again")
        try:
            found = file_digest(folder / name)
        except OSError as error:
            raise DataError(
                f"{folder / name}: cannot be read: {error.strerror}: prepare the folder again"
            ) from None
        if found != digest:
            raise DataError(
                f"{folder / name}: damaged or changed since it was prepared (its SHA-256 is not "
                f"the one in {MANIFEST}): prepare the folder again"
            )
