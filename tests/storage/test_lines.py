from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from seq2seq.errors import DataError
from seq2seq.storage import lines
from seq2seq.storage.encodings import (
    HEAD,
    Head,
    encoding_problem,
    is_valid,
    likely_encoding,
)
from seq2seq.storage.lines import (
    LONGEST_LINE,
    _whole_lines,
    corpus_blocks,
    count_lines,
    input_lines,
    offset_after,
    split_block,
)

TEXT = "ein schöner Tag\n".encode()


def text_fault(head: bytes, advice: Mapping[str, str] | None = None) -> str | None:
    return Head(advice).fault(head, end=True)


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("text", TEXT)
    return buffer.getvalue()


def parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"text": ["ein Tag"]}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("head", "fault"),
    [
        (gzip.compress(TEXT, mtime=0), "gzip data: its name must end in .gz"),
        (pa.compress(TEXT, "zstd", asbytes=True), "Zstandard data: its name must end in .zst"),
        (bz2.compress(TEXT), "bzip2 data: unpack it first, or pack it as .gz or .zst"),
        (lzma.compress(TEXT), "xz data: unpack it first, or pack it as .gz or .zst"),
        (zipped(), "a zip archive: unpack it first"),
        (parquet(), "Parquet: write its texts to a file, one a line"),
        (TEXT.decode().encode("utf-16"), "UTF-16 text: convert it to UTF-8"),
        ("\ufeffTag".encode("utf-16-be"), "UTF-16 text: convert it to UTF-8"),
    ],
)
def test_what_writers_write_is_named(head: bytes, fault: str) -> None:
    assert text_fault(head) == f"not plain text but {fault}"


def test_a_readers_own_advice_is_for_its_kind_alone() -> None:
    advice = {"gzip data": "name it .gz"}
    assert (
        text_fault(gzip.compress(TEXT, mtime=0), advice)
        == "not plain text but gzip data: name it .gz"
    )
    assert str(text_fault(bz2.compress(TEXT), advice)).endswith("pack it as .gz or .zst")


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\ufffd")))
@example("BZip")
@example("PARIS")
def test_text_has_no_fault_wherever_it_is_cut(text: str) -> None:
    data = text.encode()
    if not text.startswith(("BZh", "PAR1")):
        assert [end for end in range(len(data) + 1) if text_fault(data[:end])] == []


@pytest.mark.parametrize(("strange", "fault"), [(16, False), (17, True)])
def test_a_little_noise_is_text_of_any_length(strange: int, fault: bool) -> None:
    assert bool(text_fault(bytes(strange))) is fault


@pytest.mark.parametrize(("share", "fault"), [(30, False), (31, True)])
def test_the_share_beyond_which_it_is_no_text(share: int, fault: bool) -> None:
    head = b"\x1b" * share + b"a" * (100 - share)
    told = (
        "not UTF-8 text (31% of its beginning are control characters or not UTF-8): a binary "
        "file, or text in another encoding?"
    )
    assert text_fault(head) == (told if fault else None)


@pytest.mark.parametrize("head", [b"", b"\n", b"\t\r\n\x0b\x0c" * 99, "\u2028\x85".encode() * 99])
def test_line_ends_and_tabs_are_text(head: bytes) -> None:
    assert text_fault(head) is None


# -- what is read ---------------------------------------------------------------------------


def read(path: Path | str) -> list[str]:
    return list(input_lines(str(path), lambda *_: None))


def corpus_lines(path: str) -> Iterator[bytes]:
    return chain.from_iterable(map(split_block, corpus_blocks(path)))


def write(tmp_path: Path, data: bytes, name: str = "file") -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def said(call: Callable[[], object]) -> str:
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [TEXT, bytes(99), b"a" * 70 + b"\xff" * 30, b"a" * 69 + b"\xff" * 31, b"a" * HEAD + bytes(999)],
)
def test_corpora_and_inputs_are_the_same_files(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, content)

    def told(call: Callable[[], list[Any]]) -> str | list[Any]:
        try:
            return call()
        except DataError as error:
            return str(error).partition(" text")[0]  # of a corpus the encoding is guessed, too

    corpus = told(lambda: [one.decode("utf-8", "replace") for one in corpus_lines(str(path))])
    assert corpus == told(lambda: read(path))


PIECES = st.sampled_from([b"\n", b"\r\n", b"\r", b"a", "ä".encode(), b"\x0b", "\u2028".encode()])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(PIECES), buffer=st.integers(1, 9))
def test_lines_are_those_of_the_definition(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], buffer: int
) -> None:
    r"""Split at ``\n``, one ``\r`` before it dropped; however the file comes in."""
    data = b"".join(pieces)
    *ended, last = data.split(b"\n")
    expected = [line.removesuffix(b"\r") for line in ended] + ([last] if last else [])
    path = write(tmp_path, data)
    monkeypatch.setattr(lines, "_BUFFER", buffer)
    assert read(path) == [line.decode() for line in expected]
    assert count_lines(str(path)) == len(expected)
    if not data:
        return
    assert list(corpus_lines(str(path))) == expected
    assert all(block.endswith(b"\n") for block in corpus_blocks(str(path)))
    packed = write(tmp_path, gzip.compress(data, mtime=0), "file.gz")
    assert list(corpus_lines(str(packed))) == expected
    for before in range(len(expected) + 1):
        offset = offset_after(str(path), 0, before)
        rest = b"".join(corpus_blocks(str(path), offset=offset, lines_before=before))
        assert rest == b"".join(line + b"\n" for line in expected[before:])


def test_a_character_cut_by_the_first_look_is_whole(tmp_path: Path) -> None:
    text = "a" + "ü" * HEAD
    assert read(write(tmp_path, f"{text}\n".encode())) == [text]


@pytest.mark.parametrize("buffer", [3, 2**20])
def test_what_is_not_utf8_is_replaced_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, buffer: int
) -> None:
    monkeypatch.setattr(lines, "_BUFFER", buffer)
    path = write(tmp_path, b"one\ncaf\xe9\nthree\n\xff\x00\nfive\n")
    told: list[tuple[int, int]] = []
    found = list(input_lines(str(path), lambda *counts: told.append(counts)))
    assert found == ["one", "caf\ufffd", "three", "\ufffd\x00", "five"]
    assert told == [(2, 2)]


@pytest.mark.parametrize("end", [b"", b"\n", b"\nmore\n"])
@pytest.mark.parametrize("first", [b"", b"one\n"])
def test_the_longest_line(tmp_path: Path, first: bytes, end: bytes) -> None:
    path = write(tmp_path, first + b"x" * LONGEST_LINE + end)
    assert len(read(path)[first.count(b"\n")]) == LONGEST_LINE
    path.write_bytes(first + b"x" * (LONGEST_LINE + 1) + end)
    number = 1 + first.count(b"\n")
    message = f"{path}, line {number}: longer than 16,777,216 bytes: not a sentence"
    assert said(lambda: read(path)) == message
    assert said(lambda: list(corpus_lines(str(path)))) == message


def test_a_line_is_there_as_soon_as_it_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    out, into = os.pipe()
    with os.fdopen(out) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        found = input_lines("-", lambda *_: None)
        for text in ("one", "two"):
            os.write(into, f"{text}\n".encode())
            assert next(found) == text  # and waits for no more
        os.close(into)
        assert list(found) == []


def test_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert said(lambda: read("-")) == "standard input is closed"


def test_a_read_that_fails_midway(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Failing())))
    assert said(lambda: read("-")) == "standard input: cannot be read: Input/output error"


def test_what_would_be_used_up_is_not_counted() -> None:
    assert count_lines("-") is None
    assert count_lines("/dev/null") is None


def test_what_is_no_file(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert said(lambda: read(nowhere)) == f"{nowhere}: no such file"
    assert said(lambda: read(tmp_path)) == f"{tmp_path}: a folder, where a file is expected"
    assert said(lambda: read("a\0b")) == "a\0b: cannot be read: embedded null byte"
    assert read(os.devnull) == []
    assert said(lambda: list(corpus_lines(os.devnull))) == (
        f"{os.devnull}: not a regular file (a pipe or a device); write it to a file"
    )
    empty = write(tmp_path, gzip.compress(b"", mtime=0), "empty.gz")
    assert said(lambda: list(corpus_lines(str(empty)))) == f"{empty}: the file is empty"


# -- however it comes, and whatever it is coded in ------------------------------------------------


def through_a_pipe(monkeypatch: pytest.MonkeyPatch, data: bytes, size: int) -> list[str] | str:
    """Reads standard input that gives so many bytes at a time."""

    class Slow(io.RawIOBase):
        def __init__(self) -> None:
            self.left = data

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            part, self.left = self.left[:size], self.left[size:]
            buffer[: len(part)] = part
            return len(part)

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Slow())))
    found: list[str] = []
    try:
        found.extend(input_lines("-", lambda *_: None))
    except DataError as error:
        return str(error).partition(": ")[2]
    return found


UGLY = st.sampled_from([b"a" * 30, b"\xff" * 9, b"\x00" * 12, b"\n", "ö".encode() * 20, lines.BOM])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(UGLY), st.sampled_from([1, 7, 64, 2**16]))
@example([b"\xff" * 17, b"\n", b"a" * 999, b"\n"], 7)
@example([b"a" * 39, b"\n", b"\xff" * 17, b"\n", b"a" * 999], 1)
@example([b"\x00" * 2 * HEAD], 2**10)
def test_what_is_text_does_not_depend_on_how_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pieces: list[bytes], size: int
) -> None:
    data = b"".join(pieces)
    path = write(tmp_path, data)
    packed = write(tmp_path, gzip.compress(data, mtime=0), "file.gz")

    def told(path: Path) -> list[str] | str:
        try:
            return read(path)
        except DataError as error:
            return str(error).partition(": ")[2]

    assert told(path) == told(packed) == through_a_pipe(monkeypatch, data, size)


@pytest.mark.parametrize("rest", ["", "\n", "A dog\nruns", "A\n\ufeffA\n"])
def test_a_mark_at_the_beginning_is_no_text(tmp_path: Path, rest: str) -> None:
    data = lines.BOM + rest.encode()
    path = write(tmp_path, data)
    assert read(path) == read(write(tmp_path, rest.encode(), "without"))
    assert count_lines(str(path)) == len(read(path))
    if rest:
        assert [one.decode() for one in corpus_lines(str(path))] == read(path)
        offset = offset_after(str(path), 0, 1)
        left = b"".join(corpus_blocks(str(path), offset=offset, lines_before=1)).decode()
        assert left == "".join(f"{line}\n" for line in read(path)[1:])
    else:
        assert said(lambda: list(corpus_blocks(str(path)))) == f"{path}: the file is empty"


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_packed_inputs_are_unpacked(tmp_path: Path, suffix: str) -> None:
    packed = pa.compress(TEXT * 3, {".gz": "gzip", ".zst": "zstd"}[suffix], asbytes=True)
    path = write(tmp_path, packed, f"text{suffix}")
    assert read(path) == [TEXT.decode().strip()] * 3
    assert count_lines(str(path)) == 3
    path.write_bytes(TEXT)
    assert "data, or damaged" in said(lambda: read(path))
    path.write_bytes(packed[:-9])
    assert "ends too early: a broken copy?" in said(lambda: read(path))
    assert said(lambda: read(tmp_path / f"no{suffix}")) == f"{tmp_path}/no{suffix}: no such file"


GERMAN = "Über den Wolken muß die Freiheit wohl grenzenlos sein.\nAlle Ängste, sagt man.\n"
RUSSIAN = "Все счастливые семьи похожи друг на друга.\nКаждая несчастлива по-своему.\n"
JAPANESE = "国境の長いトンネルを抜けると雪国であった。\n夜の底が白くなった。\n"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        (GERMAN, "latin-1"),
        (GERMAN, "cp1252"),
        (GERMAN, "utf-16"),
        (GERMAN, "utf-16-be"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8-r"),
        (JAPANESE, "shift_jis"),
        (JAPANESE, "euc_jp"),
    ],
)
def test_a_corpus_in_another_encoding_is_the_same_corpus(
    tmp_path: Path, text: str, encoding: str
) -> None:
    path = write(tmp_path, (text * 20).encode(encoding))
    expected = (text * 20).encode()
    assert b"".join(corpus_blocks(str(path), encoding=encoding)) == expected
    likely = likely_encoding(path.read_bytes())
    assert likely is not None
    assert path.read_bytes().decode(likely) == text * 20


def test_what_an_encoding_lacks_stays_invalid(tmp_path: Path) -> None:
    path = write(tmp_path, b"caf\xe9\n\x81\x8d\nTee\n")
    found = b"".join(corpus_blocks(str(path), encoding="cp1252"))
    assert found == "café\n".encode() + b"\xff\xff\nTee\n"


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("unicode_escape", rb"a\ud800b"),
        ("utf-7", b"+2AA-"),
        ("raw_unicode_escape", rb"\udfff\ud800"),
    ],
)
def test_halves_of_surrogate_pairs_are_invalid(tmp_path: Path, encoding: str, data: bytes) -> None:
    path = write(tmp_path, data + b"\nTee\n")
    first, second = b"".join(corpus_blocks(str(path), encoding=encoding)).splitlines()
    assert not is_valid(first)
    assert second == b"Tee"


@pytest.mark.parametrize("name", ["punycode", "idna", "rot13", "undefined", "utf-9"])
def test_what_is_no_encoding_of_a_text_is_refused(name: str) -> None:
    assert encoding_problem(name) is not None


def test_an_encoding_that_python_does_not_read_is_no_guess(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chardet.detect", lambda data: {"encoding": "EUC-TW"})
    assert likely_encoding(b"\xa4\xa4") is None


def test_the_encoding_to_name_is_told(tmp_path: Path) -> None:
    for data, likely in (
        (("\ufeff" + GERMAN).encode("utf-16-le"), "utf-16"),
        (GERMAN.encode("utf-16-le"), "utf-16-le"),
        ((RUSSIAN * 9).encode("cp1251"), "cp1251"),
    ):
        path = write(tmp_path, data)
        assert said(lambda: list(corpus_lines(str(path)))) == (  # noqa: B023
            f"{path}: not UTF-8 text but probably {likely}: if so, give its table in the recipe "
            f'the key encoding = "{likely}", or --set data.train.encoding={likely} (of validation '
            "pairs data.val.encoding; where one of two files is UTF-8, a list by side: "
            f'\'["utf-8","{likely}"]\')'
        )


class Trickle:
    """A pipe that gives few bytes at a time."""

    def __init__(self, size: int) -> None:
        self.left = size

    def read1(self, _: int) -> bytes:
        count = min(self.left, 2**12)
        self.left -= count
        return b"a" * count


class Judged(Head):
    """Counts the bytes that it is given."""

    seen = 0

    def fault(self, lines: bytes, *, end: bool = False) -> str | None:
        self.seen += len(lines)
        return super().fault(lines, end=end)


def test_a_long_line_from_a_pipe_is_put_together_once() -> None:
    """Each of its pieces is looked at where the beginning is judged, and at the end."""
    head, size = Judged(), 4 * 2**20
    blocks = list(_whole_lines(Trickle(size), "a pipe", head=head, waits=False))
    assert blocks == [b"a" * size + b"\n"]
    assert head.seen <= size + 2 * HEAD
