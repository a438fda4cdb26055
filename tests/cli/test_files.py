from __future__ import annotations

import gzip
import io
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.cli import files
from seq2seq.cli.files import escaped, unescaped
from seq2seq.errors import Seq2SeqError
from seq2seq.storage.lines import corpus_blocks, count_lines, split_block

_lines = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=8),
    max_size=2,  # so that there are too few control characters for a binary file
)


@settings(deadline=None)  # it writes and syncs files
@given(_lines)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, text: list[str]) -> None:
    path = tmp_path_factory.mktemp("lines") / "x"
    with files.write_lines(str(path)) as file:
        for line in text:
            file.write(line)
    assert count_lines(str(path)) == len(text)
    assert list(files.read_lines(str(path))) == [line.removesuffix("\r") for line in text]
    assert [one.name for one in path.parent.iterdir()] == ["x"]


@pytest.mark.parametrize(
    ("data", "count"),
    [(b"", 0), (b"\n", 1), (b"a", 1), (b"a\nb", 2), (b"a\r\x0b\xe2\x80\xa8\n", 1)],
)
def test_counting_agrees_with_reading(tmp_path: Path, data: bytes, count: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    assert count_lines(str(path)) == len(list(files.read_lines(str(path)))) == count


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"a\r\r\n\r\n", ["a\r", ""]),
        (b"\ra\rb\n", ["\ra\rb"]),
        (b"a\n\rb\n", ["a", "\rb"]),
        (b"a\r", ["a\r"]),  # before no line end
    ],
)
def test_one_carriage_return_goes_with_the_line_end(
    tmp_path: Path, data: bytes, text: list[str]
) -> None:
    path = tmp_path / "x"
    path.write_bytes(data)
    assert list(files.read_lines(str(path))) == text
    assert [
        one.decode() for block in corpus_blocks(str(path)) for one in split_block(block)
    ] == text
    assert count_lines(str(path)) == len(text)


def test_what_would_be_used_up_is_not_counted() -> None:
    assert count_lines("-") is None
    assert count_lines("/dev/null") is None


def test_a_little_noise_is_text(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"\xff\x00caf\xe9\n")
    assert list(files.read_lines(str(path))) == ["\ufffd\x00caf\ufffd"]


def test_a_character_cut_by_the_first_look_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(("a" + "ü" * 2**16 + "\n").encode())
    assert list(files.read_lines(str(path))) == ["a" + "ü" * 2**16]


def test_closed_standard_input(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(Seq2SeqError, match=r"^standard input is closed$"):
        list(files.read_lines("-"))


def test_a_read_that_fails_midway(monkeypatch) -> None:
    class Failing(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Failing())))
    with pytest.raises(Seq2SeqError, match=r"^standard input: cannot be read: Input/output error$"):
        list(files.read_lines("-"))


def test_a_file_named_gz_is_packed(tmp_path: Path) -> None:
    path = tmp_path / "out.gz"
    lines = ["ein Hund", "", "Größe"]
    with files.write_lines(str(path)) as output:
        for line in lines:
            output.write(line)
        output.flush()
    assert gzip.decompress(path.read_bytes()).decode() == "".join(f"{line}\n" for line in lines)
    assert list(files.read_lines(str(path))) == lines
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_mark_at_the_beginning_does_not_reach_the_score(tmp_path: Path, mark: str) -> None:
    (tmp_path / "a").write_text(f"{mark}Ein Hund rennt im Park.\n", encoding="utf-8")
    (tmp_path / "b").write_text("Ein Hund rennt im Park.\n", encoding="utf-8")
    assert files.all_lines(str(tmp_path / "a")) == files.all_lines(str(tmp_path / "b"))


@given(st.lists(st.sampled_from(["|", "||| ", "&", "amp;", "#124;", "a", " "])).map("".join))
def test_any_text_can_stand_in_an_n_best_list(text: str) -> None:
    written = escaped(text)
    assert "|||" not in written
    assert unescaped(written) == text
    if "|||" not in text and "#124;" not in text:
        assert written == text


@pytest.mark.parametrize(
    ("lines", "invalid", "refused"),
    [(300, 195, True), (30, 11, True), (30, 10, False), (9, 9, True), (9, 5, True), (9, 4, False)],
)
def test_text_to_score_in_another_encoding_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: int, invalid: int, refused: bool
) -> None:
    """Its scores would be those of other text; a few damaged lines are told, and scored."""
    path = tmp_path / "reference"
    valid = b"ein Hund\n" * (lines - invalid)
    path.write_bytes(valid + "zwei Hunde im Gras, eine Mütze dazu\n".encode("latin-1") * invalid)
    first = lines - invalid + 1
    if not refused:
        assert len(files.all_lines(str(path))) == lines
        assert f"{invalid} lines are not UTF-8 (the first is line {first})" in " ".join(
            capsys.readouterr().err.split()
        )
        return
    match = rf"{invalid} of {lines} lines are not UTF-8 \(the first is line {first}\): is it in ano"
    with pytest.raises(Seq2SeqError, match=match):
        files.all_lines(str(path))
