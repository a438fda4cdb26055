"""A corpus and a recipe so small that training is a matter of seconds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from support.quickstart import Split, pairs

from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe

TINY = """
name = "tiny"

[tokenizer]
vocab_size = 150

[model.encoder]
embedding = 12
hidden = 16
dropout = 0.2

[model.decoder]
embedding = 12
hidden = 16
dropout = 0.2
attention = "none"

[training]
epochs = 2
batch_tokens = 400
keep_checkpoints = 3
learning_rate = 5e-3
schedule = {kind = "cosine", warmup = 5}

[training.validation]
every = 10  # many checkpoints a run, for tests of what is saved
lines = 4

[translation]
max_ratio = 1.0
max_extra = 2
"""

AVERAGE = """
[training.average]
kind = "ema"
decay = 0.9
"""


def write_corpus(folder: Path, split: Split, count: int) -> tuple[Path, Path]:
    """Writes the quickstart's first pairs of a split as two files, and returns their paths."""
    source, target = folder / f"{split}.en", folder / f"{split}.de"
    chosen = list(islice(pairs(split), count))
    for path, side in ((source, 0), (target, 1)):
        text = "".join(pair[side] + "\n" for pair in chosen)
        path.write_text(text, encoding="utf-8", newline="\n")
    return source, target


def write_recipe(folder: Path, count: int = 300) -> Path:
    """Writes corpus and recipe into a folder, and returns the recipe's path."""
    write_corpus(folder, "train", count)
    write_corpus(folder, "val", 20)
    data = '[data]\ntrain = ["train.en", "train.de"]\nval = ["val.en", "val.de"]\n'
    path = folder / "tiny.toml"
    path.write_text(TINY + data, encoding="utf-8", newline="\n")
    return path


def tiny_recipe(folder: Path, assignments: Sequence[str] = (), count: int = 300) -> Recipe:
    """The recipe of ``write_recipe`` with some values set."""
    return load_recipe(str(write_recipe(folder, count)), assignments)
