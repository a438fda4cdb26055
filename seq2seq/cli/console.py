"""What the command line prints: errors, warnings and progress, each on standard error.

In a terminal progress is a bar; elsewhere it is a plain line every few seconds, without control
characters. Standard output has results only.
"""

from __future__ import annotations

import functools
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, ParamSpec, TextIO, TypeAlias, TypeVar

import typer

from seq2seq.cli import INTERRUPTED, verb_begins
from seq2seq.data import Progress, can_redraw
from seq2seq.errors import (
    NOT_THE_INPUT,
    Seq2SeqError,
    forget_output,
    in_a_line,
    is_out_of_memory,
    print_line,
    printable,
    shortened,
)
from seq2seq.processors import started_by_torchrun

if TYPE_CHECKING:
    from rich.progress import TaskID

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
Total: TypeAlias = int | Callable[[], int | None] | None
_PIPE_CLOSED = 141  # as a shell counts SIGPIPE
_GRACE = 3.0  # seconds
_ROUNDING = 1e-6  # what the parts of a thing may lack together


@dataclass
class Settings:
    """What applies to the whole process.

    ``debug``: show tracebacks; ``output_is_closed``: there was no standard output at the start.
    """

    debug: bool = False
    output_is_closed: bool = False


settings = Settings()


# ---------------------------------------------------------------------------------------------
# Lines


def set_up_streams() -> None:
    """Makes the standard streams UTF-8, and sends the libraries' warnings to standard error.

    Where one is closed, it and its descriptor go nowhere, so that no file that is opened gets it.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest that is free
    settings.output_is_closed = sys.stdout is None
    sys.stdout, sys.stderr = sys.stdout or _nowhere(), sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    for name in ("seq2seq", "sacrebleu"):
        logger = logging.getLogger(name)
        logger.handlers = [_Warnings()]
        logger.propagate = False


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)

    def emit(self, record: logging.LogRecord) -> None:
        kind = "error" if record.levelno >= logging.ERROR else "warning"
        tell(f"{kind}: {in_a_line(record.getMessage())}")


def show(text: str | None = None) -> None:
    """Prints a result on standard output; None: only sees to it that all so far is printed."""
    try:
        if text is not None:
            print(printable(text))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def tell(text: str) -> None:
    """Prints a line for a person on standard error."""
    print_line(text, sys.stderr)


def warn(text: str) -> None:
    """Prints a warning on standard error."""
    tell(f"warning: {in_a_line(text)}")


def example(*commands: str) -> str:
    """Writes command lines as the end of a verb's help; the mark in front keeps them as lines."""
    lines = "".join(f"\n  {command}" for command in commands)
    return f"\b\nExample{'s' if len(commands) > 1 else ''}:{lines}"


# ---------------------------------------------------------------------------------------------
# Errors


def reported(verb: Callable[P, R]) -> Callable[P, R]:
    """Makes a verb that fails end in one clear line and an exit code (or a traceback: --debug)."""

    @functools.wraps(verb)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            verb_begins()
            result = verb(*args, **kwargs)
            show()
        except typer.Exit:
            raise
        except KeyboardInterrupt:
            tell("interrupted")
            code = INTERRUPTED
        except BrokenPipeError:
            code = _PIPE_CLOSED
        except Exception as error:
            if settings.debug:
                traceback.print_exc()
            text, code = message_of(error)
            if getattr(error, "reported_elsewhere", False):
                wait_for_first_process()
            else:
                tell(text)
        else:
            return result
        _drop_output()
        raise typer.Exit(code)

    return run


def message_of(error: Exception) -> tuple[str, int]:
    """The line and the exit code for an error."""
    if isinstance(error, Seq2SeqError):
        return f"error: {error}", error.exit_code
    if _by_interrupt(error):
        return "interrupted", INTERRUPTED
    if is_out_of_memory(error):
        return "error: out of memory: use a smaller batch, or fewer processes at a time", 1
    if isinstance(error, OSError) and error.strerror:
        name = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, str | bytes) else ""
        return (
            f"error: {shortened(in_a_line(name))}{error.strerror}",
            1 if error.errno in NOT_THE_INPUT else 2,
        )
    words = " ".join(shortened(f"{type(error).__name__}: {error}").split())
    again = "" if settings.debug else "; run the command again with --debug and report this"
    return f"error: unexpected {words}{again}", 1


def _by_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: during an import, libraries turn it into errors of their own."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _drop_output() -> None:
    """Forgets what could not be printed, or Python would try again at its exit and complain."""
    try:
        sys.stdout.flush()
    except OSError:
        forget_output(sys.stdout)


# ---------------------------------------------------------------------------------------------
# Several processes that torchrun started


@contextmanager
def reported_once() -> Iterator[None]:
    """Lets one process of each machine report an error that all of them run into."""
    try:
        yield
    except Seq2SeqError:
        if _number("LOCAL_RANK"):
            wait_for_first_process()
        raise


def wait_for_first_process() -> None:
    """Waits a little: torchrun ends all processes as soon as one ends with a code other than 0."""
    time.sleep(_GRACE)


def is_first_process() -> bool:
    """Whether this process is alone, or the one of several that prints results."""
    return not _number("RANK")


def _number(name: str) -> int:
    """This process's RANK or LOCAL_RANK; 0 where torchrun started no others beside it."""
    return int(os.environ.get(name, "0")) if started_by_torchrun() else 0


# ---------------------------------------------------------------------------------------------
# Progress


def with_progress(found: Iterable[T], total: Total, task: str) -> Iterator[T]:
    """Shows how many things are done, of ``total`` (see ``LineProgress.start``)."""
    with progress() as shown:
        shown.start(task, total)
        for one in found:
            yield one
            shown.advance(1)
        shown.finish()


def progress() -> LineProgress:
    """The display that fits where standard error goes, to be used in a with statement."""
    return BarProgress() if can_redraw(sys.stderr) else LineProgress()


class LineProgress(Progress):
    """Plain lines: one every ``interval`` seconds, and one at the end of each task."""

    def __init__(self, interval: float = 10.0) -> None:
        self.interval = interval
        self.task = ""
        self.total: Total = None
        self.done = 0.0
        self.begun = self.shown = time.monotonic()

    def __enter__(self) -> LineProgress:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def start(self, task: str, total: Total) -> None:
        """Begins a task; a ``total`` that must be counted first is counted when it is shown."""
        self.task, self.total, self.done = task, total, 0.0
        self.begun = self.shown = time.monotonic()

    def advance(self, count: float) -> None:
        self.done += count
        now = time.monotonic()
        if now - self.shown >= self.interval:
            self.shown = now
            tell(f"{self.task}: {int(self.done + _ROUNDING):,}{self._of_total(now)}")

    def finish(self) -> None:
        count = f" {round(self.done):,} in" if self.done else ""
        tell(f"{self.task}:{count} {time.monotonic() - self.begun:.1f} s")

    def _of_total(self, now: float) -> str:
        if not (total := self.counted_total()):
            return ""
        left = (now - self.begun) * (total / self.done - 1) if self.done else 0.0
        return f" of {total:,} ({self.done / total:.0%}), {left:.0f} s left"

    def counted_total(self) -> int | None:
        """The total, counted at the first call."""
        if callable(self.total):
            self.total = self.total()
        return self.total


class BarProgress(LineProgress):
    """A bar, and a line above it at the end of each task."""

    def __init__(self) -> None:
        super().__init__()
        from rich import progress
        from rich.console import Console

        self.bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TextColumn("{task.completed:,.0f}"),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self.shown_task: TaskID | None = None

    def __exit__(self, *error: object) -> None:
        self.bar.stop()

    def start(self, task: str, total: Total) -> None:
        super().start(task, total)
        self.bar.start()  # only while there is a task: training draws a bar of its own
        self.shown_task = self.bar.add_task(task, total=self.counted_total())

    def advance(self, count: float) -> None:
        self.done += count
        if self.shown_task is not None:
            self.bar.update(self.shown_task, advance=count)

    def finish(self) -> None:
        if self.shown_task is not None:
            self.bar.remove_task(self.shown_task)
            self.shown_task = None
        self.bar.stop()
        super().finish()
