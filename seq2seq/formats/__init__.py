"""Documents of several formats, as segments to translate; all else of them stays as it is.

One file a format, each with a function ``read`` that takes a text. Nothing is parsed that could
read another file, or make much of little: XML has no entities of its own here.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

from seq2seq.errors import DataError
from seq2seq.formats.document import DamagedError, Document, line_of

LARGEST = {
    "html": 20 * 2**20,
    "markdown": 3 * 2**20,
    "po": 20 * 2**20,
    "srt": 16 * 2**20,
    "xliff": 10 * 2**20,
}
"""Bytes of a document, which is read at once: even the worst takes no more than about 4 GiB."""
FORMATS = tuple(LARGEST)
"""The formats of documents."""
_MARK = "\ufeff"  # may say, at the beginning, that a text is UTF-8


def read_document(data: bytes, format_: str, name: str) -> Document:
    """Reads a document of one of the ``FORMATS``; ``name`` is what errors call it."""
    try:
        text = _decoded(data)
        mark = _MARK if text.startswith(_MARK) else ""
        found: Document = import_module(f"seq2seq.formats.{format_}").read(text[len(mark) :])
    except DamagedError as error:
        raise DataError(f"{name}, line {error.line}: {error}") from None
    return replace(found, mark=mark)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        raise DamagedError(
            line_of(before, len(before)), "not UTF-8: convert it, as in: iconv -f ENCODING -t utf-8"
        ) from None
