"""What comes with the package: its recipes, and the text that the quickstart's recipe names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import seq2seq


def packaged_folder() -> Path:
    """Returns the folder of the recipes: in the package, or at the top of a checkout."""
    package = Path(seq2seq.__file__).parent
    installed = package / "recipes"
    return installed if installed.is_dir() else package.parent / "recipes"


def packaged_recipes() -> dict[str, Path]:
    """Finds the recipes that come with the package: each one's file by its name, sorted."""
    paths = sorted(packaged_folder().rglob("*.toml"), key=lambda path: path.stem)
    return {path.stem: path for path in paths}


def with_absolute_paths(text: str) -> str:
    """Makes a packaged recipe's paths of packaged files absolute, so that a copy finds them."""

    def absolute(quoted: re.Match[str]) -> str:
        path = packaged_folder() / quoted[1]
        return f'"{path.as_posix()}"' if path.is_file() else quoted[0]

    return re.sub(r'"([^"\n]+)"', absolute, text)


def quickstart_files(split: str) -> tuple[str, str]:
    """Returns the paths of the quickstart's English and German text of a split."""
    folder = packaged_folder() / "quickstart"
    return str(folder / f"{split}.en"), str(folder / f"{split}.de")


def without_phrasebook(data: Any) -> Any:
    """Names the files of the quickstart where version 0.3.0 stored ``kind = "phrasebook"``."""
    if isinstance(data, list):
        return [without_phrasebook(one) for one in data]
    if not isinstance(data, dict):
        return data
    if data.get("kind") != "phrasebook":
        return {key: without_phrasebook(value) for key, value in data.items()}
    table = dict(data)
    source, target = quickstart_files(str(table.pop("split", "train")))
    return {**table, "kind": "lines", "source_path": source, "target_path": target}
