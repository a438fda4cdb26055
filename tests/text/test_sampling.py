"""Splitting many texts at once, against one word after the other."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from support.quickstart import pairs
from support.tokenizers import resplit

from seq2seq.recipe import Tokenizer as Options
from seq2seq.text import sampling
from seq2seq.text.sampling import Sampler
from seq2seq.text.tokenizer import Tokenizer, train_tokenizers

TEXTS = [english for english, _ in pairs("train")][:400]


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    options = Options(kind=request.param, vocab_size=300, user_defined_symbols=("<x>",))
    return train_tokenizers(options, TEXTS, TEXTS).source


def one_by_one(sampler: Any, rows: list[list[int]], alpha: float, seed: int) -> list[list[int]]:
    """Words begin at the texts' beginnings, at pieces with a space, and around fixed pieces."""
    words: list[list[tuple[int, ...]]] = []
    for row in rows:
        cut: list[list[int]] = []
        for place, piece in enumerate(row):
            alone = sampler._fixed[piece] or (place and sampler._fixed[row[place - 1]])
            if place == 0 or alone or sampler._pieces[piece].startswith("▁"):
                cut.append([])
            cut[-1].append(piece)
        words.append([tuple(word) for word in cut])
    chances = np.random.default_rng(seed).integers(16, size=sum(map(len, words)))
    number = iter(chances.tolist())
    return [
        [piece for word in row for piece in sampler._split(word, alpha, next(number))]
        for row in words
    ]


def test_many_texts_at_once_are_split_as_word_by_word(tokenizer: Tokenizer) -> None:
    texts = ["", *TEXTS[:50], "", "the <x> <x>the \u2603 unknown\u2603", "", TEXTS[0]]
    rows = tokenizer.encode(texts)
    sampler = Sampler(tokenizer.proto)
    found = resplit(sampler, rows, 0.2, 7)
    assert found == one_by_one(Sampler(tokenizer.proto), rows, 0.2, 7)
    assert found != rows
    assert tokenizer.decode(found) == tokenizer.decode(rows)


def test_words_that_a_hash_confuses_are_kept_apart(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = tokenizer.encode(TEXTS[:30])
    expected = resplit(Sampler(tokenizer.proto), rows, 0.2, 3)
    real = np.unique

    def confused(values: Any, **more: Any) -> Any:
        return real(values % np.uint64(3) if values.dtype == np.uint64 else values, **more)

    monkeypatch.setattr(sampling.np, "unique", confused)
    assert resplit(Sampler(tokenizer.proto), rows, 0.2, 3) == expected


def test_nothing_is_nothing(tokenizer: Tokenizer) -> None:
    sampler = Sampler(tokenizer.proto)
    assert resplit(sampler, [], 0.2, 1) == []
    assert resplit(sampler, [[], []], 0.2, 1) == [[], []]
    values, offsets = sampler.resplit(np.zeros(0, np.int32), np.zeros(3, np.int64), 0.2, 1)
    assert [list(values[a:b]) for a, b in pairwise(offsets.tolist())] == [[], []]
