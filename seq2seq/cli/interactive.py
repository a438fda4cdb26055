"""Translating for a person at a terminal: a prompt, line editing, history, and the time it took."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import suppress

from seq2seq.cli import console

PROMPT = "> "


def at_a_terminal() -> bool:
    """Whether a person types and reads here.

    Returns:
        True if standard input and standard output are both a terminal.
    """
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def prompted_lines() -> Iterator[str]:
    """Asks for lines; Ctrl-D ends, Ctrl-C leaves a line.

    What was typed can be edited and comes back with the arrow keys; it is kept nowhere.

    Yields:
        Each line. When the next is asked for, it is told how long the answer to this one took.
    """
    with suppress(ImportError):  # where Python was built without it, lines are typed plainly
        import readline  # noqa: F401 - input() edits lines from now on
    if hasattr(sys.stdin, "reconfigure"):
        sys.stdin.reconfigure(encoding="utf-8", errors="replace")
    while True:
        try:
            line = input(PROMPT)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            continue
        begun = time.perf_counter()
        yield line
        if line.strip():
            console.tell(f"({time.perf_counter() - begun:.2f} s)")
