from __future__ import annotations

import fcntl
import io
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from dataclasses import replace

import pytest

from seq2seq.data import can_redraw
from seq2seq.training.evaluation import Validated
from seq2seq.training.monitoring import Monitor, Step, clock

STEP = Step(
    update=4600,
    epoch=17.966,
    progress=0.5,
    loss=1.896,
    tokens_per_second=1656.95,
    learning_rate=1.32e-4,
    gradient_norm=0.30648,
    remaining=3723.4,
    padding=0.081,
    memory=900 * 2**20,
)


def test_a_line_has_what_is_watched() -> None:
    assert STEP.line() == (
        "update 4600  1:02:03 left  epoch 17.97  loss 1.896  1,657 tokens/s  gradient 0.31  "
        "rate 1.32e-04  padding 8%  900 MiB"
    )


@pytest.mark.parametrize("width", [1, 11, 12, 30, 47, 100, 1000])
def test_a_line_is_cut_between_figures(width: int) -> None:
    line = STEP.line(width)
    assert STEP.line().startswith(line)
    assert len(line) <= width or line == "update 4600"
    assert line == STEP.line() or STEP.line()[len(line) :].startswith("  ")


def test_what_is_not_known_is_left_out() -> None:
    step = Step(1, 0.0, 0.0, math.nan, 0.0, 1e-3, math.inf, math.inf, skipped=1, gpu_memory=2**30)
    assert step.line() == (
        "update 1  epoch 0.00  loss nan  0 tokens/s  gradient inf  rate 1.00e-03  padding 0%  "
        "1,024 MiB  1 skipped"
    )


@pytest.mark.parametrize(
    ("load", "cores", "shown"), [(2.4, 2, ""), (3.26, 2, "load 3.3 on 2 cores"), (0.0, 8, "")]
)
def test_other_programs_on_the_same_processors_are_shown(
    monkeypatch: pytest.MonkeyPatch, load: float, cores: int, shown: str
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    figures = replace(STEP, load=load).line().split("  ")
    assert [one for one in figures if one.startswith("load")] == ([shown] if shown else [])
    assert replace(STEP, load=load).record()["load"] == load


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (59.4, "0:59"), (59.6, "1:00"), (3599.7, "1:00:00"), (90061, "25:01:01")],
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown


def test_elsewhere_there_are_plain_lines() -> None:
    stream = io.StringIO()
    monitor = Monitor(stream, interval=0.0)
    monitor.step(STEP)
    monitor.validating(1000)
    result = Validated(1.9, {"bleu": 36.06}, 12.3, labels={"bleu": "BLEU"})
    monitor.validated(4600, 18.0, result, best=True)
    monitor.close()
    assert stream.getvalue() == (
        f"{STEP.line()}\n"
        "validation at update 4600 (epoch 18.00): loss 1.900  perplexity 6.686  BLEU 36.06  "
        "12.3 s  best so far\n"
    )
    quiet = Monitor(stream, interval=3600.0)
    quiet.step(STEP)
    assert stream.getvalue().count("\n") == 2


@pytest.mark.parametrize(
    ("terminal", "term", "bars"),
    [(True, "xterm", True), (True, "dumb", False), (False, "xterm", False), (True, "", True)],
)
def test_bars_are_for_terminals_that_can_redraw(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, term: str, bars: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    stream = io.StringIO()
    stream.isatty = lambda: terminal  # type: ignore[method-assign]
    assert can_redraw(stream) is bars


SCRIPT = """
import time
from seq2seq.training.monitoring import Step, TerminalMonitor
STEP = {step!r}
monitor = TerminalMonitor()
monitor.step(STEP)
time.sleep(0.3)
monitor.validating(1000)
time.sleep(0.3)
monitor.say("a line above")
monitor.close()
"""


def in_terminal(columns: int, **environment: str) -> str:
    """What a monitor writes to a terminal of some width."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    plain = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(step=STEP)],
        stderr=theirs,
        env={**plain, "TERM": "xterm-256color", **environment},
    )
    os.close(theirs)
    written = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        written += part
    os.close(ours)
    assert process.wait() == 0
    return written.decode()


def test_a_narrow_terminal_keeps_one_line_with_what_matters() -> None:
    written = in_terminal(50)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", text)]
    assert max(len(line) for line in lines) <= 50
    assert any(line.endswith(" 50.0 % update 4600  1:02:03 left") for line in lines), lines
    assert any("validating on 1,000 lines" in line for line in lines)
    assert "a line above" in lines


def test_colours_can_be_turned_off() -> None:
    assert re.search(r"\x1b\[[0-9;]*3[0-9]", in_terminal(100))
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", in_terminal(100, NO_COLOR="1"))
