"""Validation pairs that are held out of the training pairs, where a recipe names none.

A pair's hash draws it: those with the lowest hashes are held out. So they come evenly from the
whole corpus, they are the same ones each time, and pairs that are alike go together: none of them
stays in training, and validation keeps the first. A pair that makes up much of the corpus is not
held out, as little would be left.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from seq2seq.data.arrow import RAW_SCHEMA, read_batches, writer
from seq2seq.data.preparing.statistics import CorpusCount, Seen, SplitCount
from seq2seq.data.preparing.worker import Notes, Result, digests_of, packed
from seq2seq.errors import DataError, number_of
from seq2seq.storage.atomic import new_file
from seq2seq.storage.layout import split_file

SHARE = 10
"""One of so many training pairs is held out, if that is not more than the recipe allows."""
MUCH = 20
"""A pair is not held out that is more than one in so many, unless all are."""


def hold_out(train: SplitCount, folder: Path, most: int) -> SplitCount:
    """Moves pairs from the folder's training file to a new validation file, and counts them.

    Memory grows with ``most`` alone. It is a DataError if there is only one pair, or if none of a
    corpus would be left to train on.
    """
    file = folder / split_file("train")
    lowest, copies = _lowest_digests(file, 2 * most + MUCH)
    wanted = min(most, train.kept // SHARE or 1, len(lowest) // 2)
    if not wanted:
        alike = "there is only one pair"
        if train.kept > 1:
            alike = f"all {train.kept:,} pairs are the same"
        raise DataError(
            f"data.train: {alike}, so that none can be held out for validation: name more text, "
            "or validation pairs as data.val"
        )
    rare = lowest[copies * MUCH <= train.kept]
    chosen = (rare if len(rare) else lowest)[:wanted]
    val = SplitCount("val", Seen(), counts=[CorpusCount("val")])
    ends = np.cumsum([one.kept for one in train.counts])
    row = 0
    with (
        new_file(file) as rest,
        pa.ipc.new_file(rest, RAW_SCHEMA) as left,
        writer(folder / split_file("val"), RAW_SCHEMA) as held,
    ):
        for batch in read_batches(file):
            hashes = digests_of(batch)
            out = np.isin(hashes, chosen)
            notes = Notes(int(out.sum()), digests=packed(hashes[out]))
            left.write_batch(batch.filter(pa.array(~out)))
            held.write_batch(val.cleaned(Result(batch.filter(pa.array(out)), notes)))
            if notes.read:
                corpus = train.counts[int(np.searchsorted(ends, row, side="right"))]
                corpus.kept -= notes.read
                corpus.held_out += notes.read
            row += batch.num_rows
    for number, one in enumerate(train.counts):
        if not one.kept:
            raise DataError(
                f"data.train[{number}] ({one.name}): all of it "
                f"({number_of(one.held_out, 'pair')}) is held out for validation: leave it "
                "out, or name validation pairs as data.val"
            )
    return val


def _lowest_digests(file: Path, most: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The lowest hashes of a file's pairs, in their order, each once; and how often each is there.

    What is among them at the end was so all the time: its count is whole.
    """
    lowest, copies = np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    for batch in read_batches(file):
        found = np.concatenate([lowest, digests_of(batch)])
        counts = np.concatenate([copies, np.ones(batch.num_rows, dtype=np.int64)])
        lowest, place = np.unique(found, return_inverse=True)
        copies = np.bincount(place, counts).astype(np.int64)[:most]
        lowest = lowest[:most]
    return lowest, copies


def count_repeated(train: Path, *others: Path) -> list[int]:
    """Counts the pairs of each other file that are pairs of the training file, too."""
    hashes = [np.concatenate([digests_of(one) for one in read_batches(file)]) for file in others]
    known = np.unique(np.concatenate(hashes))
    found = np.zeros(known.shape, dtype=np.bool_)
    for batch in read_batches(train):
        numbers = digests_of(batch)
        place = np.minimum(np.searchsorted(known, numbers), known.size - 1)
        found[place[known[place] == numbers]] = True
    return [int(np.isin(one, known[found]).sum()) for one in hashes]
