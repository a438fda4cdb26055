"""The embedded corpus as two text files, as scripts/quickstart writes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.errors import DataError
from seq2seq.text import phrasebook
from seq2seq.text.phrasebook_files import main, write_split


def lines_of(path: Path) -> list[str]:
    *lines, last = path.read_bytes().decode("utf-8").split("\n")
    assert last == ""
    return lines


def test_a_split_is_written_as_it_is(tmp_path: Path) -> None:
    english, german = tmp_path / "test.en", tmp_path / "test.de"
    count = write_split("test", english, german)
    pairs = list(zip(lines_of(english), lines_of(german), strict=True))
    assert pairs == list(phrasebook.pairs("test"))
    assert len(pairs) == count
    assert {path.name for path in tmp_path.iterdir()} == {"test.en", "test.de"}


def test_examples_are_of_different_phenomena(tmp_path: Path) -> None:
    english, german = tmp_path / "ten.en", tmp_path / "ten.de"
    assert write_split("test", english, german, examples=10) == 10
    pairs = list(zip(lines_of(english), lines_of(german), strict=True))
    phenomenon = {(en, de): name for name, en, de in phrasebook.examples("test")}
    assert len({phenomenon[pair] for pair in pairs}) == 10
    assert set(pairs) <= set(phrasebook.pairs("test"))


def test_another_seed_gives_another_corpus(tmp_path: Path) -> None:
    for seed in (1, 2):
        write_split("val", tmp_path / f"{seed}.en", tmp_path / f"{seed}.de", seed=seed, examples=5)
    assert lines_of(tmp_path / "1.en") != lines_of(tmp_path / "2.en")


def test_the_command_writes_what_the_function_writes(tmp_path: Path) -> None:
    write_split("val", tmp_path / "a.en", tmp_path / "a.de", examples=3)
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "seq2seq.text.phrasebook_files",
            "--examples=3",
            "val",
            "b.en",
            "b.de",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("3 pairs of val: b.en, b.de\n", "")
    for side in ("en", "de"):
        assert (tmp_path / f"b.{side}").read_bytes() == (tmp_path / f"a.{side}").read_bytes()


def test_a_folder_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "missing" / "x.en"
    assert main(["test", str(missing), str(tmp_path / "x.de")]) == 2
    message = f"error: cannot write {missing}: No such file or directory\n"
    assert capsys.readouterr() == ("", message)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_where_a_file_should_be(tmp_path: Path) -> None:
    folder = tmp_path / "x.en"
    folder.mkdir()
    with pytest.raises(DataError) as caught:
        write_split("test", folder, tmp_path / "x.de")
    assert str(caught.value) == f"cannot write {folder}: Is a directory"
    assert list(tmp_path.iterdir()) == [folder]
