"""Who writes a line and waits gets its translation, and who does not wait has full batches."""

from __future__ import annotations

import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.saved import LINES, save_tiny_model

from seq2seq.inference.request import windows
from seq2seq.search import Constraints
from seq2seq.storage.lines import Pause, input_lines

WAIT = 60.0  # seconds, for a machine that is busy


@pytest.mark.parametrize("processes", [(), ("--processes", "2")], ids=["alone", "pool"])
def test_a_line_at_a_time(tmp_path: Path, processes: tuple[str, ...]) -> None:
    model = save_tiny_model(tmp_path)
    command = [sys.executable, "-m", "seq2seq", "translate", str(model), "--threads", "1"]
    with subprocess.Popen(
        [*command, *processes], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line in LINES[:3]:
            process.stdin.write(f"{line}\n".encode())
            assert select.select([process.stdout], [], [], WAIT)[0], "no translation came"
            assert process.stdout.read(2**16).count(b"\n") == 1
        process.stdin.write(("\n".join(LINES) + "\n").encode())
        process.stdin.close()
        rest = b"".join(iter(lambda: process.stdout.read(2**16), b""))  # type: ignore[union-attr]
        assert rest.count(b"\n") == len(LINES)
    assert process.returncode == 0


def test_a_pause_of_a_pipe_is_seen_and_a_file_has_none(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"one\ntwo\nthr")
    lines = input_lines(f"/dev/fd/{reading}", lambda *_: None, pauses=True)
    found = [next(lines) for _ in range(3)]
    assert found[:2] == ["one", "two"]
    assert isinstance(found[2], Pause)
    os.write(writing, b"ee\n")
    os.close(writing)
    assert [line for line in lines if not isinstance(line, Pause)] == ["three"]
    os.close(reading)
    file = tmp_path / "lines"
    file.write_bytes(b"one\n" * 10)
    assert list(input_lines(str(file), lambda *_: None, pauses=True)) == ["one"] * 10


def test_windows_end_at_pauses() -> None:
    def lines() -> Iterator[str]:
        yield from ("a", "b", Pause(), "c", Pause(), Pause(), "d", "e", "f")

    constraints = [Constraints(prefix=text) for text in "ABCDEF"]
    found = list(windows(lines(), constraints, 2))
    taken = [one and (one[0], [c.prefix for c in one[1] or ()], one[2]) for one in found]
    assert taken == [
        (["a", "b"], ["A", "B"], 1),
        (["c"], ["C"], 3),
        None,
        (["d", "e"], ["D", "E"], 4),
        (["f"], ["F"], 6),
    ]
