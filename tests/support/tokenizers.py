"""Small SentencePiece tokenizers, trained on made-up lines."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from seq2seq import recipe
from seq2seq.text.sampling import Sampler
from seq2seq.text.tokenizer import Tokenizer, Tokenizers, train_tokenizers

WORDS = (
    "der Hund Hunde hundert läuft laut . , und eine kleine Katze über Wiesen Wiese am Rad-Weg "
    "Hundehütte grün"
).split()
KINDS = [
    ("unigram", False),
    ("unigram", True),
    ("bpe", False),
    ("bpe", True),
]


def lines() -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, size=6)) for _ in range(300)]


@cache
def tokenizer(kind: str, byte_fallback: bool, **more: Any) -> Tokenizer:
    """47 pieces, and the 256 bytes with byte fallback."""
    size = 47 + 256 * byte_fallback
    options = {"kind": kind, "byte_fallback": byte_fallback, "vocab_size": size, **more}
    return train_tokenizers(recipe.Tokenizer.model_validate(options), lines(), lines()).target


def resplit(
    by: Tokenizer | Sampler, rows: list[list[int]], alpha: float, seed: int
) -> list[list[int]]:
    """``resplit`` of texts that are lists of ids."""
    offsets = np.cumsum([0, *map(len, rows)])
    flat = np.fromiter((piece for row in rows for piece in row), np.int32, offsets[-1])
    values, bounds = by.resplit(flat, offsets, alpha, seed)
    return [values[start:stop].tolist() for start, stop in pairwise(bounds.tolist())]


def sample(by: Tokenizer, texts: list[str], alpha: float, seed: int) -> list[list[int]]:
    """Texts in splits that are drawn by chance."""
    return resplit(by, by.encode(texts), alpha, seed)


def save(tokenizers: Tokenizers, folder: Path) -> None:
    """Writes the files that ``Tokenizers.load`` reads."""
    for name, proto in tokenizers.files.items():
        (folder / name).write_bytes(proto)
