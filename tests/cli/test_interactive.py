"""Translating at a terminal, through a pseudo-terminal."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

SCRIPT = (
    "import signal, sys\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "from seq2seq.inference import translator\n"
    "from seq2seq.inference.request import search_options\n"
    "from seq2seq.recipe import Translation\n"
    "class Fake:\n"
    "    options = Translation()\n"
    "    search_options = search_options(options)\n"
    "    has_attention = False\n"
    "    def run(self, lines, request, constraints, advance):\n"
    "        assert request.batch_size == 1\n"
    "        for line in lines:\n"
    "            yield [translator.ScoredTranslation(line.upper(), 0.0, 0.0, False)]\n"
    "translator.Translator.load = lambda path, **options: Fake()\n"
    "sys.argv = ['seq2seq', 'translate', 'model']\n"
    "from seq2seq.cli import main; main()\n"
)


class Terminal:
    """A program at a terminal of its own, and what it has shown."""

    def __init__(self, folder: Path) -> None:
        self.end, other = pty.openpty()
        environment = {**os.environ, "TERM": "dumb"}
        command = [sys.executable, "-c", SCRIPT]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)
        self.shown = ""

    def types(self, keys: str) -> None:
        os.write(self.end, keys.encode())

    def interrupts(self) -> None:
        """Ctrl-C: Python loses one that comes just before it waits for keys, so perhaps again."""
        for _ in range(6):
            self.process.send_signal(signal.SIGINT)
            with suppress(AssertionError):
                return self.waits_for("> ", seconds=8)
        raise AssertionError("no prompt after Ctrl-C")

    def waits_for(self, pattern: str, seconds: int = 60) -> None:
        """Reads until what is new matches, and forgets it."""
        until = time.monotonic() + seconds
        while not (match := re.search(pattern, self.shown)):
            assert time.monotonic() < until, self.shown
            if select.select([self.end], [], [], 1.0)[0]:
                self.shown += os.read(self.end, 4096).decode(errors="replace")
        self.shown = self.shown[match.end() :]


@pytest.fixture
def terminal(here: Path) -> Iterator[Terminal]:
    one = Terminal(here)
    yield one
    one.process.kill()
    one.process.wait()
    os.close(one.end)


def test_a_conversation(terminal: Terminal) -> None:
    terminal.waits_for("> ")
    terminal.types("ein hund\n")
    terminal.waits_for(r"EIN HUND\r\n\(\d+\.\d\d s\)\r\n> ")
    terminal.types("\n")
    terminal.waits_for(r"\r\n> ")
    terminal.types("wasser\x7f\x7f\x7fch\n")  # edited with the backspace key
    terminal.waits_for(r"WASCH\r\n\(\d+\.\d\d s\)\r\n> ")
    terminal.types("\x04")
    assert terminal.process.wait(timeout=60) == 0


def test_ctrl_c_leaves_the_line_and_ctrl_d_the_program(terminal: Terminal) -> None:
    terminal.waits_for("> ")
    terminal.types("half a li")
    terminal.waits_for("half a li")
    terminal.interrupts()
    terminal.types("whole\n")
    terminal.waits_for(r"\nWHOLE\r\n")
    terminal.waits_for("> ")
    terminal.types("\x04")
    assert terminal.process.wait(timeout=60) == 0


@pytest.mark.parametrize("key", ["\x1b[A", "\x10"])
def test_history(terminal: Terminal, key: str) -> None:
    pytest.importorskip("readline")
    terminal.waits_for("> ")
    terminal.types("wasser\n")
    terminal.waits_for(r"WASSER\r\n\(.*\)\r\n> ")
    terminal.types(f"{key}\n")
    terminal.waits_for(r"WASSER\r\n")


def test_no_prompt_where_no_one_types(run: Callable, model: str) -> None:
    done = run("translate", model, stdin=b"ein Hund\n")
    assert (done.out, done.err) == ("ein Hund\n", "")
