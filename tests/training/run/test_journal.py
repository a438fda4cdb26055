from __future__ import annotations

import json
from pathlib import Path

import pytest

from seq2seq.training.run.journal import Journal


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "metrics.jsonl")


def record(update: int) -> dict[str, object]:
    return {"kind": "train", "update": update, "loss": 1.5, "note": "Größe\u2028x"}


def test_records_are_lines_of_json(journal: Journal) -> None:
    assert journal.records() == []
    for update in (1, 2):
        journal.append(record(update))
    lines = journal.path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == [record(1), record(2)]
    assert journal.records() == [record(1), record(2)]


def test_rewinding_forgets_what_comes_again(journal: Journal) -> None:
    for update in (20, 40, 60, 60, 80):
        journal.append(record(update))
    journal.rewind(60)
    assert [one["update"] for one in journal.records()] == [20, 40, 60, 60]
    journal.append(record(80))
    assert [one["update"] for one in journal.records()] == [20, 40, 60, 60, 80]
    journal.rewind(0)
    assert journal.path.read_bytes() == b""
    assert [path.name for path in journal.path.parent.iterdir()] == ["metrics.jsonl"]


def test_rewinding_nothing_makes_no_file(journal: Journal) -> None:
    journal.rewind(3)
    assert not journal.path.exists()


def test_a_record_without_an_update_stays(journal: Journal) -> None:
    journal.append({"kind": "note"})
    journal.rewind(0)
    assert journal.records() == [{"kind": "note"}]


def test_rewinding_keeps_what_another_program_wrote(journal: Journal) -> None:
    """A record of a kind that training does not make will not be made again."""
    foreign = [{"kind": "probe", "update": 40, "accuracy": 0.5}, {"update": 70}]
    for one in (record(20), foreign[0], record(60), foreign[1]):
        journal.append(one)
    journal.rewind(20)
    assert journal.records() == [record(20), *foreign]
    assert journal.reached == 60


def test_a_line_cut_anywhere_is_left_out(journal: Journal) -> None:
    """Killed while writing: whatever of the last line reached the disk, the others are there."""
    whole = "".join(json.dumps(record(update), ensure_ascii=False) + "\n" for update in (1, 2, 3))
    last = whole.encode().rindex(b"\n", 0, -1) + 1
    for end in range(last, len(whole.encode()) - 1, 9):
        journal.path.write_bytes(whole.encode()[:end])
        assert journal.records() == [record(1), record(2)], end
        journal.rewind(2)
        journal.append(record(3))
        assert journal.records() == [record(1), record(2), record(3)], end


def test_a_whole_line_without_its_end_is_a_record(journal: Journal) -> None:
    journal.path.write_text(json.dumps(record(1)), encoding="utf-8")
    assert journal.records() == [record(1)]
    journal.rewind(1)
    journal.append(record(2))
    assert journal.records() == [record(1), record(2)]


def test_foreign_bytes_are_left_out(journal: Journal) -> None:
    good = json.dumps(record(1)).encode()
    journal.path.write_bytes(b"\x00\xff\xfe\n" + good + b"\n\n" + b"\x00" * 100)
    assert journal.records() == [record(1)]
