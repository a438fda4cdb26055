"""Lines that take hours to make, kept as they are made: after a kill the next call goes on.

They lie in a folder beside the output, ``NAME.unfinished``, with a small file that says how many of
them count and what they are made of. Lines are synced before they are counted, so what was being
added when a process was killed is cut off again, and made anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import BaseModel, NonNegativeInt

from seq2seq.errors import Seq2SeqError
from seq2seq.storage import checked_json
from seq2seq.storage.atomic import (
    append_text,
    clear_leftovers,
    sync,
    write_bytes,
    write_errors,
)
from seq2seq.storage.layout import LOCK, STATE, UNFINISHED, UNFINISHED_LINES
from seq2seq.storage.lines import input_lines
from seq2seq.storage.lock import Lock

_SHOWN = 60  # characters of a value in a message


class _State(BaseModel):
    asked: dict[str, Any]
    lines: NonNegativeInt
    size: NonNegativeInt  # bytes


class UnfinishedLines:
    """The lines of an output that is being made, in a folder of their own until it is done.

    To be used in a ``with`` block. After it the folder is gone if nothing was added, or ``finish``
    was called; else it stays for the next call. Other processes are kept out meanwhile.

    Args:
        output: What the lines are for; the folder lies beside it.
        asked: What they are made of and how, as JSON has it. The folder of an earlier call must
            have been begun with the same.
        work: What is done, for messages: "translating".

    Raises:
        Seq2SeqError: If the folder was begun with something else, is damaged or not such a folder,
            cannot be written, or another process is at it.
    """

    def __init__(self, output: Path, asked: dict[str, Any], work: str) -> None:
        self.path = unfinished_folder(output)
        self.lines = 0
        self._asked: dict[str, Any] = json.loads(json.dumps(asked))
        self._size, self._finished = 0, False
        self._made = [one for one in self.path.absolute().parents if not one.exists()]
        with write_errors(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.path, work)
        try:
            with write_errors(self.path):
                self._go_on()
        except BaseException:
            self._lock.release()
            raise

    @property
    def _file(self) -> Path:
        return self.path / UNFINISHED_LINES

    def _go_on(self) -> None:
        """Finds where an earlier call has come to, and cuts off what it left half-written."""
        clear_leftovers(self.path)
        found = {one.name for one in self.path.iterdir()}
        if found - {LOCK, STATE, UNFINISHED_LINES}:
            raise Seq2SeqError(
                f"{self.path}: holds other files, and is where this command keeps its work: move "
                "them, or name another output"
            )
        if STATE in found:
            state = checked_json.read(self.path / STATE, _State)
            self._check_asked(state["asked"])
            self.lines, self._size = state["lines"], state["size"]
        if not self.lines:
            write_bytes(self._file, b"")
        elif not self._file.is_file() or self._file.stat().st_size < self._size:
            raise Seq2SeqError(
                f"{self._file}: damaged: shorter than {STATE} says: remove {self.path} to begin "
                "anew"
            )
        os.truncate(self._file, self._size)

    def _check_asked(self, before: dict[str, Any]) -> None:
        old, new = dict(_flat(before)), dict(_flat(self._asked))
        # What is not there is as None: an option that a later version has, left out.
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if not changed:
            return
        was, now = (_shown(one.get(changed[0])) for one in (old, new))
        raise Seq2SeqError(
            f"{self.path}: was begun with {changed[0]} {was}, which is {now} now: go on with what "
            "it was begun with, remove that folder to begin anew, or name another output"
        )

    def add(self, lines: Sequence[str]) -> None:
        """Adds lines, given without their ends, which are kept from then on whatever happens."""
        text = "".join(f"{line}\n" for line in lines)
        with write_errors(self._file):
            append_text(self._file, text)
            sync(self._file)
            self._size += len(text.encode())
            self.lines += len(lines)
            state = {"asked": self._asked, "lines": self.lines, "size": self._size}
            checked_json.write(self.path / STATE, state)

    def read(self) -> Iterator[str]:
        """Reads all lines that were added."""
        return input_lines(str(self._file), lambda *_: None) if self._size else iter(())

    def finish(self) -> None:
        """Says that the output is there, so that the folder can go."""
        self._finished = True

    def __enter__(self) -> UnfinishedLines:
        return self

    def __exit__(self, *error: object) -> None:
        goes = self._finished or not self.lines
        if goes:
            with suppress(OSError):
                for name in (STATE, UNFINISHED_LINES):
                    (self.path / name).unlink(missing_ok=True)
        self._lock.release()
        if goes:
            with suppress(OSError):  # another process has begun, or the output lies beside it
                for folder in (self.path, *self._made):
                    folder.rmdir()


def unfinished_folder(output: Path) -> Path:
    """Where the lines of an output are kept until it is there."""
    return output.with_name(output.name + UNFINISHED)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """All values in tables and lists, by their dotted names."""
    if isinstance(value, dict | list):
        named = value.items() if isinstance(value, dict) else enumerate(value, start=1)
        for key, below in named:
            yield from _flat(below, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
