r"""Text that comes in and goes out of the command line, line by line.

A line ends at ``\n`` and nowhere else: other line ends of Unicode and NUL are content, and so is
``\r`` but for one before the ``\n``. Lines that are written end in ``\n`` alone. A file that is
written appears under its name when it is complete, or not at all.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

from seq2seq.cli.console import tell
from seq2seq.errors import Seq2SeqError
from seq2seq.storage.atomic import umask
from seq2seq.storage.text_files import HEAD, LONGEST_LINE, text_fault

STANDARD = "-"


def name_of(path: str) -> str:
    """Names a file in messages.

    Args:
        path: A path, or "-".

    Returns:
        The path, or "standard input".
    """
    return "standard input" if path == STANDARD else path


def read_lines(path: str) -> Iterator[str]:
    r"""Reads lines of text, in constant memory.

    One ``\r`` before the ``\n`` goes with it, so that files with Windows line ends can be used;
    preparing a corpus does the same. Bytes that are not UTF-8 are replaced by U+FFFD; when the end
    is reached, a warning says in how many lines, and where first.

    Args:
        path: A file; "-": standard input.

    Yields:
        The lines, without their ends.

    Raises:
        Seq2SeqError: If the file cannot be read or is not text.
    """
    replaced, first, number = 0, 0, 0
    with _opened(path) as stream:
        _check_text(path, stream)
        while raw := _next_line(path, stream):
            number += 1
            if len(raw) > LONGEST_LINE and not raw.endswith(b"\n"):
                raise Seq2SeqError(
                    f"{name_of(path)}, line {number}: longer than {LONGEST_LINE:,} bytes: "
                    "not a sentence"
                )
            if raw.endswith(b"\n"):
                raw = raw[:-1].removesuffix(b"\r")
            try:
                yield raw.decode("utf-8")
            except UnicodeDecodeError:
                replaced, first = replaced + 1, first or number
                yield raw.decode("utf-8", errors="replace")
    if replaced:
        lines = "1 line is" if replaced == 1 else f"{replaced:,} lines are"
        tell(
            f"warning: {name_of(path)}: {lines} not UTF-8 (the first: line {first}); "
            "what could not be read was replaced by U+FFFD"
        )


def all_lines(path: str) -> list[str]:
    """Reads lines of text that must be there.

    Args:
        path: A file; "-": standard input.

    Returns:
        The lines.

    Raises:
        Seq2SeqError: If the file cannot be read, is not text, or is empty.
    """
    lines = list(read_lines(path))
    if not lines:
        raise Seq2SeqError(f"{name_of(path)}: empty: there is nothing to score")
    return lines


def count_lines(path: str) -> int | None:
    """Counts the lines of a file.

    Args:
        path: A file; "-": standard input.

    Returns:
        The count; None where reading would use the text up.
    """
    if path == STANDARD or not Path(path).is_file():
        return None
    with _opened(path) as stream:
        count, last = 0, b"\n"
        while block := stream.read(2**20):
            count += block.count(b"\n")
            last = block[-1:]
    return count + (last != b"\n")


def read_pairs(source: str, target: str) -> Iterator[tuple[str, str]]:
    """Reads two files that belong together, line by line.

    Args:
        source: A file; "-": standard input.
        target: Another.

    Yields:
        A line of each.

    Raises:
        Seq2SeqError: If one cannot be read, or has fewer lines than the other.
    """
    left, right = count_lines(source), count_lines(target)
    if left is not None and right is not None:
        check_counts(source, left, target, right)
    sources, targets = read_lines(source), read_lines(target)
    count = 0
    for text in sources:
        other = next(targets, None)
        if other is None:
            break
        yield text, other
        count += 1
    else:
        if next(targets, None) is None:
            return
    raise Seq2SeqError(
        f"{name_of(source)} and {name_of(target)} have different numbers of lines: one ends after "
        f"line {count:,}; line n of one must belong to line n of the other"
    )


def check_standard_input(*paths: str) -> None:
    """Raises a ``Seq2SeqError`` if more than one of the files is standard input."""
    if paths.count(STANDARD) > 1:
        raise Seq2SeqError("standard input can be read only once: give - for one file only")


def check_counts(first: str, first_count: int, second: str, second_count: int) -> None:
    """Checks that two files belong together line by line.

    Args:
        first: A file.
        first_count: Its lines.
        second: Another file.
        second_count: Its lines.

    Raises:
        Seq2SeqError: If the counts differ.
    """
    if first_count != second_count:
        raise Seq2SeqError(
            f"{name_of(first)} has {counted(first_count)} but {name_of(second)} has "
            f"{counted(second_count)}: line n of one must belong to line n of the other"
        )


def counted(count: int) -> str:
    """A number of lines in words."""
    return "1 line" if count == 1 else f"{count:,} lines"


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    if path == STANDARD:
        if sys.stdin is None:
            raise Seq2SeqError("standard input is closed")
        yield sys.stdin.buffer
        return
    try:
        stream = Path(path).open("rb")  # noqa: SIM115 - closed below; errors within are not its own
    except FileNotFoundError:
        raise Seq2SeqError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise Seq2SeqError(f"{path}: a folder, where a file is expected") from None
    except (OSError, ValueError) as error:
        raise Seq2SeqError(f"{path}: cannot be read: {_reason(error)}") from None
    with stream:
        yield stream


def _next_line(path: str, stream: BinaryIO) -> bytes:
    try:
        return stream.readline(LONGEST_LINE + 1)
    except OSError as error:
        raise Seq2SeqError(f"{name_of(path)}: cannot be read: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _check_text(path: str, stream: BinaryIO) -> None:
    try:
        head = stream.peek(HEAD)[:HEAD]  # type: ignore[attr-defined]
    except OSError as error:
        raise Seq2SeqError(f"{name_of(path)}: cannot be read: {_reason(error)}") from None
    if fault := text_fault(head):
        raise Seq2SeqError(f"{name_of(path)}: {fault}")


class Output:
    """Where lines go.

    Args:
        name: What errors call it.
        stream: The open file.
    """

    def __init__(self, name: str, stream: IO[bytes]) -> None:
        self._name = name
        self._stream = stream

    def write(self, line: str) -> None:
        r"""Writes a line.

        Args:
            line: Without its ``\n``.
        """
        with write_errors(self._name):
            self._stream.write(line.encode("utf-8", errors="replace") + b"\n")

    def flush(self) -> None:
        """Lets readers see what was written so far."""
        with write_errors(self._name):
            self._stream.flush()


@contextmanager
def write_lines(path: str) -> Iterator[Output]:
    """Opens a file for lines; it appears under its name when it is complete, or not at all.

    Args:
        path: A file, which is replaced, or something like a pipe, which is written to; "-":
            standard output.

    Yields:
        What to write to.

    Raises:
        Seq2SeqError: If it cannot be written.
    """
    if path == STANDARD:
        output = Output("standard output", sys.stdout.buffer)
        yield output
        output.flush()
        return
    with write_bytes(path) as stream:
        yield Output(path, stream)


@contextmanager
def write_bytes(path: str) -> Iterator[IO[bytes]]:
    """Opens a file for bytes; it appears under its name when it is complete, or not at all.

    Args:
        path: A file, which is replaced, or something like a pipe, which is written to.

    Yields:
        The stream.

    Raises:
        Seq2SeqError: If it cannot be written.
    """
    target = Path(path)
    with write_errors(path):
        mode = target.stat().st_mode if target.exists() else None
        if mode is not None and stat.S_ISDIR(mode):
            raise Seq2SeqError(f"{path}: a folder, where a file is to be written")
        if not target.resolve().parent.is_dir():
            raise Seq2SeqError(f"{path}: there is no folder {target.parent} to write it in")
    if mode is not None and not stat.S_ISREG(mode):
        with write_errors(path), target.open("wb") as stream:
            yield stream
            stream.flush()
        return
    with _replacing(path, target.resolve(), mode) as stream:
        yield stream


@contextmanager
def _replacing(path: str, target: Path, mode: int | None) -> Iterator[IO[bytes]]:
    """A file without a name, or a temporary one, which takes its place if all went well."""
    with write_errors(path):
        number, temporary = _unnamed(target)
    stream = os.fdopen(number, "wb")
    try:
        yield stream
        with write_errors(path):
            stream.flush()
            os.fchmod(number, stat.S_IMODE(mode) if mode else 0o666 & ~umask())
            os.fsync(number)
            if temporary is None:
                temporary = _named(number, target)
            stream.close()
            temporary.replace(target)
    except BaseException:
        with suppress(OSError):  # what a full disk did not take cannot be flushed now either
            stream.close()
        if temporary is not None:
            temporary.unlink(missing_ok=True)
        raise


def _unnamed(target: Path) -> tuple[int, Path | None]:
    """Opens a file that is gone if this process is killed; with a name where that cannot be."""
    with suppress(OSError, AttributeError):  # not every system and file system has it
        flags = os.O_TMPFILE | os.O_WRONLY
        if Path("/proc/self/fd").is_dir():
            return os.open(target.parent, flags, 0o600), None
    number, name = tempfile.mkstemp(prefix=f".{target.name[:100]}.", dir=target.parent)
    return number, Path(name)


def _named(number: int, target: Path) -> Path:
    """Gives an unnamed file a temporary name in its folder."""
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        name = f".{target.name[:100]}.{secrets.token_hex(8)}"
        # A descriptor of the folder makes Python follow the link in /proc to the file itself.
        os.link(f"/proc/self/fd/{number}", name, dst_dir_fd=folder)
        return target.parent / name
    finally:
        os.close(folder)


@contextmanager
def write_errors(name: str) -> Iterator[None]:
    """Says which file it was that the system could not write.

    Args:
        name: What the error calls it.

    Yields:
        Nothing.

    Raises:
        Seq2SeqError: If the block fails to write.
        BrokenPipeError: As it is: someone reads no more.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        wrong = Seq2SeqError(f"{name}: cannot be written: {_reason(error)}")
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            wrong.exit_code = 1  # not the user's input
        raise wrong from None
