"""The pairs of any source one by one, from blocks where it is read in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import pytest

from seq2seq.data.reading import corpus, read_blocks
from seq2seq.data.reading.rows import FROM_START, Start
from seq2seq.errors import DataError
from seq2seq.recipe.data import LinesSource, Source
from seq2seq.storage.lines import corpus_blocks, split_block
from seq2seq.text.cleaning import RawPair


def read_lines(path: str) -> Iterator[bytes]:
    return chain.from_iterable(map(split_block, corpus_blocks(path)))


def decoded(number: int, source: bytes, target: bytes) -> RawPair:
    try:
        return RawPair(number, source.decode(), target.decode())
    except UnicodeDecodeError:
        sides = (text.decode("utf-8", "replace") for text in (source, target))
        return RawPair(number, *sides, True)


def read_pairs(source: Source, start: Start = FROM_START) -> Iterator[RawPair]:
    if not isinstance(source, LinesSource):
        yield from corpus.read_pairs(source, start)
        return
    for block in read_blocks(source, start):
        columns = [block.column(name).to_pylist() for name in ("line", "source", "target")]
        yield from map(decoded, *columns)


def problem(source: Source) -> str:
    """What is said of a source that cannot be read."""
    with pytest.raises(DataError) as error:
        list(read_pairs(source))
    return str(error.value)
