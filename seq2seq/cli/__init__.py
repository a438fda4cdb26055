"""The command line: one file a verb, each parses, calls one library function, and prints.

Here the program begins, and Ctrl-C ends it with one line from its first moment on.
What a command line imports takes some tenths of a second, and an interrupt in the midst of that
would show as a traceback, or as whatever a half-imported library makes of it. So until a verb
begins, an interrupt ends the process at once; there is nothing to clean up.
"""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130


def main() -> NoReturn:
    """Runs the command line of this process, and exits."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it may be ignored: nohup
        signal.signal(signal.SIGINT, _end_at_once)
    from seq2seq.cli import app

    app.main()


def verb_begins() -> None:
    """From now on an interrupt is a KeyboardInterrupt, so that what is half written is removed."""
    if signal.getsignal(signal.SIGINT) is _end_at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end_at_once(number: int, frame: FrameType | None) -> NoReturn:
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)
