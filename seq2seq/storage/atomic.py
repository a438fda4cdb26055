"""The one writer: a file or a folder appears under its name when it is complete, or not at all.

The policy, for everything that this package writes:

- What is being written has another name in the same folder, or none, and takes its own at the end,
  after it was synced; then its folder is synced. A process killed at any moment leaves what was
  there before.
- A temporary name is made anew (``O_EXCL``) and no link is followed (``O_NOFOLLOW``), so a link
  that lies in an unpacked run leads no write elsewhere; a link under the file's own name is
  replaced. Only where a user names the output (``output_file``) is a link followed.
- A device or a pipe is written to directly: it cannot be replaced. So is a file that is open and
  named as such (/dev/stdout): another process may be adding to it.
- Permissions are those that the system gives new files (the umask); a file that is replaced hands
  its own on.
- Temporary names begin with ``PARTIAL``, and those of folders that are being replaced with another
  word, so that no output's temporary name is one of them. ``clear_leftovers`` removes what killed
  processes left; call it only on a folder that no other process writes to.

Everything raises plain OSError; ``write_errors`` puts one into words.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import io
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from seq2seq.errors import NOT_THE_INPUT, Seq2SeqError

PARTIAL = ".partial-"
_OLD = ".replaced-"  # a folder that is being replaced
_OLD_UNTIL_0_4 = PARTIAL + "old-"  # also the temporary name of a folder that is called old-...
_MOST_LINKS = 40  # in a row, as the system follows
_NEW = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY


def write_bytes(path: Path, data: bytes) -> None:
    """Writes a file, or replaces it in one step."""
    with new_file(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    r"""Writes a text file in UTF-8, or replaces it in one step; ``\n`` stays as it is."""
    write_bytes(path, text.encode("utf-8"))


def append_text(path: Path, text: str) -> None:
    """Adds to the end of a text file, or begins one; no link is followed."""
    number = os.open(path, os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_WRONLY, 0o666)
    with os.fdopen(number, "wb") as stream:
        stream.write(text.encode("utf-8"))


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Opens a file to write, which appears under its name after the block, if that went well.

    Where the system has files without names, nothing is left even if the process is killed.
    """
    mode = _mode_of(path)
    if mode and not stat.S_ISREG(mode):  # a device or a pipe
        with path.open("wb") as stream:
            yield stream
        return
    number, partial = _without_name(path.parent)
    stream = os.fdopen(number, "wb")
    try:
        yield stream
        stream.flush()
        _finish(number, mode)
        if partial is None:
            partial = _give_name(number, path.parent)
        stream.close()
        partial.replace(path)
    except BaseException:
        with suppress(OSError):  # what a full disk did not take cannot be flushed now either
            stream.close()
        if partial is not None:
            partial.unlink(missing_ok=True)
        raise
    sync(path.parent)


def real_path(path: str | Path) -> Path:
    """The path without links, like ``Path.resolve``, which some Pythons end by a link to itself."""
    return Path(os.path.realpath(path))


@contextmanager
def output_file(path: str | Path) -> Iterator[BinaryIO]:
    """``new_file`` for an output that the user named: links are followed, errors are in words.

    A file that is open already and named by its number, such as /dev/stdout, is written to as it
    stands. It is not replaced: others may write to it, or have written what must not be lost.

    Only what is raised by writing to the stream should still go through ``write_errors``.
    """
    target = Path(path)
    with write_errors(path):
        with suppress(FileNotFoundError, NotADirectoryError):
            if stat.S_ISDIR(target.stat().st_mode):
                raise Seq2SeqError(f"{path}: a folder, where a file is to be written")
        number, real = _open_number(target), real_path(target)
        if number is None and not real.parent.is_dir():
            raise Seq2SeqError(f"{path}: there is no folder {target.parent} to write it in")
    with ExitStack() as stack:  # errors of what the block reads are not those of this file
        with write_errors(path):
            opened = new_file(real) if number is None else _open_stream(number)
            stream = stack.enter_context(opened)
        yield stream
        with write_errors(path):
            stack.close()


@contextmanager
def usual_permissions(path: Path) -> Iterator[None]:
    """Gives a file that a library makes in the block those of any new file."""
    path.touch()
    mode = path.stat().st_mode
    yield
    path.chmod(stat.S_IMODE(mode))


def replace_link(link: Path, target: Path) -> None:
    """Makes a symbolic link, or replaces it in one step; a relative target is kept as it is."""
    partial = link.with_name(PARTIAL + secrets.token_hex(8))
    partial.symlink_to(target)
    try:
        partial.replace(link)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def new_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Makes a folder, which appears under its name after the block, if that went well.

    The block gets it empty, under a temporary name that is always the same: so a second process
    sees that a first is at it (``BlockingIOError``), and what a killed one left is taken away.
    Folders above it are made, and removed on failure. With ``overwrite`` one that is there is
    replaced; without it that is an ``OSError``, unless it is empty.
    """
    made = [parent for parent in path.absolute().parents if not parent.exists()]
    with suppress(FileExistsError):  # what is no folder is told below as what it is
        path.parent.mkdir(parents=True, exist_ok=True)
    partial, old = path.with_name(PARTIAL + path.name), path.with_name(_OLD + path.name)
    handle = _locked_folder(partial)
    try:
        _put_back(old, path)
        for leftover in partial.iterdir():
            remove(leftover)
        yield partial
        for below in partial.rglob("*"):
            if not below.is_symlink():
                sync(below)
        sync(partial)
        if overwrite and path.is_dir():
            path.rename(old)
        partial.rename(path)
        sync(path.parent)
    finally:
        _put_back(old, path)
        shutil.rmtree(partial, ignore_errors=True)
        if not path.exists():
            with suppress(OSError):  # something else was put there meanwhile
                for parent in made:
                    parent.rmdir()
        os.close(handle)


def clear_leftovers(folder: Path) -> None:
    """Removes what killed processes left half-written, and puts back what they were replacing."""
    if not folder.is_dir():
        return
    for prefix in (_OLD, _OLD_UNTIL_0_4):
        for old in folder.glob(prefix + "*"):
            _put_back(old, old.with_name(old.name.removeprefix(prefix)))
    for partial in folder.glob(PARTIAL + "*"):
        remove(partial)


def sync(path: Path) -> None:
    """Makes a file's content, or the names in a folder, survive a power cut."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def file_digest(path: Path | str) -> str:
    """Hashes a file: SHA-256 in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def write_errors(name: str | Path) -> Iterator[None]:
    """Makes an OSError a ``Seq2SeqError`` that names the file which could not be written."""
    try:
        yield
    except BrokenPipeError:  # nobody reads any more
        raise
    except OSError as error:
        wrong = Seq2SeqError(f"{name}: cannot be written: {error.strerror or error}")
        if error.errno in NOT_THE_INPUT:
            wrong.exit_code = 1  # not the user's input
        raise wrong from None


def _open_number(path: Path) -> int | None:
    """The number of this process's open file that a path names, by links or not; None: it doesn't.

    The entries of the folder of open files look like links, which must not be followed.
    """
    folders = {real_path("/dev/fd"), real_path("/proc/self/fd")}
    for _ in range(_MOST_LINKS):
        if os.path.lexists(path) and real_path(path.parent) in folders and path.name.isdecimal():
            return int(path.name)
        if not path.is_symlink():
            return None
        path = path.parent / path.readlink()
    return None


def _open_stream(number: int) -> BinaryIO:
    """Writes on where an open file stands, and leaves it open."""
    copy = os.dup(number)
    if fcntl.fcntl(copy, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        os.close(copy)
        raise OSError(errno.EBADF, "it was opened to be read")
    return io.BufferedWriter(_Forward(copy, "wb"))


class _Forward(io.FileIO):
    """Is only ever added to, so that nobody goes back in what others wrote before or meanwhile."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_: int) -> int:
        raise io.UnsupportedOperation

    tell = seek


def _mode_of(path: Path) -> int:
    """The kind and permissions of what is there and is not a link; 0: nothing is, or a link."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return 0
    return 0 if stat.S_ISLNK(mode) else mode


def _without_name(folder: Path) -> tuple[int, Path | None]:
    """Opens a file that is gone if this process is killed; with a name where that cannot be."""
    with suppress(OSError, AttributeError):  # not every system and file system has it
        flags = os.O_TMPFILE | os.O_WRONLY
        if Path("/proc/self/fd").is_dir():
            return os.open(folder, flags, 0o666), None
    partial = folder / (PARTIAL + secrets.token_hex(8))
    return os.open(partial, _NEW, 0o666), partial


def _give_name(number: int, folder: Path) -> Path:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        name = PARTIAL + secrets.token_hex(8)
        # A descriptor of the folder makes Python follow the link in /proc to the file itself.
        os.link(f"/proc/self/fd/{number}", name, dst_dir_fd=handle)
        return folder / name
    finally:
        os.close(handle)


def _finish(number: int, mode: int) -> None:
    """Gives an open file the permissions that it should have, unless they are 0, and syncs it."""
    if mode and stat.S_IMODE(os.fstat(number).st_mode) != stat.S_IMODE(mode):
        os.fchmod(number, stat.S_IMODE(mode))
    os.fsync(number)


def _locked_folder(folder: Path) -> int:
    """Makes a folder where it is missing, and keeps other processes from working in it."""
    while True:
        folder.mkdir(exist_ok=True)
        try:
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except FileNotFoundError:
            continue  # its process has just finished
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise BlockingIOError(errno.EWOULDBLOCK, "another process is writing it") from None
        except OSError:
            pass  # a file system without locks
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), folder.lstat()):
                return handle
        os.close(handle)


def _put_back(old: Path, final: Path) -> None:
    """Brings back a folder that was not replaced after all, else drops it."""
    if not old.is_dir():
        return
    if final.exists():
        shutil.rmtree(old)
    else:
        old.rename(final)


def remove(path: Path) -> None:
    """Removes a file, a folder with all that is in it, or a link, which is not followed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
