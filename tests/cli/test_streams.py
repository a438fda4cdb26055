"""Standard streams that are closed, or on a full disk: no traceback, and no work is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("streams") / "in"
    path.write_text("The dog sleeps.\n\n日本\n", encoding="utf-8")
    return path


def sh(command: str, **names: object) -> subprocess.CompletedProcess[str]:
    run = f"{sys.executable} -m seq2seq"
    return subprocess.run(
        ["bash", "-c", f"S='{run}'; {command}"],
        env={**os.environ, **{name: str(value) for name, value in names.items()}},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_closed_output(trained: Path, lines: Path, tmp_path: Path) -> None:
    done = sh('$S translate "$M" "$I" >&-', M=trained / "run", I=lines)
    assert (done.returncode, done.stderr) == (
        2,
        "error: standard output is closed: name a file with -o\n",
    )
    for closed in (">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"):
        out = tmp_path / "out"
        done = sh(f'$S translate "$M" "$I" -o "$O" {closed}', M=trained / "run", I=lines, O=out)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert out.read_text(encoding="utf-8").count("\n") == 3
        out.unlink()
    assert sh("$S recipe list >&-").returncode == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("errors", ["2>&-", "2>/dev/full"])
def test_what_cannot_be_told_changes_nothing_else(
    trained: Path, lines: Path, tmp_path: Path, errors: str
) -> None:
    done = sh(f'$S translate "$M" "$I" --verbose {errors}', M=trained / "run", I=lines)
    assert (done.returncode, done.stdout.count("\n")) == (0, 3)
    assert sh(f'$S translate "$M" nowhere {errors}', M=trained / "run").returncode == 2
    assert sh(f'$S prepare "$I" "$I" -o "$O/p" {errors}', I=lines, O=tmp_path).returncode == 2
