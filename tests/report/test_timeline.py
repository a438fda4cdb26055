"""The sessions of a run, told from records as training writes them."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any

import pytest

from seq2seq.report.record import RunRecord
from seq2seq.report.timeline import events, sessions, standing
from seq2seq.storage import checked_json


def session(what: str, update: int, **more: Any) -> dict[str, Any]:
    return {"kind": "session", "what": what, "update": update, "time": f"t{update}", **more}


def train(update: int) -> dict[str, Any]:
    return {"kind": "train", "update": update, "loss": 1.0}


@pytest.fixture
def run(copied: Path):
    """Gives a run other records; ``finished``: whether its last checkpoint says so."""

    def written(*records: dict[str, Any], finished: bool = False) -> RunRecord:
        text = "".join(json.dumps(record) + "\n" for record in records)
        (copied / "metrics.jsonl").write_text(text, encoding="utf-8")
        file = copied / "last" / "state.json"
        content = checked_json.loads(file.read_bytes())
        content["state"]["stopped"] = "the recipe's end" if finished else ""
        file.write_bytes(checked_json.dumps(content))
        return RunRecord.read(copied)

    return written


def told(record: RunRecord) -> list[tuple[int, int, str]]:
    return [(one.first, one.last, one.how) for one in sessions(record)]


def test_a_life(run) -> None:
    record = run(
        session("begun", 0),
        train(20),
        session("stopped", 33, reason="SIGTERM"),
        session("resumed", 33),
        train(40),
        session("resumed", 40, reached=60),
        session("failed", 70, reason="training stopped: x"),
        session("resumed", 40),
        session("finished", 90, reason="the recipe's end"),
        finished=True,
    )
    assert told(record) == [
        (0, 33, "stopped by SIGTERM"),
        (33, 60, "killed"),
        (40, 70, "failed: training stopped: x"),
        (40, 90, "finished: the recipe's end"),
    ]
    assert standing(record) == ("finished", "the recipe's end")


def test_what_never_ended_was_killed_or_is_under_way(run, copied: Path) -> None:
    record = run(session("begun", 0), train(20), train(40))
    assert told(record) == [(0, 40, "killed")]
    assert standing(record)[0] == "killed"
    handle = os.open(copied / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        record = RunRecord.read(copied)
        assert told(record) == [(0, 40, "under way")]
        assert standing(record) == ("running", "")
    finally:
        os.close(handle)
    assert standing(RunRecord.read(copied))[0] == "killed"


@pytest.mark.parametrize("what", ["stopped", "failed"])
def test_how_the_last_session_ended_is_how_it_stands(run, what: str) -> None:
    record = run(session("begun", 0), session(what, 9, reason="SIGINT"))
    assert standing(record) == (what, "SIGINT")


def test_nothing_yet(run) -> None:
    record = run()
    assert told(record) == []
    assert standing(record) == ("stopped", "nothing was trained yet")


def test_mishaps(run) -> None:
    record = run(
        session("begun", 0),
        *({"kind": "skipped", "update": n, "lines": [5, 1000]} for n in range(1, 30)),
        {"kind": "skipped", "update": 30, "lines": list(range(1, 11))},
        {"kind": "rollback", "update": 31, "to": 2000},
        {"kind": "changed_data", "update": 31, "files": ["/home/jane/a.en", "b.de"]},
    )
    found = events(record)
    assert len(found) == 20 + 2
    assert found[0] == (11, "skipped, the numbers were not finite: lines 5, 1,000")
    assert found[-3:] == [
        (30, "skipped, the numbers were not finite: lines 1, 2, 3, 4, 5, 6, 7, 8 and 2 more"),
        (31, "back to the weights of update 2,000, at half the rate"),
        (31, "the corpus had changed: …/a.en, b.de; training went on"),
    ]
