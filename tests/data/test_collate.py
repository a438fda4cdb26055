"""Batches whose targets are read backwards, against the batch of targets turned by hand."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.models import make_batch
from support.ragged import ragged

from seq2seq.data.arrow import Ragged
from seq2seq.data.collate import Batch, collate

ROWS = st.lists(st.lists(st.integers(4, 9), max_size=4), min_size=1, max_size=5)


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(Batch))


@given(ROWS)
def test_rows_are_turned_one_by_one(rows: list[list[int]]) -> None:
    turned = ragged(rows).backwards()
    assert [turned[i].tolist() for i in range(len(rows))] == [row[::-1] for row in rows]


def test_rows_of_a_longer_array_are_turned() -> None:
    part = Ragged(np.arange(9, dtype=np.int32), np.array([2, 5, 5, 7]))
    turned = part.backwards()
    assert [turned[i].tolist() for i in range(3)] == [[4, 3, 2], [], [6, 5]]


@given(ROWS)
def test_targets_are_read_backwards(rows: list[list[int]]) -> None:
    found = collate(ragged(rows), ragged(rows), backwards=True)
    assert same(found, make_batch([(row, row[::-1]) for row in rows]))


@given(ROWS)
def test_pairs_twice_are_those_pairs_and_the_same_again(rows: list[list[int]]) -> None:
    pairs = [(row, row[::-1]) for row in rows]
    assert same(make_batch(pairs).twice(), make_batch(pairs + pairs))
