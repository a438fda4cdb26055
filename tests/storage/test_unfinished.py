"""Lines that are kept while they are made: what a kill leaves, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from seq2seq.errors import Seq2SeqError
from seq2seq.storage.unfinished import UnfinishedLines

ASKED = {"models": [{"weights": "12"}], "options": {"beam": 5, "tag": None}}


def begin(output: Path, **changed: object) -> UnfinishedLines:
    return UnfinishedLines(output, {**ASKED, **changed}, "translating")


def test_the_next_one_goes_on(tmp_path: Path) -> None:
    output = tmp_path / "new" / "out"
    with begin(output) as work:
        assert (work.lines, [*work.read()]) == (0, [])
        work.add(["a", "", "ü\u2028x"])
    with begin(output) as work:
        assert work.lines == 3
        work.add(["d"])
        assert [*work.read()] == ["a", "", "ü\u2028x", "d"]
        work.finish()
    assert [*output.parent.iterdir()] == []


def test_what_is_half_written_is_cut_off(tmp_path: Path) -> None:
    output = tmp_path / "out"
    with begin(output) as work:
        work.add(["a", "b"])
    folder = tmp_path / "out.unfinished"
    with (folder / "lines.txt").open("ab") as file:
        file.write(b"c\nd\xc3")
    (folder / ".partial-12").write_bytes(b"{")
    with begin(output) as work:
        assert [*work.read()] == ["a", "b"]
    assert sorted(one.name for one in folder.iterdir()) == ["lines.txt", "state.json"]


def test_nothing_is_left_where_nothing_was_made(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), begin(tmp_path / "new" / "out"):
        raise ZeroDivisionError
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"options": {"beam": 8, "tag": None}}, "options.beam 5, which is 8 now"),
        ({"options": {"beam": 5, "tag": "<BT>"}}, 'options.tag null, which is "<BT>" now'),
        ({"models": [{"weights": "34"}]}, 'models.1.weights "12", which is "34" now'),
        ({"more": 1}, "more null, which is 1 now"),
    ],
)
def test_it_is_not_gone_on_with_something_else(
    tmp_path: Path, changed: dict[str, object], words: str
) -> None:
    with begin(tmp_path / "out") as work:
        work.add(["a"])
    folder = tmp_path / "out.unfinished"
    before = {one.name: one.read_bytes() for one in folder.iterdir()}
    with pytest.raises(Seq2SeqError) as error:
        begin(tmp_path / "out", **changed)
    assert str(error.value) == (
        f"{folder}: was begun with {words}: go on with what it was begun with, remove that folder "
        "to begin anew, or name another output"
    )
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == before


def test_an_option_that_another_version_has_is_as_one_left_out(tmp_path: Path) -> None:
    with begin(tmp_path / "out") as work:
        work.add(["a"])
    with begin(tmp_path / "out", more={"later": None}) as work:
        assert work.lines == 1
    with begin(tmp_path / "out", options={"beam": 5}) as work:
        assert work.lines == 1


def test_two_at_a_time_are_refused(tmp_path: Path) -> None:
    with begin(tmp_path / "out"), pytest.raises(Seq2SeqError) as error:
        begin(tmp_path / "out")
    assert str(error.value).startswith(
        f"another process is translating in {tmp_path}/out.unfinished: process {os.getpid()} on "
    )


def test_a_folder_of_someone_elses(tmp_path: Path) -> None:
    folder = tmp_path / "out.unfinished"
    folder.mkdir()
    (folder / "thesis.txt").write_text("do not lose me", encoding="utf-8")
    with pytest.raises(Seq2SeqError) as error:
        begin(tmp_path / "out")
    assert str(error.value) == (
        f"{folder}: holds other files, and is where this command keeps its work: move them, or "
        "name another output"
    )
    assert [one.name for one in folder.iterdir()] == ["thesis.txt"]


def test_damage(tmp_path: Path) -> None:
    with begin(tmp_path / "out") as work:
        work.add(["a", "b"])
    folder = tmp_path / "out.unfinished"
    (folder / "lines.txt").write_bytes(b"a\n")
    with pytest.raises(Seq2SeqError) as error:
        begin(tmp_path / "out")
    assert str(error.value) == (
        f"{folder}/lines.txt: damaged: shorter than state.json says: remove {folder} to begin anew"
    )
    (folder / "state.json").write_bytes(b"{}")
    with pytest.raises(Seq2SeqError, match=r"state\.json is damaged"):
        begin(tmp_path / "out")
