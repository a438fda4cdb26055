"""The text that comes with the package, pair by pair."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from seq2seq.recipe.packaged import quickstart_files

Split = Literal["train", "val", "test"]


def pairs(split: Split) -> Iterator[tuple[str, str]]:
    """English and German of a split."""
    files = (Path(name).read_text(encoding="utf-8") for name in quickstart_files(split))
    english, german = (text.removesuffix("\n").split("\n") for text in files)
    return zip(english, german, strict=True)
