"""Text that is not UTF-8: read as such where a recipe names its encoding, else its name is guessed.

What is read becomes UTF-8 at once, so that nothing behind the reader knows of other encodings.
"""

from __future__ import annotations

import codecs
import io
from typing import Any

BOM = codecs.BOM_UTF8
UTF8 = "utf-8"

_SAMPLE = 2**16  # bytes that a guess is made from: more makes none better
_ENDS = " \n。、，"
_ERRORS = "seq2seq.invalid"

# What a text's encoding does not have becomes a byte that UTF-8 never has: whoever reads the UTF-8
# sees that the line is not whole, as in any other file.
codecs.register_error(_ERRORS, lambda error: ("\udcff", getattr(error, "end", 0)))


def is_utf8(encoding: str | None) -> bool:
    """Whether a text in this encoding can be taken as it is; None: nothing was said."""
    return encoding is None or codecs.lookup(encoding).name == UTF8


def encoding_problem(name: str) -> str | None:
    """What is wrong with an encoding's name; None: Python can read it."""
    try:
        codecs.lookup(name)
        b"ab".decode(name)
    except (LookupError, ValueError):
        return (
            f"no encoding of text is called {name!r}; usual ones are utf-8, utf-16, latin-1, "
            "cp1252, cp1251, gb18030, big5, shift_jis and euc-kr"
        )
    return None


class Recoded:
    """A text in another encoding, read as bytes of UTF-8."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding, _ERRORS, newline="\n")

    def read1(self, size: int) -> bytes:
        """Reads on, at most so many characters."""
        return self._text.read(size).encode(UTF8, "surrogateescape")


def likely_encoding(data: bytes) -> str | None:
    """Guesses the encoding of lines that are not UTF-8; None: it cannot be told.

    Needs chardet, which comes with the training extra.
    """
    import chardet

    found = chardet.detect(data[:_SAMPLE])["encoding"]
    if found is None or is_utf8(found):
        return None
    try:
        text = codecs.getincrementaldecoder(found)().decode(data[:_SAMPLE])
    except ValueError:
        return None
    # What is no text at all is text in some encoding, but has no words or sentences there.
    return codecs.lookup(found).name if any(end in text for end in _ENDS) else None
