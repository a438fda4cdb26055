from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seq2seq.cli import lines
from seq2seq.data.reading import files
from seq2seq.errors import Seq2SeqError
from seq2seq.storage.text_files import HEAD, text_fault

TEXT = "ein schöner Tag\n".encode()


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
        (gzip.compress(TEXT, mtime=0), "gzip data: unpack it first"),
        (pa.compress(TEXT, "zstd", asbytes=True), "Zstandard data: unpack it first"),
        (bz2.compress(TEXT), "bzip2 data: unpack it first"),
        (lzma.compress(TEXT), "xz data: unpack it first"),
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
    assert str(text_fault(bz2.compress(TEXT), advice)).endswith("bzip2 data: unpack it first")


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


@pytest.mark.parametrize(
    "content",
    [TEXT, bytes(99), b"a" * 70 + b"\xff" * 30, b"a" * 69 + b"\xff" * 31, b"a" * HEAD + bytes(999)],
)
def test_preparing_and_translating_take_the_same_files(tmp_path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)

    def told(read) -> str | None:
        try:
            list(read(str(path)))
        except Seq2SeqError as error:
            return str(error)
        return None

    assert told(files.read_lines) == told(lines.read_lines)
