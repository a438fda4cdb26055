from __future__ import annotations

import time
from pathlib import Path

import pytest

from seq2seq.report import LivePage, write_report
from seq2seq.training.monitoring.session_log import SessionLog
from seq2seq.training.run.journal import Journal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, and how long a page takes (the second)."""
    now = [1000.0, 2.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def render(record: object) -> str:
        now[0] += now[1]
        return f"made at {now[0]}"

    monkeypatch.setattr("seq2seq.report.page.render", render)
    return now


def test_pages_take_little_of_the_time(copied: Path, clock: list[float]) -> None:
    page, file = LivePage(), copied / "report.html"
    file.unlink()
    clock[0] += 59
    page(copied, False)
    assert not file.exists()
    clock[0] += 1
    page(copied, False)
    assert file.read_text(encoding="utf-8") == "made at 1062.0"
    clock[0] += 199  # two seconds are a hundredth of 200
    page(copied, False)
    assert file.read_text(encoding="utf-8") == "made at 1062.0"
    clock[0] += 1
    page(copied, False)
    assert file.read_text(encoding="utf-8") == "made at 1264.0"
    page(copied, True)
    assert file.read_text(encoding="utf-8") == "made at 1266.0"


def test_training_goes_on_without_its_page(tmp_path: Path) -> None:
    said: list[str] = []

    def page(run: Path, final: bool) -> None:
        raise OSError(28, "No space left on device")

    SessionLog(tmp_path, Journal(tmp_path / "metrics.jsonl"), said.append, page).page(final=True)
    assert said == [
        "warning: the run's report could not be written: OSError: [Errno 28] No space left on "
        "device"
    ]


def test_a_page_that_cannot_be_written_leaves_the_old_one(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (copied / "report.html").read_bytes()

    def full(*_: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        write_report(copied)
    assert (copied / "report.html").read_bytes() == before
    assert not list(copied.glob(".partial*"))
