r"""The one reader of text: lines that end at ``\n`` alone, in constant memory.

Unicode has many more line ends (U+2028, a vertical tab ...), and ``str.splitlines`` honours them.
Here they are content: with one more line on one side, every pair below it would be wrong. One
``\r`` before the ``\n`` goes with it, so that files with Windows line ends can be used.

A corpus is a regular file with something in it (``corpus_blocks``); an input may be anything that
text comes from (``input_lines``). Both take and refuse the same content, however it arrives: files
named .gz and .zst are unpacked, and a mark at the beginning that says "UTF-8" is left out.
"""

from __future__ import annotations

import gzip
import io
import select
import stat
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from seq2seq.errors import DataError, MissingExtraError, Seq2SeqError, did_you_mean, number_of
from seq2seq.storage.encodings import (
    BOM,
    HEAD,
    CorpusHead,
    Head,
    Recoded,
    is_utf8,
    is_valid,
)

STANDARD = "-"
"""Standard input or output, where a path is expected."""
LONGEST_LINE = 2**24
"""Bytes; a longer line is not a sentence, and would not fit in constant memory."""

_BUFFER = 2**20
_MOMENT = 0.05  # seconds: who writes line by line without a rest is not waited for one by one
_CODECS = {".gz": "gzip", ".zst": "zstd"}


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
    """A mark between two lines, itself none: the second has not arrived yet."""

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
        waits = path != STANDARD and Path(path).is_file()  # else each line is wanted at once
        for block in _whole_lines(stream, name_of(path), head=Head(), waits=waits, pauses=pauses):
            if not block:
                yield Pause()
                continue
            try:
                lines = block.decode("utf-8").split("\n")
            except UnicodeDecodeError:
                lines = block.decode("utf-8", "replace").split("\n")
                wrong = [n for n, line in enumerate(block.split(b"\n"), 1) if not is_valid(line)]
                invalid, first = invalid + len(wrong), first or number + wrong[0]
            lines.pop()  # nothing, behind the last line's end
            number += len(lines)
            yield from lines
    if invalid:
        replaced(invalid, first)


def input_bytes(path: str, most: int) -> bytes:
    """Reads a whole input at once, which has ``most`` bytes, or is refused (``DataError``)."""
    with _opened(path) as stream:
        data: bytes = stream.read(most + 1)
    if len(data) > most:
        mib = most // 2**20
        raise DataError(f"{name_of(path)}: larger than {mib} MiB, the most for a document")
    return data


def count_lines(path: str) -> int | None:
    """Counts the lines of an input; None where reading would use it up: it is no regular file."""
    if path == STANDARD or not Path(path).is_file():
        return None
    with _opened(path) as stream:
        return sum(block.count(b"\n") for block in _whole_lines(stream, path, head=Head()))


def check_counts(first: str, first_count: int, second: str, second_count: int) -> None:
    """Raises a ``Seq2SeqError`` if two files have different numbers of lines."""
    if first_count != second_count:
        raise Seq2SeqError(
            f"{name_of(first)} has {number_of(first_count, 'line')} but {name_of(second)} has "
            f"{number_of(second_count, 'line')}: line n of one must belong to line n of the other"
        )


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    if path == STANDARD and sys.stdin is None:
        raise DataError("standard input is closed")
    with read_errors(name_of(path)):
        if path == STANDARD:
            yield sys.stdin.buffer
            return
        if is_packed(path):
            with Path(path).open("rb"):
                pass  # a folder, or nothing, in the words for it
        with _unpacked(path) as stream:
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


def corpus_blocks(
    path: str, *, offset: int = 0, lines_before: int = 0, encoding: str | None = None
) -> Iterator[bytes]:
    r"""Reads whole lines by the megabyte, since a call for each would take most of the time.

    They are UTF-8, whatever the file's ``encoding``; what is invalid in it is so in them. Files
    named .gz and .zst are unpacked; of others in UTF-8, reading may begin at an ``offset`` in
    bytes, with ``lines_before`` it, for messages. Every line ends with ``\n``, the last one too.
    Raises ``DataError`` if the file cannot be read or unpacked, is empty, or is not text.
    """
    check_file(path)
    with _unpacked(path) as stream:
        if offset:
            stream.seek(offset)
        text = stream if is_utf8(encoding) else Recoded(stream, str(encoding))
        blocks = _whole_lines(text, path, lines_before, head=None if offset else CorpusHead())
        first = next(blocks, None)
        if first is None and not offset:
            raise DataError(f"{path}: the file is empty")
        yield from () if first is None else (first,)
        yield from blocks


def begins_with_mark(path: str) -> bool:
    """Whether a corpus's file begins with a mark that says "UTF-8", which is no text."""
    with _unpacked(path) as stream:
        return bool(stream.read(len(BOM)) == BOM)


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
def _unpacked(path: str) -> Iterator[Any]:
    codec = _CODECS.get(Path(path).suffix)
    try:
        if codec is None:
            with Path(path).open("rb") as raw:
                yield raw
        elif codec == "gzip":
            with gzip.open(path, "rb") as packed:
                yield packed
        else:
            try:
                import pyarrow as pa
            except ModuleNotFoundError as error:
                raise MissingExtraError("unpacking .zst", "train", "pyarrow") from error
            # pyarrow's codecs report a truncated stream; the zstandard package ends it silently.
            with pa.input_stream(path, compression=codec) as packed:
                yield io.BufferedReader(packed, _BUFFER)
    except (OSError, EOFError, zlib.error) as error:
        if codec is None or getattr(error, "errno", None) is not None:
            with read_errors(path):
                raise
        reason = str(error).splitlines()[0]
        if isinstance(error, EOFError) or "Truncated" in reason:
            raise DataError(f"{path}: the {codec} data ends too early: a broken copy?") from None
        raise DataError(f"{path}: not {codec} data, or damaged ({reason})") from None


# ---------------------------------------------------------------------------------------------


def _whole_lines(
    stream: Any,
    name: str,
    number: int = 0,
    *,
    head: Head | None = None,
    waits: bool = True,
    pauses: bool = False,
) -> Iterator[bytes]:
    """Yields complete lines, up to a megabyte of them together.

    ``head`` judges the beginning of a text: before the first line is yielded if it ``waits``, else
    as lines come. With ``pauses``, b"" is yielded where more has not arrived yet.
    """
    rest: list[bytes] = []
    size = 0  # of the rest

    def judged(lines: bytes, *, end: bool = False) -> bytes:
        if head is not None and (fault := head.fault(lines, end=end)):
            raise DataError(f"{name}: {fault}")
        return lines

    reads = _reads(stream, pauses=pauses and not waits)
    if head is not None and waits:
        reads = chain(filter(None, [judged(_beginning(reads), end=True)]), reads)
    for read in reads:
        if not read:
            yield b""
            continue
        first = read.find(b"\n")
        if size + (first if first >= 0 else len(read)) > LONGEST_LINE:
            raise DataError(
                f"{name}, line {number + 1}: longer than {LONGEST_LINE:,} bytes: not a sentence"
            )
        end = read.rfind(b"\n") + 1
        if not end:
            rest.append(read)
            size += len(read)
            if not waits and head is not None and head.suffices(size):
                judged(b"".join(rest))
            continue
        block = b"".join((*rest, read[:end]))
        if not waits:
            judged(block)
        if not number and head is not None:
            block = block.removeprefix(BOM)
        rest, size = [read[end:]], len(read) - end
        number += block.count(b"\n")
        yield block.replace(b"\r\n", b"\n") if b"\r" in block else block
    last = b"".join(rest)
    if not waits:
        judged(last, end=True)
    if not number and head is not None:
        last = last.removeprefix(BOM)
    if last:
        yield last + b"\n"


def _reads(stream: Any, *, pauses: bool) -> Iterator[bytes]:
    while True:
        if pauses and not _is_ready(stream):
            yield b""
        if not (read := stream.read1(_BUFFER)):
            return
        yield read


def _beginning(reads: Iterator[bytes]) -> bytes:
    found: list[bytes] = []
    while sum(map(len, found)) < HEAD and (read := next(reads, b"")):
        found.append(read)
    return b"".join(found)


def _is_ready(stream: Any) -> bool:
    """Whether there is something to read within a moment, or the end; True where none can tell."""
    try:
        return bool(select.select([stream], [], [], _MOMENT)[0])
    except (OSError, ValueError, TypeError):  # Windows knows it of sockets only
        return True
