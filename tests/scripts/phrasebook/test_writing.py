"""The quickstart's files are what the grammar writes, to the byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from phrasebook import corpus
from phrasebook.__main__ import main, write_corpus

ROOT = Path(__file__).parents[3]
FILES = [f"{split}.{language}" for split in ("test", "train", "val") for language in ("de", "en")]


def lines_of(path: Path) -> list[str]:
    *lines, last = path.read_bytes().decode("utf-8").split("\n")
    assert last == ""
    return lines


def test_the_command_writes_what_the_quickstart_has(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "phrasebook", "written"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert sorted(path.name for path in (tmp_path / "written").iterdir()) == FILES
    quickstart = ROOT / "recipes" / "quickstart"
    assert sorted(path.name for path in quickstart.iterdir()) == FILES
    for name in FILES:
        assert (tmp_path / "written" / name).read_bytes() == (quickstart / name).read_bytes(), name


def test_line_n_of_one_file_translates_line_n_of_the_other(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    pairs = zip(lines_of(tmp_path / "test.en"), lines_of(tmp_path / "test.de"), strict=True)
    assert list(pairs) == list(corpus.pairs("test"))


def test_another_seed_gives_another_corpus(tmp_path: Path) -> None:
    for seed in (1, 2):
        assert main([str(tmp_path / str(seed)), "--seed", str(seed)]) == 0
    assert lines_of(tmp_path / "1" / "val.en") != lines_of(tmp_path / "2" / "val.en")


def test_a_folder_that_cannot_be_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main([str(tmp_path / "file" / "folder")]) == 2
    message = f"error: cannot write {tmp_path}/file/folder: Not a directory\n"
    assert capsys.readouterr() == ("", message)


def test_a_folder_where_a_file_should_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "train.en").mkdir()
    assert main([str(tmp_path)]) == 2
    message = f"error: cannot write {tmp_path}/train.en: Is a directory\n"
    assert capsys.readouterr() == ("", message)
