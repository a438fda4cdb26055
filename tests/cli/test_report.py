from __future__ import annotations

from pathlib import Path


def test_the_page_is_written_where_it_says(run, trained: Path) -> None:
    page = trained / "run" / "report.html"
    before = page.read_bytes()
    page.unlink()
    done = run("report", str(trained / "run"))
    assert (done.code, done.out, done.err) == (0, f"{page}\n", "")
    assert page.read_bytes() == before
    done = run("report", str(trained / "run"), "-o", "mine.html", "--data", str(trained / "data"))
    assert (done.code, done.out, done.err) == (0, "mine.html\n", "")
    assert Path("mine.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_what_is_no_run_is_refused(run, here: Path) -> None:
    done = run("report", "runs/none")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: runs/none: no such folder: expected a folder that seq2seq train has written\n"
    )
