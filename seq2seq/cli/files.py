"""What goes into and out of the command line: lines of text, and translations in a format.

"-" is standard input or output. Reading is ``storage.lines``, writing ``storage.atomic``; here are
the messages around them.
"""

from __future__ import annotations

import gzip
import re
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from stat import S_ISDIR
from typing import IO, TYPE_CHECKING

from seq2seq.cli import console
from seq2seq.errors import Seq2SeqError, number_of
from seq2seq.storage.atomic import output_file, write_errors
from seq2seq.storage.encodings import MOST_INVALID
from seq2seq.storage.lines import (
    STANDARD,
    check_counts,
    count_lines,
    input_lines,
    name_of,
    read_errors,
)

if TYPE_CHECKING:
    from seq2seq.inference.results import ScoredTranslation

_FEW_INVALID = 10  # lines; as many may be damaged in any file, however short

FORMATS = ("text", "nbest", "jsonl")
"""How translations are written."""
Write = Callable[[str, Sequence["ScoredTranslation"]], None]
"""Takes a source line and its translations."""


def read_lines(path: str, *, pauses: bool = False) -> Iterator[str]:
    """Reads lines of text in constant memory; ``pauses`` as in ``storage.lines``.

    Bytes that are not UTF-8 are replaced by U+FFFD. At the end a warning says in how many lines,
    and where first.
    """
    return input_lines(path, partial(warn_replaced, path), pauses=pauses)


def warn_replaced(path: str, count: int, first: int, encoding: str | None = None) -> None:
    """Says that lines of a file, of which the first is told, were not in its encoding."""
    console.warn(
        f"{name_of(path)}: {number_of(count, 'line is', 'lines are')} not {encoding or 'UTF-8'} "
        f"(the first is line {first}); the invalid bytes were replaced by U+FFFD"
    )


def all_lines(path: str) -> list[str]:
    """Reads the lines of a file to score, which must not be empty.

    It must not be in another encoding either: few lines may be invalid, and never most of them.
    """
    invalid = first = 0

    def replaced(*found: int) -> None:
        nonlocal invalid, first
        invalid, first = found

    lines = list(input_lines(path, replaced))
    if not lines:
        raise Seq2SeqError(f"{name_of(path)}: the file is empty, so there is nothing to score")
    few = min(_FEW_INVALID, len(lines) // 2)
    if invalid > max(few, MOST_INVALID * len(lines)):
        raise Seq2SeqError(
            f"{name_of(path)}: {invalid:,} of {len(lines):,} lines are not UTF-8 (the first is "
            f"line {first:,}): is it in another encoding? Convert it to UTF-8, as in: iconv -f "
            "ENCODING -t utf-8, with the name of the one that it is in"
        )
    if invalid:
        warn_replaced(path, invalid, first)
    return lines


def read_pairs(source: str, target: str) -> Iterator[tuple[str, str]]:
    """Reads two files line by line; raises ``Seq2SeqError`` where one has fewer lines."""
    check_inputs(source, target)
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


def check_inputs(first: str, second: str, *, counts: bool = True) -> None:
    """Raises an error if a file cannot be read, or two regular files have unlike numbers of lines.

    Lines of others, such as pipes, are not counted: they can be read only once.
    """
    for path in (first, second):
        with read_errors(name_of(path)):
            if path != STANDARD and S_ISDIR(Path(path).stat().st_mode):
                raise IsADirectoryError
    left, right = count_lines(first), count_lines(second)
    if counts and left is not None and right is not None:
        check_counts(first, left, second, right)


def check_standard_input(*paths: str) -> None:
    """Raises a ``Seq2SeqError`` if more than one of the files is standard input."""
    if paths.count(STANDARD) > 1:
        raise Seq2SeqError("standard input can be read only once: give - for one file only")


class Output:
    """Where lines go: an open file, and what errors call it."""

    def __init__(self, name: str, stream: IO[bytes] | gzip.GzipFile) -> None:
        self._name = name
        self._stream = stream

    def write(self, line: str) -> None:
        """Writes a line, given without its end."""
        self.write_text(line + "\n")

    def write_text(self, text: str) -> None:
        """Writes a text with its own line ends."""
        with write_errors(self._name):
            self._stream.write(text.encode("utf-8", errors="replace"))

    def flush(self) -> None:
        """Lets readers see what was written so far."""
        with write_errors(self._name):
            self._stream.flush()


@contextmanager
def write_lines(path: str) -> Iterator[Output]:
    """Opens a file for lines; it appears under its name when it is complete, or not at all.

    One that is named .gz is packed.
    """
    if path == STANDARD:
        if console.settings.output_is_closed:
            raise Seq2SeqError("standard output is closed: name a file with -o")
        output = Output("standard output", sys.stdout.buffer)
        yield output
        output.flush()
        return
    with output_file(path) as stream:
        if not path.endswith(".gz"):
            yield Output(path, stream)
            return
        # Without name and time, so that the same lines are the same file.
        with gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed:
            yield Output(path, packed)


# ---------------------------------------------------------------------------------------------
# Translations in a format, alignments, attention


def escaped(text: str) -> str:
    """A text as it stands between the marks of an n-best list: three bars are ``&#124;``, thrice.

    A text that has these letters itself gets one ``amp;`` more, so that every text can be read
    again.
    """
    text = re.sub(r"&(?=(?:amp;)*#124;)", "&amp;", text)
    return text.replace("|||", "&#124;" * 3)


def unescaped(text: str) -> str:
    """The text that ``escaped`` was given."""
    return re.sub(r"&(amp;)?((?:amp;)*)#124;", lambda m: f"&{m[2]}#124;" if m[1] else "|", text)


def _formatted(
    format_: str, index: int, source: str, several: Sequence[ScoredTranslation]
) -> Iterator[str]:
    """The lines of a source line's translations: the best, all as Moses writes them, or JSON."""
    from seq2seq.inference.results import best_translation

    if format_ == "nbest":
        yield from (f"{index} ||| {escaped(one.text)} ||| {one.score:.6f}" for one in several)
    elif format_ == "jsonl":
        from seq2seq.inference.wire import json_line, translations_object

        yield json_line(translations_object(source, several))
    else:
        yield best_translation(several).text


@contextmanager
def write_translations(
    output: str, format_: str, alignments: str | None, attention: str | None, *, at_once: bool
) -> Iterator[Write]:
    """Opens the files; each appears under its name when it is complete, or not at all.

    ``at_once``: each translation is handed on as soon as it is written.
    """
    from seq2seq.inference.results import best_translation, pharaoh

    with ExitStack() as stack:
        file = stack.enter_context(write_lines(output))
        links = stack.enter_context(write_lines(alignments)) if alignments else None
        matrices = stack.enter_context(_matrices(attention)) if attention else None
        written = 0

        def write(source: str, several: Sequence[ScoredTranslation]) -> None:
            nonlocal written
            for line in _formatted(format_, written, source, several):
                file.write(line)
            if links is not None:
                links.write(pharaoh(best_translation(several).alignment or []))
            written += 1
            if matrices is not None:
                matrices(str(written), best_translation(several))
            if at_once:
                file.flush()

        yield write


@contextmanager
def _matrices(path: str) -> Iterator[Callable[[str, ScoredTranslation], None]]:
    """An .npz that is written member by member, so that no more than one is in memory."""
    import numpy as np

    with output_file(path) as stream, zipfile.ZipFile(stream, "w", allowZip64=True) as archive:

        def write(name: str, best: ScoredTranslation) -> None:
            matrix = np.zeros((0, 0)) if best.attention is None else best.attention
            array = np.ascontiguousarray(matrix, dtype=np.float32)
            opened = archive.open(zipfile.ZipInfo(f"{name}.npy"), "w")
            with write_errors(path), opened as member:
                np.lib.format.write_array(member, array, allow_pickle=False)

        yield write
