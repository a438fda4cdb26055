"""Outputs that a shell has opened: added to, never replaced, and never what is read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TEXT = "the dog\na cat\n"


@pytest.fixture
def files(here: Path) -> Path:
    (here / "in").write_text(TEXT, encoding="utf-8")
    (here / "all").write_text("before\n", encoding="utf-8")
    return here


def sh(command: str, model: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-c", f"S='{sys.executable} -m seq2seq'; {command}"],
        env={**os.environ, "M": str(model)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "command",
    [
        '$S translate "$M" in -o /dev/stdout >> all',
        '{ cat all; $S translate "$M" in -o /dev/stdout; } > both; mv both all',
        '$S translate "$M" in -o /dev/fd/7 7>> all',
        '$S translate "$M" in -o /dev/stdout | cat >> all',
        '$S evaluate "$M" in in -o /dev/stderr 2>> all',
        '$S report "$M" -o /dev/stderr 2>> all',
    ],
)
def test_what_is_there_stays(trained: Path, files: Path, command: str) -> None:
    done = sh(command, trained / "run")
    found = (files / "all").read_text(encoding="utf-8")
    assert done.returncode == 0, done.stderr + found
    assert found.startswith("before\n")
    if "report" in command:
        assert found.rstrip().endswith("</html>")
    else:
        plain = sh('$S translate "$M" in', trained / "run").stdout
        assert plain.count("\n") == 2
        assert plain in found
        assert found == "before\n" + plain or "evaluate" in command


@pytest.mark.parametrize(
    "command",
    [
        '$S translate "$M" in --alignments /dev/stdout > all',
        '$S translate "$M" in --alignments /dev/stdout | cat',
        '$S translate "$M" in --alignments all >> all',
        '$S translate "$M" in -o all --alignments /dev/stdout >> all',
    ],
)
def test_standard_output_is_not_for_two_outputs(attending: Path, files: Path, command: str) -> None:
    done = sh(f"set -o pipefail; {command}", attending / "run")
    assert done.returncode == 2
    assert done.stderr.endswith(": named for two outputs: give each its own file\n")
    assert (files / "all").read_text(encoding="utf-8") in ("", "before\n")


def test_nothing_is_an_output_for_any_number(attending: Path, files: Path) -> None:
    done = sh('$S translate "$M" in --alignments /dev/null > /dev/null', attending / "run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "command",
    [
        "translate $M -o in < in",
        "translate $M -o ./in - < in",
        "translate $M in --constraints - -o all < all",
        "translate $M in >> in",
        "translate $M in -o /dev/stdout >> in",
        "evaluate $M - all -o in < in",
    ],
)
def test_standard_input_is_not_an_output(trained: Path, files: Path, command: str) -> None:
    (files / "all").write_text("\n\n", encoding="utf-8")
    done = sh(f"$S {command}", trained / "run")
    assert done.returncode == 2
    assert done.stderr.endswith(": is an input, and would be overwritten: write to another file\n")
    assert (files / "in").read_text(encoding="utf-8") == TEXT
    assert (files / "all").read_text(encoding="utf-8") == "\n\n"


def test_a_file_that_grows_too_large_is_not_the_users_fault(trained: Path, files: Path) -> None:
    (files / "in").write_text(TEXT * 400, encoding="utf-8")
    done = sh('ulimit -f 1; $S translate "$M" in -o out', trained / "run")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("error: out: cannot be written: File too large\n")
    assert not (files / "out").exists()
