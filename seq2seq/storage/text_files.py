"""What a text file is: told from its first bytes, before a corpus or an input is read.

Everything that reads lines asks here, so that preparing and translating take the same files.
"""

from __future__ import annotations

from collections.abc import Mapping

LONGEST_LINE = 2**24
"""Bytes; a longer line is not a sentence, and would not fit in constant memory."""

HEAD = 2**16
"""Bytes; how much of a file is looked at to tell whether it is text."""

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
_STRANGE = ("\ufffd", *map(chr, (*range(9), *range(14, 32), 127)))
_NOISE = 16  # so many strange characters may be in any text
_MOSTLY_NOT_TEXT = 0.3  # UTF-16 has half, programs more; a few ugly lines have less


def text_fault(head: bytes, advice: Mapping[str, str] | None = None) -> str | None:
    """Tells what is wrong with a file that is not UTF-8 text.

    Args:
        head: Its first bytes, ``HEAD`` of them or all; a character that the end cuts in two is no
            fault of the file.
        advice: What to do about a kind of file ("gzip data"), where the reader can do more than
            read plain text.

    Returns:
        The fault, to be written behind the file's name; None for text.
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
