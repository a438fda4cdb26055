from __future__ import annotations

import os
import shutil
import stat
import threading
from pathlib import Path

import pytest


def test_the_page_is_written_where_it_says(run, trained: Path, here: Path) -> None:
    folder = shutil.copytree(trained / "run", here / "run", symlinks=True)
    page = folder / "report.html"
    before = page.read_bytes()
    page.unlink()
    done = run("report", str(folder))
    assert (done.code, done.out, done.err) == (0, f"{page}\n", "")
    assert page.read_bytes() == before
    done = run("report", str(folder), "-o", "mine.html", "--data", str(trained / "data"))
    assert (done.code, done.out, done.err) == (0, "mine.html\n", "")
    assert Path("mine.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.timeout(60)
def test_the_page_goes_where_a_user_says(
    run, trained: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through a pipe, a device and a link, none of which is replaced."""
    monkeypatch.setattr("seq2seq.report.page.render", lambda _: "<page>")
    os.mkfifo("pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(Path("pipe").read_bytes()))
    reader.start()
    assert run("report", str(trained / "run"), "-o", "pipe").code == 0
    reader.join()
    assert found == [b"<page>"]
    assert stat.S_ISFIFO(Path("pipe").lstat().st_mode)

    device = Path("/dev/null").lstat()
    assert run("report", str(trained / "run"), "-o", "/dev/null").code == 0
    assert os.path.samestat(Path("/dev/null").lstat(), device)

    (here / "folder").mkdir()
    Path("link").symlink_to("folder/page.html")
    for _ in range(2):  # a new file, and one that is replaced
        assert run("report", str(trained / "run"), "-o", "link").code == 0
        assert (Path("link").is_symlink(), Path("folder/page.html").read_bytes()) == (
            True,
            b"<page>",
        )
    assert sorted(path.name for path in here.rglob("*")) == ["folder", "link", "page.html", "pipe"]


@pytest.mark.parametrize("folder", ["", ".", "/"])
def test_a_page_is_no_folder(run, trained: Path, folder: str) -> None:
    done = run("report", str(trained / "run"), "-o", folder)
    shown = folder or "."
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {shown}: a folder, where a file is to be written\n"


def test_what_is_no_run_is_refused(run, here: Path) -> None:
    done = run("report", "runs/none")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: runs/none: no such folder: expected a folder that seq2seq train has written\n"
    )
