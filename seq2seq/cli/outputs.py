"""The files that ``seq2seq translate`` writes: translations in a format, alignments, attention."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from seq2seq.cli import lines
from seq2seq.storage.atomic import output_file, write_errors

if TYPE_CHECKING:
    from seq2seq.inference.results import ScoredTranslation

FORMATS = ("text", "nbest", "jsonl")
"""How translations are written."""

Write = Callable[[str, Sequence["ScoredTranslation"]], None]
"""Takes a source line and its translations."""


def as_text(index: int, source: str, several: Sequence[ScoredTranslation]) -> Iterator[str]:
    """The translation with the best score alone.

    Args:
        index: The line's number, from 0.
        source: The line.
        several: Its translations, best first.

    Yields:
        What to write.
    """
    from seq2seq.inference.results import best_of

    del index, source
    yield best_of(several).text


def as_nbest(index: int, source: str, several: Sequence[ScoredTranslation]) -> Iterator[str]:
    """A line for each translation, as Moses writes them.

    Args:
        index: The line's number, from 0.
        source: The line.
        several: Its translations, best first.

    Yields:
        INDEX ||| TEXT ||| SCORE.
    """
    del source
    yield from (f"{index} ||| {one.text} ||| {one.score:.6f}" for one in several)


def as_json(index: int, source: str, several: Sequence[ScoredTranslation]) -> Iterator[str]:
    """One JSON object with all that is known.

    Args:
        index: The line's number, from 0.
        source: The line.
        several: Its translations, best first.

    Yields:
        The object.
    """
    from seq2seq.inference.wire import json_line, translations_object

    del index
    yield json_line(translations_object(source, several))


_WRITERS = {"text": as_text, "nbest": as_nbest, "jsonl": as_json}


@contextmanager
def writing(
    output: str, format_: str, alignments: str | None, attention: str | None, *, at_once: bool
) -> Iterator[Write]:
    """Opens the files; each appears under its name when it is complete, or not at all.

    Args:
        output: Where translations go.
        format_: One of ``FORMATS``.
        alignments: Where alignments go; None: nowhere.
        attention: Where matrices go; None: nowhere.
        at_once: Whether someone waits for each line.

    Yields:
        What takes the lines.

    Raises:
        Seq2SeqError: If one cannot be written.
    """
    from seq2seq.inference.alignment import pharaoh
    from seq2seq.inference.results import best_of

    with ExitStack() as stack:
        file = stack.enter_context(lines.write_lines(output))
        links = stack.enter_context(lines.write_lines(alignments)) if alignments else None
        matrices = stack.enter_context(_matrices(attention)) if attention else None
        written = 0

        def write(source: str, several: Sequence[ScoredTranslation]) -> None:
            nonlocal written
            for line in _WRITERS[format_](written, source, several):
                file.write(line)
            if links is not None:
                links.write(pharaoh(best_of(several).alignment or []))
            written += 1
            if matrices is not None:
                matrices(str(written), best_of(several))
            if at_once:
                file.flush()

        yield write


@contextmanager
def _matrices(path: str) -> Iterator[Callable[[str, ScoredTranslation], None]]:
    """An .npz that is written member by member, so that no more than one is in memory."""
    import numpy as np

    with (
        output_file(path) as stream,
        zipfile.ZipFile(stream, "w", allowZip64=True) as archive,
    ):

        def write(name: str, best: ScoredTranslation) -> None:
            matrix = np.zeros((0, 0)) if best.attention is None else best.attention
            array = np.ascontiguousarray(matrix, dtype=np.float32)
            opened = archive.open(zipfile.ZipInfo(f"{name}.npy"), "w")
            with write_errors(path), opened as member:
                np.lib.format.write_array(member, array, allow_pickle=False)

        yield write
