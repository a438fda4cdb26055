"""Whether a file is text, and in which encoding: judged by its beginning, and by all its lines.

Text that is not UTF-8 is read as such where a recipe names its encoding; else its name is guessed.
What is read becomes UTF-8 at once, so that nothing behind the reader knows of other encodings.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterable, Mapping
from typing import Any

BOM = codecs.BOM_UTF8
UTF8 = "utf-8"
HEAD = 2**16
"""Bytes; how much of a file is looked at to tell whether it is text."""
MOST_INVALID = 0.02
"""The share of lines that may be invalid where nobody has named the encoding."""

_UNPACK = "unpack it first"
_CONVERT = "convert it to UTF-8"
_PACK = "unpack it first, or pack it as .gz or .zst"
_UTF16 = "UTF-16 text"
_KINDS = {
    b"\x1f\x8b": ("gzip data", "its name must end in .gz"),
    b"\x28\xb5\x2f\xfd": ("Zstandard data", "its name must end in .zst"),
    b"PAR1": ("Parquet", "write its texts to a file, one a line"),
    b"PK\x03\x04": ("a zip archive", _UNPACK),
    b"BZh": ("bzip2 data", _PACK),
    b"\xfd7zXZ": ("xz data", _PACK),
    b"\xff\xfe": (_UTF16, _CONVERT),
    b"\xfe\xff": (_UTF16, _CONVERT),
}
_CORPUS_ADVICE = {"Parquet": "its name must end in .parquet, or say kind = 'parquet'"}
_STRANGE = ("\ufffd", *map(chr, (*range(9), *range(14, 32), 127)))
_SOON = 2**12  # bytes
_NOISE = 16  # so many strange characters may be in any text
_MOSTLY_NOT_TEXT = 0.3  # UTF-16 has half, programs more; a few ugly lines have less

_SAMPLE = 2**16  # bytes that a guess is made from: more makes none better
_ENDS = " \n。、，"
_ERRORS = "seq2seq.invalid"


def _invalid(error: UnicodeError) -> tuple[str | bytes, int]:
    """Puts a byte that UTF-8 never has in the place of what a text's encoding, or UTF-8, has not.

    Whoever reads the UTF-8 sees that the line is not whole, as in any other file.
    """
    assert isinstance(error, UnicodeDecodeError | UnicodeEncodeError)
    if isinstance(error, UnicodeEncodeError):
        return b"\xff" * (error.end - error.start), error.end
    return "\udcff", error.end


codecs.register_error(_ERRORS, _invalid)


def is_utf8(encoding: str | None) -> bool:
    """Whether a text in this encoding can be taken as it is; None: nothing was said."""
    return encoding is None or codecs.lookup(encoding).name == UTF8


def encoding_problem(name: str) -> str | None:
    """What is wrong with an encoding's name; None: Python can read it."""
    try:
        codecs.lookup(name)
        b"ab".decode(name, _ERRORS)
    except (LookupError, ValueError):
        return (
            f"no encoding of text is called {name!r}; usual ones are utf-8, utf-16, latin-1, "
            "cp1252, cp1251, gb18030, big5, shift_jis and euc-kr"
        )
    return None


def is_valid(line: bytes) -> bool:
    """Whether a line is UTF-8."""
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


class Recoded:
    """A text in another encoding, read as bytes of UTF-8."""

    def __init__(self, stream: Any, encoding: str) -> None:
        self._text = io.TextIOWrapper(stream, encoding, _ERRORS, newline="\n")

    def read1(self, size: int) -> bytes:
        """Reads on, at most so many characters."""
        return self._text.read(size).encode(UTF8, _ERRORS)


def likely_encoding(data: bytes) -> str | None:
    """Guesses the encoding of lines that are not UTF-8; None: it cannot be told.

    Needs chardet, which comes with the training extra.
    """
    import chardet

    found = chardet.detect(data[:_SAMPLE])["encoding"]
    try:
        if found is None or is_utf8(found):
            return None
        text = codecs.getincrementaldecoder(found)().decode(data[:_SAMPLE])
    except (LookupError, ValueError):  # LookupError: one that Python does not read
        return None
    # What is no text at all is text in some encoding, but has no words or sentences there.
    return codecs.lookup(found).name if any(end in text for end in _ENDS) else None


class Head:
    """Judges the beginning of a text line by line, since a pipe gives it in pieces of any size.

    ``advice`` says what to do about a kind of file ("gzip data"), for readers of more than text.
    """

    def __init__(self, advice: Mapping[str, str] | None = None) -> None:
        self._advice = advice or {}
        self._strange = self._characters = 0
        self._place = 0  # bytes that were looked at

    def suffices(self, size: int) -> bool:
        """Whether so many bytes of a line without an end can be judged, and have to be."""
        return self._place < HEAD <= self._place + size

    def fault(self, lines: bytes, *, end: bool = False) -> str | None:
        """What is wrong so far, with the next lines, or all that count; ``end``: there is no more.

        It is judged at the end of each line, but the first few kilobytes only as a whole.
        """
        lines = lines[: max(0, HEAD - self._place)]
        if not self._place:
            for magic, (kind, usual) in _KINDS.items():
                if lines.startswith(magic):
                    return f"not plain text but {kind}: {self._advice.get(kind, usual)}"
        for line in lines.splitlines(keepends=True):
            text = line.decode("utf-8", "replace")
            self._strange += sum(map(text.count, _STRANGE))
            self._characters += len(text)
            self._place += len(line)
            if self._place >= _SOON and (fault := self._fault()):
                return fault
        return self._fault() if end else None

    def _fault(self) -> str | None:
        if self._strange <= max(_NOISE, _MOSTLY_NOT_TEXT * self._characters):
            return None
        return (
            f"not UTF-8 text ({self._strange / self._characters:.0%} of its beginning are control "
            "characters or not UTF-8): a binary file, or text in another encoding?"
        )


class CorpusHead(Head):
    """The beginning of a corpus, of which the recipe can name the encoding."""

    def __init__(self) -> None:
        super().__init__(_CORPUS_ADVICE)

    def fault(self, lines: bytes, *, end: bool = False) -> str | None:
        """What is wrong, with the encoding to name where that is it."""
        fault = super().fault(lines, end=end)
        if fault and (_UTF16 in fault or "encoding" in fault):
            likely = likely_encoding(lines)
            if likely is not None:
                return f"not UTF-8 text but probably {likely}: {encoding_advice(likely)}"
        return fault


def encoding_advice(likely: str) -> str:
    """How to name the encoding of a corpus's file: in the recipe, or on the command line."""
    return f'if so, give its table in the recipe the key encoding = "{likely}"{_set(likely)}'


def _set(encoding: str) -> str:
    return (
        f", or --set data.train.encoding={encoding} (of validation pairs data.val.encoding; where "
        f'one of two files is UTF-8, a list by side: \'["utf-8","{encoding}"]\')'
    )


def invalid_text(blocks: Iterable[bytes], encoding: str | None) -> str | None:
    """What to say of a corpus's file if too many of its lines are not in its ``encoding``.

    The blocks are the file's lines, as ``lines.corpus_blocks`` gives them.
    """
    total, count, first, sample = 0, 0, 0, b""
    for block in blocks:
        lines = block.split(b"\n")[:-1]
        wrong = [n for n, line in enumerate(lines, 1) if not is_valid(line)]
        if wrong and is_utf8(encoding) and len(sample) < _SAMPLE:
            sample += b"".join(lines[n - 1] + b"\n" for n in wrong)
        first = first or (total + wrong[0] if wrong else 0)
        total, count = total + len(lines), count + len(wrong)
    if count <= MOST_INVALID * total:
        return None
    likely = likely_encoding(sample) if sample else None
    advice = f'give its table in the recipe the key encoding, such as "latin-1"{_set("latin-1")}'
    if likely:
        advice = f"probably {likely}: {encoding_advice(likely)}"
    return (
        f"not {encoding or 'UTF-8'}: {count:,} of {total:,} lines cannot be decoded "
        f"(first: line {first:,}); {advice}"
    )
