r"""The one reader of text: lines that end at ``\n`` alone, in constant memory.

Unicode has many more line ends (U+2028, a vertical tab ...), and ``str.splitlines`` honours them.
Here they are content: with one more line on one side, every pair below it would be wrong. One
``\r`` before the ``\n`` goes with it, so that files with Windows line ends can be used.

A corpus is a regular file, packed or not, with something in it (``corpus_blocks``); an input may be
anything that text comes from (``input_lines``). Both take and refuse the same content.
"""

from __future__ import annotations

import io
import select
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from seq2seq.errors import DataError, Seq2SeqError, did_you_mean

STANDARD = "-"
"""Standard input or output, where a path is expected."""
LONGEST_LINE = 2**24
"""Bytes; a longer line is not a sentence, and would not fit in constant memory."""
HEAD = 2**16
"""Bytes; how much of a file is looked at to tell whether it is text."""

_BUFFER = 2**20
_MOMENT = 0.05  # seconds: who writes line by line without a rest is not waited for one by one
_CODECS = {".gz": "gzip", ".zst": "zstd"}

_UNPACK = "unpack it first"
_CONVERT = "convert it to UTF-8"
_KINDS = {
    b"\x1f\x8b": ("gzip data", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("Zstandard data", _UNPACK),
    b"PAR1": ("Parquet", "write its texts to a file, one a line"),
    b"PK\x03\x04": ("a zip archive", _UNPACK),
    b"BZh": ("bzip2 data", _UNPACK),
    b"\xfd7zXZ": ("xz data", _UNPACK),
    b"\xff\xfe": ("UTF-16 text", _CONVERT),
    b"\xfe\xff": ("UTF-16 text", _CONVERT),
}
_PACK = "unpack it first, or pack it as .gz or .zst"
_CORPUS_ADVICE = {
    "gzip data": "its name must end in .gz",
    "Zstandard data": "its name must end in .zst",
    "Parquet": "its name must end in .parquet, or say kind = 'parquet'",
    "bzip2 data": _PACK,
    "xz data": _PACK,
}
_STRANGE = ("\ufffd", *map(chr, (*range(9), *range(14, 32), 127)))
_NOISE = 16  # so many strange characters may be in any text
_MOSTLY_NOT_TEXT = 0.3  # UTF-16 has half, programs more; a few ugly lines have less


def text_fault(head: bytes, advice: Mapping[str, str] | None = None) -> str | None:
    """What is wrong with a file that is not UTF-8 text, as words behind its name; None for text.

    ``head`` is its first ``HEAD`` bytes, or all; a character that their end cuts in two is no
    fault. ``advice`` says what to do about a kind of file ("gzip data"), for readers of more than
    text.
    """
    for magic, (kind, usual) in _KINDS.items():
        if head.startswith(magic):
            return f"not plain text but {kind}: {(advice or {}).get(kind, usual)}"
    text = head.decode("utf-8", "replace")
    strange = sum(map(text.count, _STRANGE))
    if strange > _NOISE and strange > _MOSTLY_NOT_TEXT * len(text):
        return (
            f"not UTF-8 text ({strange / len(text):.0%} of its beginning are control characters "
            "or not UTF-8): a binary file, or text in another encoding?"
        )
    return None


def name_of(path: str) -> str:
    """Names an input in messages: its path, or "standard input"."""
    return "standard input" if path == STANDARD else path


@contextmanager
def read_errors(
    name: str | Path, error: type[Seq2SeqError] = DataError, what: str = "a file"
) -> Iterator[None]:
    """Says which file, and ``what`` it should be, where the system could not read it."""
    try:
        yield
    except FileNotFoundError:
        kind = "" if what == "a file" else f" ({what})"
        raise error(f"{name}: no such file{kind}") from None
    except IsADirectoryError:
        raise error(f"{name}: a folder, where {what} is expected") from None
    except (OSError, ValueError) as found:  # ValueError: a NUL in the name
        reason = getattr(found, "strerror", None) or found
        raise error(f"{name}: cannot be read: {reason}") from None


# ---------------------------------------------------------------------------------------------
# Inputs


class Pause(str):
    """Stands between two lines where the second was not there yet, and is none itself."""

    __slots__ = ()


def input_lines(
    path: str, replaced: Callable[[int, int], None], *, pauses: bool = False
) -> Iterator[str]:
    """Reads the lines of a text without their ends, each as soon as it is there.

    With ``pauses`` a ``Pause`` comes before each wait for more of a pipe or a terminal.

    The path is a file, a pipe, or "-" for standard input. If bytes were not UTF-8 and became
    U+FFFD, ``replaced`` is called after the last line, with the number of such lines and the first
    one's, from 1. Raises ``DataError`` if the text cannot be read, or is none.
    """
    invalid, first, number = 0, 0, 0
    with _opened(path) as stream:
        for block in _whole_lines(stream, name_of(path), pauses=pauses):
            if not block:
                yield Pause()
                continue
            try:
                lines = block.decode("utf-8").split("\n")
            except UnicodeDecodeError:
                lines = block.decode("utf-8", "replace").split("\n")
                wrong = [n for n, line in enumerate(block.split(b"\n"), 1) if not _is_utf8(line)]
                invalid, first = invalid + len(wrong), first or number + wrong[0]
            lines.pop()  # nothing, behind the last line's end
            number += len(lines)
            yield from lines
    if invalid:
        replaced(invalid, first)


def count_lines(path: str) -> int | None:
    """Counts the lines of an input; None where reading would use it up: it is no regular file."""
    if path == STANDARD or not Path(path).is_file():
        return None
    with _opened(path) as stream:
        return sum(block.count(b"\n") for block in _whole_lines(stream, path))


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    if path == STANDARD and sys.stdin is None:
        raise DataError("standard input is closed")
    with read_errors(name_of(path)):
        if path == STANDARD:
            yield sys.stdin.buffer
            return
        with Path(path).open("rb") as stream:
            yield stream


# ---------------------------------------------------------------------------------------------
# Corpora


def check_file(path: str) -> None:
    """Raises a ``DataError`` unless a regular file is there, has content and may be read."""
    with read_errors(path):
        try:
            status = Path(path).stat()
        except FileNotFoundError:
            raise DataError(f"{path}: no such file{_nearest(path)}") from None
        if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
            raise DataError(f"{path}: not a regular file (a pipe or a device); write it to a file")
        with Path(path).open("rb"):
            pass
    if status.st_size == 0:
        raise DataError(f"{path}: the file is empty")


def _nearest(path: str) -> str:
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        return f" (there is no folder {folder} either)"
    return did_you_mean(Path(path).name, (one.name for one in folder.iterdir()))


def split_block(block: bytes) -> list[bytes]:
    """Splits a block of ``corpus_blocks`` into its lines, without their ends."""
    return block.split(b"\n")[:-1]


def corpus_blocks(path: str, *, offset: int = 0, lines_before: int = 0) -> Iterator[bytes]:
    r"""Reads whole lines by the megabyte, since a call for each would take most of the time.

    Files named .gz and .zst are unpacked; of others, reading may begin at an ``offset`` in bytes,
    with ``lines_before`` it, for messages. Every line ends with ``\n``, the last one too. Raises
    ``DataError`` if the file cannot be read or unpacked, is empty, or is not text.
    """
    check_file(path)
    with _unpacked(path) as stream:
        head = stream.peek(HEAD)[:HEAD]
        if not head:
            raise DataError(f"{path}: the file is empty")
        if fault := text_fault(head, _CORPUS_ADVICE):
            raise DataError(f"{path}: {fault}")
        if offset:
            stream.seek(offset)
        yield from _whole_lines(stream, path, lines_before, is_text=True)


def is_packed(path: str) -> bool:
    """Whether a corpus's file is unpacked while it is read, always from its start."""
    return Path(path).suffix in _CODECS


def offset_after(path: str, offset: int, lines: int) -> int:
    """Finds where a file that is not packed goes on after some lines, the first at ``offset``.

    That is the file's size, if it ends before.
    """
    with Path(path).open("rb") as file:
        file.seek(offset)
        while lines and (block := file.read(_BUFFER)):
            count = block.count(b"\n")
            if count < lines:
                lines -= count
                offset += len(block)
                continue
            return offset + place_after(block, lines)
    return offset


def place_after(block: bytes, lines: int) -> int:
    """Finds where a block goes on after its first lines, which must be there."""
    place = 0
    for _ in range(lines):
        place = block.index(b"\n", place) + 1
    return place


@contextmanager
def _unpacked(path: str) -> Iterator[io.BufferedReader]:
    codec = _CODECS.get(Path(path).suffix)
    try:
        if codec is None:
            with Path(path).open("rb", buffering=0) as raw:
                yield io.BufferedReader(raw, _BUFFER)
        else:
            import pyarrow as pa

            # pyarrow's codecs report a truncated stream; the zstandard package ends it silently.
            with pa.input_stream(path, compression=codec) as packed:
                yield io.BufferedReader(packed, _BUFFER)
    except OSError as error:
        if codec is None or error.errno is not None:
            with read_errors(path):
                raise
        reason = str(error).splitlines()[0]
        if "Truncated" in reason:
            raise DataError(f"{path}: the {codec} data ends too early: a broken copy?") from None
        raise DataError(f"{path}: not {codec} data, or damaged ({reason})") from None


# ---------------------------------------------------------------------------------------------


def _whole_lines(
    stream: Any, name: str, number: int = 0, *, is_text: bool = False, pauses: bool = False
) -> Iterator[bytes]:
    """Reads up to a megabyte at a time, and yields the lines that are complete.

    With ``pauses`` nothing (b"") is yielded, too, where there is a wait for more.
    """
    rest: list[bytes] = []
    size = 0  # of the rest
    while True:
        if pauses and not _is_ready(stream):
            yield b""
        if not (read := stream.read1(_BUFFER)):
            break
        if not is_text and (fault := text_fault(read[:HEAD])):
            raise DataError(f"{name}: {fault}")
        is_text = True
        first = read.find(b"\n")
        if size + (first if first >= 0 else len(read)) > LONGEST_LINE:
            raise DataError(
                f"{name}, line {number + 1}: longer than {LONGEST_LINE:,} bytes: not a sentence"
            )
        end = read.rfind(b"\n") + 1
        if not end:
            rest.append(read)
            size += len(read)
            continue
        block = b"".join((*rest, read[:end]))
        rest, size = [read[end:]], len(read) - end
        number += block.count(b"\n")
        yield block.replace(b"\r\n", b"\n") if b"\r" in block else block
    if size:
        yield b"".join((*rest, b"\n"))


def _is_ready(stream: Any) -> bool:
    """Whether there is something to read within a moment, or the end; True where none can tell."""
    try:
        return bool(select.select([stream], [], [], _MOMENT)[0])
    except (OSError, ValueError, TypeError):  # Windows knows it of sockets only
        return True
