"""Pairs in columns: the same pairs as one by one, in batches that a simple rule cuts."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.pairs import decoded

from seq2seq.data import arrow as storage
from seq2seq.data.preparing.worker import Work
from seq2seq.data.reading import read_blocks
from seq2seq.data.reading.corpus import read_pairs
from seq2seq.errors import DataError
from seq2seq.recipe import Cleaning
from seq2seq.recipe.data import LinesSource, Source, TsvSource
from seq2seq.storage import encodings
from seq2seq.storage import lines as storage_lines
from seq2seq.text.cleaning import RawPair

KEEP_ALL = Cleaning(empty=False, max_length=None, invalid_utf8=False, control_characters=False)
LINE = st.lists(
    st.sampled_from(
        [b"a", b" ", b"\r", b"\t", "é".encode(), "\u2028😀".encode(), b"\xff", b"\xc3"]
    ),
    max_size=6,
).map(b"".join)


def pairs_of(source: Source) -> list[RawPair]:
    """Every pair: of files that are aligned by the definition of a line, of others one by one."""
    if not isinstance(source, LinesSource):
        return list(read_pairs(source))
    sides = []
    for path in (source.source_path, source.target_path):
        *lines, last = Path(path).read_bytes().split(b"\n")
        sides.append([line.removesuffix(b"\r") for line in lines] + ([last] if last else []))
    return [decoded(n, *pair) for n, pair in enumerate(zip(*sides, strict=True), 1)]


def one_by_one(source: Source, pairs: int, characters: int) -> list[list[RawPair]]:
    """The batches by their definition: full at so many pairs, or at so many characters."""
    blocks: list[list[RawPair]] = [[]]
    for pair in pairs_of(source):
        if (
            len(blocks[-1]) == pairs
            or sum(len(one.source + one.target) for one in blocks[-1]) >= characters
        ):
            blocks.append([])
        blocks[-1].append(pair)
    return blocks


def in_columns(source: Source) -> list[list[RawPair]]:
    """Every block's pairs, decoded as before cleaning."""
    blocks = []
    for block in read_blocks(source):
        batch, notes = Work(KEEP_ALL, None)(block)
        columns = [batch.column(name).to_pylist() for name in ("line", "source", "target")]
        pairs = list(map(RawPair, *columns))
        assert notes.read == len(pairs) == block.num_rows
        blocks.append(pairs)
    return blocks


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(LINE, LINE), min_size=1, max_size=20),
    st.booleans(),
    st.integers(1, 9),
    st.integers(1, 5),
    st.integers(1, 30),
)
def test_the_same_pairs_in_the_same_batches(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[tuple[bytes, bytes]],
    last_end: bool,
    buffer: int,
    pairs: int,
    characters: int,
) -> None:
    folder = tmp_path_factory.mktemp("blocks")
    lines = [(b"text", b"text"), *lines, (b"last\r", b"last")]
    for name, side in (("a", 0), ("b", 1)):
        text = b"\n".join(line[side] for line in lines) + b"\n" * last_end
        (folder / name).write_bytes(text)
    tabs = [b"\t".join(part.replace(b"\t", b"") for part in line) for line in lines]
    (folder / "tsv").write_bytes(b"\n".join(tabs))
    for source in (
        LinesSource(source_path=str(folder / "a"), target_path=str(folder / "b")),
        TsvSource(path=str(folder / "tsv")),
    ):
        with (
            patch.object(storage_lines, "_BUFFER", buffer),
            patch.object(encodings, "_NOISE", 10**6),
            patch.object(storage, "BATCH_PAIRS", pairs),
            patch.object(storage, "BATCH_CHARACTERS", characters),
        ):
            expected = one_by_one(source, pairs, characters)
            found = in_columns(source)
        plain = [[pair._replace(invalid_utf8=False) for pair in block] for block in expected]
        assert found == plain


def test_replaced_bytes_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"fine\ncaf\xe9\n\xef\xbf\xbd\nb\n")
    (tmp_path / "b").write_bytes(b"fine\nb\nb\n\xed\xa0\x80\n")
    source = LinesSource(source_path=str(tmp_path / "a"), target_path=str(tmp_path / "b"))
    (block,) = read_blocks(source)
    kept, notes = Work(KEEP_ALL, None)(block)
    assert (notes.replaced, notes.replaced_line, notes.dropped) == (2, 2, ())
    assert kept.column("source").to_pylist() == ["fine", "caf\ufffd", "\ufffd", "b"]
    kept, notes = Work(Cleaning(), None)(block)
    assert (notes.read, notes.replaced, notes.replaced_line) == (4, 0, None)
    assert [(one.rule, one.count, one.first_line) for one in notes.dropped] == [
        ("invalid_utf8", 2, 2)
    ]
    assert kept.column("line").to_pylist() == [1, 3]


@pytest.mark.parametrize(("left", "right"), [(5, 3), (3, 5), (4, 6)])
def test_files_that_do_not_pair(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int, right: int
) -> None:
    monkeypatch.setattr(storage, "BATCH_PAIRS", 2)
    for name, count in (("a", left), ("b", right)):
        (tmp_path / name).write_text("x\n" * count)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    with pytest.raises(DataError) as error:
        list(read_blocks(LinesSource(source_path=a, target_path=b)))
    assert str(error.value).startswith(f"{a} has {left} lines but {b} has {right}: line n of one")
    with pytest.raises(DataError, match=r"no such file"):
        list(read_blocks(LinesSource(source_path=a, target_path=str(tmp_path / "none"))))
