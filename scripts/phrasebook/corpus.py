"""The phrasebook: an English-German corpus sampled from a grammar.

Twenty thousand sentence pairs, made up from a lexicon of our own by rules. There is nothing to
download and nobody to ask for a licence, and since the rules are rules, each English sentence has
one German translation. It is for the quickstart and for the tests: a corpus that a
small model can learn in minutes and that still holds what makes German hard for one. The verb goes
to the end, articles answer to gender and case, pronouns to nouns far before them, numbers change
places, and one word of English is two of German at the two ends of the sentence.

The corpus is a pure function of the seed: the same on every machine and in every Python.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal, get_args

from .dice import Dice
from .grammar import PHENOMENA, sample

Split = Literal["train", "val", "test"]
Tagged = tuple[str, str, str]  # phenomenon, English, German

_TOTAL = 20_000
_HELD_OUT = 500  # sentences in each of val and test
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")


def words(sentence: str) -> list[str]:
    """Split a sentence into its words, without punctuation.

    Args:
        sentence: the sentence.

    Returns:
        The words as they are written; twenty-one and Anna's are one each.
    """
    return _WORD.findall(sentence)


def phenomena() -> tuple[str, ...]:
    """Name the phenomena of grammar that the corpus is made of.

    Returns:
        The names.
    """
    return tuple(PHENOMENA)


def _distinct(seed: int) -> list[Tagged]:
    """Sample every phenomenon up to its share, with no English and no German sentence twice."""
    shares = sum(share for share, _ in PHENOMENA.values())
    seen_english: set[str] = set()
    seen_german: set[str] = set()
    corpus: list[Tagged] = []
    for name, (share, _) in PHENOMENA.items():
        wanted = len(corpus) + _TOTAL * share // shares
        for english, german in sample(name, seed):
            if english in seen_english or german in seen_german:
                continue
            seen_english.add(english)
            seen_german.add(german)
            corpus.append((name, english, german))
            if len(corpus) == wanted:
                break
    return corpus


@lru_cache(maxsize=4)
def _corpus(seed: int) -> dict[str, tuple[Tagged, ...]]:
    """Sample the corpus and split it, so that every word of val and test is in train too."""
    corpus = _distinct(seed)
    Dice(seed, "order").shuffle(corpus)
    # how many sentences each word is in, with the two languages kept apart
    contents = [{*words(en), *(f"{word}/de" for word in words(de))} for _, en, de in corpus]
    left = Counter(word for content in contents for word in content)
    held: list[Tagged] = []
    train: list[Tagged] = []
    for entry, content in zip(corpus, contents, strict=True):
        if len(held) < 2 * _HELD_OUT and all(left[word] > 1 for word in content):
            held.append(entry)
            left.subtract(content)
        else:
            train.append(entry)
    # what could not be held out has gathered at the front: a part of train is to be like the whole
    Dice(seed, "train").shuffle(train)
    return {"train": tuple(train), "val": tuple(held[::2]), "test": tuple(held[1::2])}


def tagged(split: Split, seed: int = 1) -> tuple[Tagged, ...]:
    """Give all of a split, each pair with its phenomenon.

    Args:
        split: train, val or test.
        seed: the seed of the corpus.

    Returns:
        (phenomenon, English, German), in the order of `pairs`.

    Raises:
        ValueError: if there is no such split.
    """
    if split not in get_args(Split):
        raise ValueError(f"no split {split!r} in the phrasebook: choose one of train, val, test")
    return _corpus(seed)[split]


def pairs(split: Split, seed: int = 1, size: int | None = None) -> Iterator[tuple[str, str]]:
    """Give the sentence pairs of a split.

    The three splits share no sentence on either side, and no sentence comes twice within one.

    Args:
        split: train (19,000 pairs), val (500) or test (500).
        seed: the seed of the corpus: another seed, other sentences.
        size: how many pairs; all of them if not given. A smaller split is the beginning of a
            larger one.

    Returns:
        An iterator over (English, German).

    Raises:
        ValueError: if there is no such split, or `size` is below 1 or more than the split has.
    """
    entries = tagged(split, seed)
    if size is not None and not 1 <= size <= len(entries):
        raise ValueError(
            f"size must be between 1 and {len(entries)} for the {split} split, but is {size}"
        )
    return ((english, german) for _, english, german in entries[:size])
