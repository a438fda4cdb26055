r"""Files as streams of lines: unpacked, checked to be text, and split at ``\n`` alone.

Unicode has many more line ends (U+2028, a vertical tab ...), and the readers of ``datasets`` and
of ``str.splitlines`` honour some of them. Here they are content: with one more line on one side,
every pair below it would be wrong.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

import pyarrow as pa

from seq2seq.errors import DataError
from seq2seq.storage.text_files import HEAD, LONGEST_LINE, text_fault

_BUFFER = 2**20
_CODECS = {".gz": "gzip", ".zst": "zstd"}
_PACK = "unpack it first, or pack it as .gz or .zst"
_ADVICE = {
    "gzip data": "its name must end in .gz",
    "Zstandard data": "its name must end in .zst",
    "Parquet": "its name must end in .parquet, or say kind = 'parquet'",
    "bzip2 data": _PACK,
    "xz data": _PACK,
}


def check_file(path: str) -> None:
    """Checks that there is a regular file with something in it, and that it may be read.

    Args:
        path: The file.

    Raises:
        DataError: If not; the message says what is there instead.
    """
    try:
        status = Path(path).stat()
        if stat.S_ISDIR(status.st_mode):
            raise DataError(f"{path}: a folder, where a file is expected")
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: not a regular file (a pipe or a device); write it to a file")
        with Path(path).open("rb"):
            pass
    except FileNotFoundError:
        raise DataError(f"{path}: no such file{_nearest(path)}") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from None
    if status.st_size == 0:
        raise DataError(f"{path}: the file is empty")


def _nearest(path: str) -> str:
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        return f" (there is no folder {folder} either)"
    near = get_close_matches(Path(path).name, [one.name for one in folder.iterdir()], n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def file_digest(path: Path | str) -> str:
    """Hashes a file.

    Args:
        path: The file.

    Returns:
        Its SHA-256, in hexadecimal digits.
    """
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class Start:
    """Where reading begins, if not at the beginning.

    Attributes:
        lines: Lines (or rows) before it.
        offsets: Bytes before it, in each of a source's files; None: so many lines are passed over.
    """

    lines: int = 0
    offsets: tuple[int, ...] | None = None

    def of(self, file: int) -> Start:
        """The same for one of a source's files.

        Args:
            file: Which, from 0.

        Returns:
            Where to begin there.
        """
        return Start(self.lines, self.offsets and (self.offsets[file],))


FROM_START = Start()


def sketch_digest(path: Path | str) -> str:
    """Hashes a file's size and some of its content, for files that are too large to be read twice.

    Args:
        path: The file.

    Returns:
        A SHA-256, in hexadecimal digits, of the size and a mebibyte each at the beginning, in the
        middle and at the end.
    """
    size = Path(path).stat().st_size
    found = hashlib.sha256(f"{size} ".encode())
    with Path(path).open("rb") as file:
        for place in (0, size // 2, max(0, size - _BUFFER)):
            file.seek(place)
            found.update(file.read(_BUFFER))
    return found.hexdigest()


def can_seek(path: str) -> bool:
    """Whether reading can begin in the midst of a text file.

    Args:
        path: The file.

    Returns:
        Whether; not if it is packed.
    """
    return Path(path).suffix not in _CODECS


def offset_after(path: str, offset: int, lines: int) -> int:
    """Finds where a line begins.

    Args:
        path: A file that is not packed.
        offset: Where another line begins.
        lines: How many lines there are from there to the wanted one.

    Returns:
        Its offset; the file's size, if it ends before.
    """
    with Path(path).open("rb") as file:
        file.seek(offset)
        while lines and (block := file.read(_BUFFER)):
            count = block.count(b"\n")
            if count < lines:
                lines -= count
                offset += len(block)
                continue
            return offset + _place_after(block, lines)
    return offset


def read_lines(path: str, start: Start = FROM_START) -> Iterator[bytes]:
    r"""Reads the lines of a text file, in constant memory.

    ``.gz`` and ``.zst`` are unpacked. One ``\r`` before the ``\n`` goes with it, so that files
    with Windows line ends can be used. The last line need not end in ``\n``.

    Args:
        path: The file.
        start: Where to begin.

    Returns:
        The lines, without their ends, read as they are asked for; then a DataError is raised if
        the file cannot be read or unpacked, is empty, or is not text.
    """
    return chain.from_iterable(map(_split, line_blocks(path, start)))


def _split(block: bytes) -> list[bytes]:
    lines = block.split(b"\n")
    lines.pop()  # what is behind the last line's end
    return lines


def line_blocks(path: str, start: Start = FROM_START) -> Iterator[bytes]:
    r"""Reads whole lines by the megabyte, since a call for each would take most of the time.

    Args:
        path: The file.
        start: Where to begin.

    Yields:
        The next lines of ``read_lines``, each with a ``\n`` at its end, the last one too.

    Raises:
        DataError: As ``read_lines`` does.
    """
    blocks = _line_blocks(path, start)
    if start.offsets is None and start.lines:
        blocks = _after(blocks, start.lines)
    yield from blocks


def _after(blocks: Iterator[bytes], left: int) -> Iterator[bytes]:
    for block in blocks:
        count = block.count(b"\n") if left else 0
        if left < count or not left:
            yield block[_place_after(block, left) :]
            left = 0
        else:
            left -= count


def _place_after(block: bytes, lines: int) -> int:
    """Where a block goes on after its first lines."""
    place = 0
    for _ in range(lines):
        place = block.index(b"\n", place) + 1
    return place


def _line_blocks(path: str, start: Start) -> Iterator[bytes]:
    check_file(path)
    number = 0
    rest = b""
    with _unpacked(path) as stream:
        _check_text(path, stream.peek(HEAD)[:HEAD])
        if start.offsets is not None:
            stream.seek(start.offsets[0])
            number = start.lines
        while read := stream.read(_BUFFER):
            end = read.rfind(b"\n") + 1
            block, rest = (rest + read[:end], read[end:]) if end else (b"", rest + read)
            lines = block.count(b"\n")
            if len(rest) > LONGEST_LINE:
                raise DataError(
                    f"{path}, line {number + lines + 1}: longer than {LONGEST_LINE:,} bytes: "
                    "not a sentence"
                )
            number += lines
            if b"\r" in block:
                block = block.replace(b"\r\n", b"\n")
            yield block
    if rest:
        yield rest + b"\n"


@contextmanager
def _unpacked(path: str) -> Iterator[io.BufferedReader]:
    codec = _CODECS.get(Path(path).suffix)
    try:
        if codec is None:
            with Path(path).open("rb", buffering=0) as raw:
                yield io.BufferedReader(raw, _BUFFER)
        else:
            # pyarrow's codecs report a truncated stream; the zstandard package ends it silently.
            with pa.input_stream(path, compression=codec) as packed:
                yield io.BufferedReader(packed, _BUFFER)
    except OSError as error:
        if codec is None or error.errno is not None:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
        reason = str(error).splitlines()[0]
        if "Truncated" in reason:
            raise DataError(f"{path}: the {codec} data ends too early: a broken copy?") from None
        raise DataError(f"{path}: not {codec} data, or damaged ({reason})") from None


def _check_text(path: str, head: bytes) -> None:
    if not head:
        raise DataError(f"{path}: the file is empty")
    if fault := text_fault(head, _ADVICE):
        raise DataError(f"{path}: {fault}")


def sync(path: Path) -> None:
    """Makes a file's content, or the names in a folder, survive a power cut.

    Args:
        path: The file or folder.
    """
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
