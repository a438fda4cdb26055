"""A small corpus with a little of everything, and recipes for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from seq2seq.recipe import Recipe

WORDS = ("kato", "hundo", "domo", "granda", "bela", "vidas", "kuras", "ruĝa", "kaj", "sed")


def sentence(number: int) -> str:
    return " ".join(WORDS[number * k % 7 + number % 4] for k in range(1, 3 + number % 11))


@pytest.fixture
def corpus(tmp_path: Path) -> dict[str, list[str]]:
    """Writes train, val and test; val has an empty line, and a pair that cleaning would drop."""
    files: dict[str, list[str]] = {}
    for split, count in (("train", 900), ("val", 40), ("test", 25)):
        sources = [f"{sentence(n)} {n}" for n in range(count)]
        targets = [line.upper().replace("Ĝ", "ß") for line in sources]
        if split == "val":
            sources[3], targets[3] = "", ""
            sources[4] = "kato\0 \u2028hundo"
        files[f"{split}.a"], files[f"{split}.b"] = sources, targets
    for name, lines in files.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), "utf-8", newline="\n")
    return files


@pytest.fixture
def recipe_for(tmp_path: Path) -> Callable[..., Recipe]:
    """Makes a recipe for the corpus; keywords replace tables."""

    def make(encoding: str | None = None, **tables: object) -> Recipe:
        data = {
            split: {
                "source_path": str(tmp_path / f"{split}.a"),
                "target_path": str(tmp_path / f"{split}.b"),
                "encoding": encoding,
            }
            for split in ("train", "val", "test")
        }
        values = {"data": data, "tokenizer": {"vocab_size": 90}, **tables}
        return Recipe.model_validate(values)

    return make
