"""What a prepared folder says of itself: ``manifest.json``."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from seq2seq.data.mixture import sources_of
from seq2seq.data.preparing.statistics import PrepareReport
from seq2seq.data.reading.corpus import source_files
from seq2seq.errors import DataError
from seq2seq.recipe import Data, Recipe
from seq2seq.recipe.packaged import quickstart_files, without_phrasebook
from seq2seq.storage.atomic import file_digest
from seq2seq.storage.checked_json import dumps, loads
from seq2seq.storage.layout import MANIFEST, PREPARED_FILES, RECIPE, SPLITS

FORMAT = 1
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


def data_tables(recipe: Recipe) -> dict[str, Any]:
    """Takes from a recipe the tables that determine the prepared data, as plain values.

    Subword sampling, and how corpora are mixed, are left out: that happens in training.
    """
    tables = recipe.model_dump(mode="json", include={"data", "cleaning", "tokenizer"})
    del tables["tokenizer"]["sampling"]
    data = tables["data"]
    del data["temperature"]
    data["stream"] = data["stream"] is not None
    if not data["stream"]:
        del data["stream"]
    if recipe.data.train is not None and isinstance(recipe.data.train, tuple):
        for part in data["train"]:
            del part["weight"], part["label"]
    return tables


def digest_of(values: Any) -> str:
    """Hashes anything that JSON can hold: the SHA-256 of its canonical JSON."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def digester(data: Data, split: str) -> Callable[[str], str]:
    """Returns what hashes a split's files: wholly, or in part where they are streamed."""
    return sketch_digest if split == "train" and data.stream is not None else file_digest


def sketch_digest(path: Path | str) -> str:
    """Hashes a file's size and some of its content, for files that are too large to be read twice.

    Args:
        path: The file.

    Returns:
        A SHA-256, in hexadecimal digits, of the size and a mebibyte each at the beginning, in the
        middle and at the end.
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

    The hub has none: the recipe alone describes it.

    Raises:
        DataError: If a file cannot be read.
    """
    digests: dict[str, dict[str, str]] = {}
    for split in SPLITS:
        sources = sources_of(data, split)
        if not sources:
            continue
        paths = [path for one in sources for path in source_files(one.source)]
        try:
            digest = digester(data, split)
            digests[split] = {path: digest(path) for path in paths}
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be read: {error.strerror}") from None
    return digests


def mixture_of(data: Data, report: PrepareReport) -> dict[str, Any] | None:
    """Describes the corpora in a prepared training file.

    Returns:
        The temperature, and for each corpus its name, its first pair, the pair after its last,
        and its weight; None where the recipe names no list of corpora, or streams them.
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
    """Writes the manifest of a folder that is otherwise complete.

    Args:
        folder: The folder.
        recipe: What it was made by.
        inputs: What ``input_digests`` gave.
        report: What was found out.
    """
    files = {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.is_file()}
    content = {name: digest for name, digest in files.items() if name != RECIPE}
    tables = data_tables(recipe)
    mixture = mixture_of(recipe.data, report)
    manifest = {
        "format": FORMAT,
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

    Raises:
        DataError: If there is none, it is damaged, or of another format.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: {what}: 'seq2seq prepare RECIPE -o {folder}' makes it")
    try:
        manifest = loads(path.read_bytes())
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
    return _without_phrasebook(manifest)


def _without_phrasebook(manifest: dict[str, Any]) -> dict[str, Any]:
    """Names the quickstart's files in a manifest of 0.3.0, which made their text by a grammar."""
    data = without_phrasebook(manifest["recipe"]["data"])
    if data == manifest["recipe"]["data"]:
        return manifest
    inputs = {split: dict(digests) for split, digests in manifest["inputs"].items()}
    for split in SPLITS:
        parts = manifest["recipe"]["data"].get(split) or []
        for part in parts if isinstance(parts, list) else [parts]:
            if part["kind"] == "phrasebook" and not (split == "train" and streamed(manifest)):
                paths = quickstart_files(part["split"])
                inputs[split] |= {path: _PHRASEBOOK[Path(path).name] for path in paths}
    tables = {**manifest["recipe"], "data": data}
    return {**manifest, "recipe": tables, "recipe_digest": digest_of(tables), "inputs": inputs}


def check_files(folder: Path, files: Mapping[str, str]) -> None:
    """Checks files in a prepared folder by their SHA-256, which are given by name.

    Raises:
        DataError: If one is missing or was changed.
    """
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
