"""A lock on a folder, which says who holds it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
from pathlib import Path

from seq2seq.errors import ModelError
from seq2seq.storage.layout import LOCK


class Lock:
    """Keeps other processes out of a folder until it is released, or this process dies.

    The system forgets the lock with the process that holds it, so the file alone, which a killed
    process leaves behind, locks nobody out. A ``ModelError`` says that another process has it
    (``work`` is what it does there), or that a link lies under its name.
    """

    def __init__(self, folder: Path, work: str = "training") -> None:
        self.path = folder / LOCK
        while True:
            self._handle = self._open()
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = _holder(os.read(self._handle, 1000))
                os.close(self._handle)
                raise ModelError(
                    f"another process is {work} in {folder}: {holder}: wait for it, stop it, or "
                    "give -o another folder"
                ) from None
            if self._is_current():
                break
            os.close(self._handle)  # its holder removed the file between our two calls
        self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        os.ftruncate(self._handle, 0)
        holder = json.dumps({"process": os.getpid(), "host": socket.gethostname()})
        try:
            os.write(self._handle, holder.encode() + b"\n")
        except OSError:
            self.release()
            raise

    def _open(self) -> int:
        link = ModelError(f"{self.path}: a link, where a lock is expected: remove it")
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise link from None
        found = os.fstat(handle)
        if found.st_nlink > 1 or not stat.S_ISREG(found.st_mode):  # another file's second name
            os.close(handle)
            raise link
        return handle

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._handle), self.path.lstat())
        except (FileNotFoundError, NotADirectoryError):
            return False

    def is_lost(self) -> bool:
        """Whether another folder has taken the locked one's place, or another process its lock.

        A folder that is only missing is not lost, nor one whose lock file someone has removed. The
        descriptors keep the system from giving their numbers to new files.
        """
        try:
            if not os.path.samestat(os.fstat(self._folder), self.path.parent.stat()):
                return True
            return os.path.lexists(self.path) and not self._is_current()
        except OSError:  # writing there will tell
            return False

    def release(self) -> None:
        """Lets others in, and takes the file away, unless it is another process's by now."""
        try:
            if self._is_current():
                self.path.unlink(missing_ok=True)
        finally:
            os.close(self._folder)
            os.close(self._handle)


def is_locked(folder: Path) -> bool:
    """Whether a process holds a folder's lock; this one may be that process."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _holder(written: bytes) -> str:
    try:
        content = json.loads(written)
        return f"process {content['process']} on {content['host']}"
    except (ValueError, LookupError, TypeError):
        return "one that has only just begun"
