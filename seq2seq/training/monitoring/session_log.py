"""What a run keeps for its readers: when each session began and ended, examples, the page.

A session is the time from a call of ``train`` to its end. Its beginning and its end are records of
``metrics.jsonl``; one without an end was killed.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from seq2seq.errors import MissingExtraError, TrainingError
from seq2seq.processors import usable_processors
from seq2seq.recipe import Recipe
from seq2seq.storage import checked_json
from seq2seq.storage.atomic import write_text
from seq2seq.storage.layout import EXAMPLES, REPORT, TENSORBOARD
from seq2seq.storage.whole import JSON_SIZE, read_bytes
from seq2seq.training.run.journal import Journal
from seq2seq.training.signals import StopRequest
from seq2seq.training.state import TrainingState

EXAMPLES_FORMAT = 1
_NOT_SCALARS = ("kind", "update", "time")

Page = Callable[[Path, bool], None]
"""Makes the run's page: its folder, and whether nothing more will happen in this session."""


class SessionLog:
    """Writes what no number of the training depends on, into the folder of a run.

    ``page`` makes the run's page; None: there is none.
    """

    def __init__(
        self, run: Path, journal: Journal, say: Callable[[str], None], page: Page | None
    ) -> None:
        self.run, self.journal, self.say, self._page = run, journal, say, page

    @contextmanager
    def session(
        self,
        recipe: Recipe,
        state: Callable[[], TrainingState],
        stop: StopRequest,
        environment: dict[str, Any],
    ) -> Iterator[None]:
        """Records when a session begins and how it ends; the training happens within.

        ``stop`` says which signal ended it, ``environment`` what its numbers may depend on.
        """
        if state().stopped:  # nothing will happen
            yield
            return
        update = state().update
        board = None
        if recipe.training.tensorboard:
            board = TensorBoard(self.run / TENSORBOARD, update + 1)
            self.journal.listener = self._guarded(board)
        lost = {"reached": self.journal.reached} if self.journal.reached else {}
        about = {"environment": {**environment, **host()}, **lost}
        self._session("resumed" if update else "begun", update, **about)
        try:
            yield
        except BaseException as error:
            what = "failed" if isinstance(error, Exception) else "stopped"
            reason = str(error).partition("\n")[0] or type(error).__name__
            with contextlib.suppress(TrainingError):  # another run may be there by now
                with contextlib.suppress(OSError):  # the disk may be what is wrong
                    self._session(what, state().update, reason=reason)
                if isinstance(error, Exception):
                    self.page(final=True)
            raise
        else:
            ended = state().stopped
            self._session(
                "finished" if ended else "stopped", state().update, reason=ended or stop.by
            )
            self.page(final=True)
        finally:
            self.journal.listener = None
            if board is not None:
                with contextlib.suppress(OSError):
                    board.close()

    def _guarded(self, board: TensorBoard) -> Callable[[dict[str, Any]], None]:
        """Writes records for TensorBoard; where the disk is full, training goes on without them."""

        def record(values: dict[str, Any]) -> None:
            try:
                board.record(values)
            except OSError as error:
                self.journal.listener = None
                self.say(f"warning: nothing more is written for TensorBoard: {error}")

        return record

    def examples(
        self,
        make: Callable[[], dict[str, Any] | None] | None,
        update: int,
    ) -> dict[str, Any] | None:
        """Writes what ``make`` gives for an update, or reads what was kept of it; None: nothing."""
        path = self.run / EXAMPLES
        try:
            if make is not None:
                made = make()
                self.journal.check()
                return write_examples(path, made, update)
            stored = checked_json.loads(read_bytes(path, JSON_SIZE))
            return stored if stored.get("update") == update else None
        except (FileNotFoundError, ValueError):
            return None
        except OSError as error:
            self.say(f"warning: {path} could not be written: {error}")
            return None

    def _session(self, what: str, update: int, **more: Any) -> None:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self.journal.append(
            {"kind": "session", "what": what, "update": update, "time": now, **more}
        )

    def page_if_missing(self) -> None:
        """Makes the page of a finished run whose last session was killed right before."""
        if not (self.run / REPORT).is_file():
            self.page(final=True)

    def page(self, *, final: bool) -> None:
        """Makes the run's page, the last time with ``final``; if it fails, training goes on."""
        if self._page is None:
            return
        self.journal.check()
        try:
            self._page(self.run, final)
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            self.say(f"warning: the run's report could not be written: {reason}")


def write_examples(
    path: Path, examples: dict[str, Any] | None, update: int
) -> dict[str, Any] | None:
    """Writes ``examples.json`` if there are examples; returns what was written."""
    if examples is None:
        return None
    found = {"format": EXAMPLES_FORMAT, "update": update, **examples}
    write_text(path, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
    return found


def host() -> dict[str, Any]:
    """Processor, cores, memory in bytes, system and GPU, as far as known; nothing personal."""
    found: dict[str, Any] = {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": usable_processors(),
        "system": f"{platform.system()} {platform.machine()}",
    }
    with contextlib.suppress(ValueError, OSError, AttributeError):
        found["memory"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n"):
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def check_installed() -> None:
    """Checks that TensorBoard's package is there, before hours are spent."""
    if find_spec("tensorboard") is None:
        raise MissingExtraError("training.tensorboard", "tensorboard", "tensorboard")


class TensorBoard:
    """Writes event files into a folder; files of earlier sessions stay, and are read before.

    ``first`` is the first update that this session makes: what TensorBoard has from there on, left
    by a session that was killed, is shown no more.
    """

    def __init__(self, folder: Path, first: int) -> None:
        check_installed()
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=first)

    def record(self, record: dict[str, Any]) -> None:
        """Adds the numbers of a record of ``metrics.jsonl``; those of sessions have none."""
        if record["kind"] not in ("train", "gradients", "validation"):
            return
        for name, value in _scalars(record):
            self.writer.add_scalar(f"{record['kind']}/{name}", value, record["update"])

    def close(self) -> None:
        """Waits for the disk."""
        self.writer.close()


def _scalars(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{name}/")
        elif name not in _NOT_SCALARS and isinstance(value, int | float) and math.isfinite(value):
            yield prefix + name, float(value)
