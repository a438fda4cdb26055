"""``metrics.jsonl``: what training measured, a JSON object a line."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, FiniteFloat, NonNegativeInt

from seq2seq.storage import checked_json
from seq2seq.storage.atomic import append_text, write_text
from seq2seq.storage.whole import read_bytes

_MADE_AGAIN = frozenset(
    ("train", "gradients", "validation", "plan", "buffer", "skipped", "rollback", "changed_data")
)
"""What is forgotten where training goes on from before it."""


class _Record(BaseModel):
    """What readers rely on of a record, which may have much else."""

    kind: str = ""
    update: NonNegativeInt = 0
    to: NonNegativeInt | None = None
    reached: NonNegativeInt | None = None
    of_update: NonNegativeInt | None = None
    seconds: FiniteFloat | None = None
    tensors: tuple[int, int] | None = None
    parameters: tuple[int, int] | None = None
    fresh: list[str] = []
    reshaped: dict[str, Any] = {}
    files: list[str] = []
    lines: list[int] = []
    corpora: list[str] | None = None
    update_ratio: dict[str, Any] | None = None
    factor: dict[str, Any] = {}


class Journal:
    """Appends records to a file, and forgets those that a resumed run makes again.

    Other records stay: sessions are history, and of what is not known nothing comes again.
    ``reached`` is the last update that was forgotten, ``listener`` is told of every record, and
    ``say`` where the file cannot be written. ``check`` raises where the file is another run's.
    """

    def __init__(self, path: Path, check: Callable[[], None] = lambda: None) -> None:
        self.path, self.check = path, check
        self.reached: int | None = None
        self.listener: Callable[[dict[str, Any]], None] | None = None
        self.say: Callable[[str], None] | None = None
        self._waiting: list[str] = []
        self._complained = False

    def records(self) -> list[dict[str, Any]]:
        """All records in order, but for lines that are damaged, or were left unfinished."""
        if not self.path.is_file():
            return []
        records = []
        for line in read_bytes(self.path).split(b"\n"):
            with contextlib.suppress(ValueError):
                records.append(checked_json.loads(line, _Record))
        return records

    def rewind(self, update: int) -> None:
        """Drops the records after the update that training goes on from."""
        if self.path.is_file():
            kept, forgotten = [], [0]
            for record in self.records():
                if record.get("update", 0) <= update or record.get("kind") not in _MADE_AGAIN:
                    kept.append(record)
                else:
                    forgotten.append(record["update"])
            self.reached = max(forgotten) or None
            write_text(self.path, "".join(json.dumps(record) + "\n" for record in kept))

    def append(self, record: dict[str, Any]) -> None:
        """Adds a record of plain values; it should have an "update"."""
        self.check()
        self._waiting.append(json.dumps(_finite(record)) + "\n")
        whole = self.path.stat().st_size if self.path.is_file() else 0
        try:
            append_text(self.path, "".join(self._waiting))
        except OSError as error:  # training goes on, and each record tries again
            with contextlib.suppress(OSError):
                os.truncate(self.path, whole)
            if self.say is not None and not self._complained:
                self.say(
                    f"warning: {self.path} cannot be written: {error}; its records are kept and "
                    "written later"
                )
            self._complained = True
        else:
            self._waiting, self._complained = [], False
        if self.listener is not None:
            self.listener(record)


def _finite(value: Any) -> Any:
    """JSON has no infinities: a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {key: _finite(below) for key, below in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
