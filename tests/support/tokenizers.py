"""Small SentencePiece tokenizers, trained on made-up lines."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from seq2seq import recipe
from seq2seq.text.tokenizer import Tokenizer, train_tokenizers

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
