"""Training pairs that are added to those of the corpus: other capitals, typing errors, words alone.

What becomes of a pair depends on the recipe's seed and on its place among the training pairs, on
nothing else. Each batch's new pairs follow it in a batch of their own; pairs of words follow the
corpus in which they were found first.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seq2seq.data.arrow import BATCH_PAIRS, RAW_SCHEMA, read_batches
from seq2seq.data.preparing.alignment import MOST_PAIRS, word_pairs
from seq2seq.data.preparing.statistics import SplitCount
from seq2seq.recipe.text import Augment
from seq2seq.storage.atomic import new_file
from seq2seq.storage.layout import split_file
from seq2seq.text.case import capitals, title

Pair = tuple[str, str]
Row = tuple[str, str, int]
"""A pair, and the line that it came from."""

WORDS = "words"
_DRAWS, _TYPING = 31, 32  # what random numbers are for
_STOP = re.compile(r"(?<![.。．।۔])[.。．।۔]\s*\Z")
_TYPED = re.compile(r"[^\W\d_]{4,}")
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")


def augment(count: SplitCount, folder: Path, shares: dict[str, float], seed: int) -> set[int]:
    """Adds pairs to the folder's training file, and counts them.

    ``shares`` are those of ``Augment`` that are not 0. Returned are the numbers of the batches that
    were added. Memory grows with the corpus only for ``words``, and there up to a bound.
    """
    file = folder / split_file("train")
    ends = np.cumsum([one.kept for one in count.counts])
    for one in count.counts:
        one.added = {kind: (0, round(share * one.kept)) for kind, share in shares.items()}
    words = _words(file, ends, round(shares.get(WORDS, 0.0) * count.kept))
    added = set[int]()
    row = number = 0
    with new_file(file) as rest, pa.ipc.new_file(rest, RAW_SCHEMA) as out:
        for batch in read_batches(file):
            out.write_batch(batch)
            number += 1
            if not batch.num_rows:
                continue
            corpus = int(np.searchsorted(ends, row, side="right"))
            made = {
                kind: list(_changed(batch, row, kind, share, seed))
                for kind, share in shares.items()
                if kind != WORDS
            }
            row += batch.num_rows
            if row == ends[corpus] and WORDS in shares:
                made[WORDS] = words[corpus]
            count.counts[corpus].add({kind: len(rows) for kind, rows in made.items()})
            rows = [one for some in made.values() for one in some]
            for begin in range(0, len(rows), BATCH_PAIRS):
                columns = zip(*rows[begin : begin + BATCH_PAIRS], strict=True)
                out.write_batch(pa.record_batch(list(map(pa.array, columns)), schema=RAW_SCHEMA))
                added.add(number)
                number += 1
    return added


def without_stop(text: str) -> str:
    """The text without its full stop; itself where it has none, or ends in several dots."""
    return _STOP.sub("", text)


def with_typo(text: str, number: int) -> str:
    """The text with a typing error in one of its words of four letters and more, if it has any.

    Two letters swapped, one dropped, one doubled, or one by its neighbour on the keyboard: the
    number decides which, and where.
    """
    draw = random.Random(number)
    words = list(_TYPED.finditer(text))
    if not words:
        return text
    word = draw.choice(words)
    at = word.start() + draw.randrange(len(word[0]) - 1)
    one, two = text[at], text[at + 1]
    errors = [two + one, two, one + one + two, _neighbour(one, draw) + two]
    return text[:at] + draw.choice([e for e in errors if e != one + two]) + text[at + 2 :]


def _neighbour(letter: str, draw: random.Random) -> str:
    row = next((keys for keys in _KEYS if letter.lower() in keys), letter)
    at = row.find(letter.lower())
    beside = draw.choice([row[n] for n in (at - 1, at + 1) if 0 <= n < len(row)] or [letter])
    return beside.upper() if letter.isupper() else beside


def _both(change: Callable[[str], str]) -> Callable[[str, str, int], Pair]:
    return lambda source, target, number: (change(source), change(target))


def _no_stop(source: str, target: str, number: int) -> Pair:
    short = without_stop(source), without_stop(target)
    return short if short[0] != source and short[1] != target else (source, target)


_CHANGES: dict[str, Callable[[str, str, int], Pair]] = {
    "upper": _both(capitals),
    "title": _both(title),
    "lower": _both(str.lower),
    "no_stop": _no_stop,
    "typos": lambda source, target, number: (with_typo(source, number), target),
}
_NUMBERS = {kind: number for number, kind in enumerate(Augment.model_fields)}


def _draws(purpose: int, seed: int, kind: str, row: int, count: int) -> npt.NDArray[np.uint64]:
    """A random number for each of so many pairs from a place on: the same however they are cut."""
    source = np.random.PCG64((purpose, seed, _NUMBERS[kind])).advance(row)
    return source.random_raw(count)


def _changed(batch: pa.RecordBatch, row: int, kind: str, share: float, seed: int) -> Iterator[Row]:
    """The changed forms of a share of a batch's pairs, the first of which has this place."""
    chosen = np.flatnonzero(_draws(_DRAWS, seed, kind, row, batch.num_rows) < int(share * 2**64))
    numbers = _draws(_TYPING, seed, kind, row, batch.num_rows)[chosen]
    for one, number in zip(batch.take(pa.array(chosen)).to_pylist(), numbers, strict=True):
        pair = _CHANGES[kind](one["source"], one["target"], int(number))
        if pair != (one["source"], one["target"]) and all(pair):
            yield *pair, one["line"]


def _words(file: Path, ends: npt.NDArray[np.intp], most: int) -> list[list[Row]]:
    """Pairs of words, for each corpus those that were found there first."""
    found: list[list[Row]] = [[] for _ in ends]
    if not most:
        return found
    total, row = int(ends[-1]), 0
    pairs: list[Row] = []
    places: list[int] = []
    for batch in read_batches(file):
        rows = np.arange(row, row + batch.num_rows)
        row += batch.num_rows
        # Of more than are used, row n is taken where n * used / total passes a whole number.
        used = min(total, MOST_PAIRS)
        rows = rows[(rows + 1) * used // total > rows * used // total]
        taken = batch.take(pa.array(rows - (row - batch.num_rows)))
        pairs += zip(*(column.to_pylist() for column in taken.columns), strict=True)
        places += rows.tolist()
    for one in word_pairs((pair[0] for pair in pairs), (pair[1] for pair in pairs), most):
        corpus = int(np.searchsorted(ends, places[one.row], side="right"))
        found[corpus].append((one.source, one.target, pairs[one.row][2]))
    return found
