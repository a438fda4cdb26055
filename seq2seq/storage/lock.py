"""A lock on a folder, which says who holds it."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from pathlib import Path

from seq2seq.errors import ModelError

LOCK = ".lock"


class Lock:
    """Keeps other processes out of a folder until it is released, or this process dies.

    The system forgets the lock with the process that holds it, so the file alone, which a killed
    process leaves behind, locks nobody out.

    Args:
        folder: The folder; it must be there.

    Raises:
        ModelError: If another process has it; the message names that process and its machine.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOCK
        while True:
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _holder(os.read(self._handle, 1000))
                os.close(self._handle)
                raise ModelError(
                    f"another process is training in {folder}: {holder}: wait for it, stop it, or "
                    "give -o another folder"
                ) from None
            if self._is_current():
                break
            os.close(self._handle)  # its holder removed the file between our two calls
        os.ftruncate(self._handle, 0)
        holder = json.dumps({"process": os.getpid(), "host": socket.gethostname()})
        try:
            os.write(self._handle, holder.encode() + b"\n")
        except OSError:
            self.release()
            raise

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._handle), self.path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Lets others in, and takes the file away."""
        self.path.unlink(missing_ok=True)
        os.close(self._handle)


def _holder(written: bytes) -> str:
    try:
        content = json.loads(written)
        return f"process {content['process']} on {content['host']}"
    except (ValueError, LookupError, TypeError):
        return "one that has only just begun"
