from __future__ import annotations

import io
import logging
import re
import sys

import pytest

from seq2seq.cli import console


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_plain_progress_is_a_line_now_and_then(clock, capsys) -> None:
    with console.progress() as progress:
        progress.start("reading", 4000)
        for _ in range(4):
            clock[0] += 4
            progress.advance(1000)
        progress.finish()
        progress.start("training the tokenizer", None)
        clock[0] += 2.5
        progress.finish()
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "reading: 3,000 of 4,000 (75%), 4 s left\n"
        "reading: 4,000 in 16.0 s\n"
        "training the tokenizer: 2.5 s\n"
    )


def test_plain_progress_without_a_total(clock, capsys) -> None:
    progress = console.LineProgress()
    progress.start("reading", None)
    clock[0] += 10
    progress.advance(7)
    assert capsys.readouterr().err == "reading: 7\n"


def test_a_total_is_counted_once_and_only_where_it_is_shown(clock, capsys) -> None:
    counted: list[float] = []

    def count() -> int:
        counted.append(clock[0])
        return 40

    progress = console.LineProgress()
    progress.start("reading", count)
    begun = clock[0]
    for _ in range(3):
        clock[0] += 6
        progress.advance(10)
    assert counted == [begun + 12]
    clock[0] += 12
    progress.advance(10)
    assert counted == [begun + 12]
    assert capsys.readouterr().err == (
        "reading: 20 of 40 (50%), 12 s left\nreading: 40 of 40 (100%), 0 s left\n"
    )


def test_a_terminal_gets_a_bar_and_the_same_last_lines(monkeypatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with console.progress() as progress:
        assert isinstance(progress, console.BarProgress)
        progress.start("reading", lambda: 10)
        progress.advance(10)
        progress.finish()
    shown = terminal.getvalue()
    assert re.search(r"reading: 10 in \d+\.\d s", shown)
    assert "\x1b[" in shown


@pytest.mark.usefixtures("run")
def test_warnings_of_the_library_are_lines(capsysbinary) -> None:
    console.set_up_streams()
    logging.getLogger("seq2seq").info("nothing")
    logging.getLogger("seq2seq").warning("line %d: cut", 7)
    logging.getLogger("seq2seq.data").error("bad")
    assert capsysbinary.readouterr().err == b"warning: line 7: cut\nerror: bad\n"


def test_examples() -> None:
    assert console.example("a") == "\b\nExample:\n  a"
    assert console.example("a", "b") == "\b\nExamples:\n  a\n  b"


def test_what_would_command_a_terminal_is_shown_as_escapes(capsys) -> None:
    console.tell("file \x1b[31mred\r\x07 \u202egnp.exe\x9b: Grüße, 😀 and 日本\tstay")
    console.show("\x1b]0;title\x07")
    out, err = capsys.readouterr()
    assert err == "file \\x1b[31mred\\r\\x07 \\u202egnp.exe\\x9b: Grüße, 😀 and 日本\tstay\n"
    assert out == "\\x1b]0;title\\x07\n"


def test_names_of_files_are_no_markup(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with console.BarProgress() as progress:
        progress.start("reading x[bold]y[/bold].tsv and h[/bold]x", 3)
        progress.advance(1)
        progress.bar.refresh()
        progress.finish()
    assert "reading x[bold]y[/bold].tsv and h[/bold]x" in terminal.getvalue()
