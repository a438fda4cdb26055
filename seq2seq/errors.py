"""What can go wrong, as few exception types as the command line needs to tell apart.

Every message says what was wrong, where (file, line, key), what is allowed and how to mend it. The
command line prints it as it stands, without a traceback, and ends with the error's ``exit_code``.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from itertools import islice
from typing import TextIO

NOT_THE_INPUT = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG)
"""Errors of the system that no other input would mend: the exit code is 1."""


TERMINATED = 128 + 15
"""The exit code of a program that SIGTERM has ended."""


class Seq2SeqError(Exception):
    """Something that the user can mend: bad input, a missing file, options that do not fit.

    Attributes:
        reported_elsewhere: Whether another process of the same training prints it.
    """

    exit_code = 2
    reported_elsewhere = False

    def __str__(self) -> str:
        return shortened(self._text())

    def _text(self) -> str:
        return in_a_line(super().__str__())


class RecipeError(Seq2SeqError):
    """A recipe that cannot be used; carries every problem found, not only the first.

    Args:
        origin: The recipe's name or path, as the user gave it.
        problems: One line a problem, each beginning with its key path.
    """

    def __init__(self, origin: str, problems: Sequence[str]) -> None:
        self.origin = in_a_line(origin)
        self.problems = tuple(map(in_a_line, problems))
        super().__init__(self._text())

    def _text(self) -> str:
        if len(self.problems) == 1:
            return f"recipe {self.origin}: {self.problems[0]}"
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        return f"recipe {self.origin}: {len(self.problems)} problems:{lines}"


class DataError(Seq2SeqError):
    """A corpus, tokenizer or prepared data set that cannot be read, written or used."""


class ModelError(Seq2SeqError):
    """A model folder, run folder or checkpoint that is missing, damaged or does not fit."""


class TrainingError(Seq2SeqError):
    """Training had to stop: the numbers went wrong, not the user's input."""

    exit_code = 1


class MissingExtraError(Seq2SeqError):
    """A part of the toolkit that needs packages which are not installed.

    What was asked for is a noun phrase ("training"), the extra ("train") brings the missing
    packages.
    """

    def __init__(self, what: str, extra: str, package: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed: "
            f"pip install 'seq2seq[{extra}]'"
        )


def in_a_line(text: str) -> str:
    """Shows line ends as escapes, so that a name or a text with one is still quoted in a line."""
    return text.replace("\n", "\\n")


def shortened(message: str) -> str:
    """A message of which nothing is too long for a terminal, whatever was in the input.

    Of many lines the first are kept, of a long line its beginning and its end.
    """
    lines = message.split("\n")
    if len(lines) > _MOST_LINES:
        lines[_MOST_LINES:] = [f"  and {len(lines) - _MOST_LINES:,} more lines"]
    return "\n".join(
        f"{line[: _LONGEST // 2]} ... {line[-_LONGEST // 4 :]}" if len(line) > _LONGEST else line
        for line in lines
    )


_UNPRINTABLE = re.compile(
    # Control characters but tab and line end; what turns the direction of writing; line ends of
    # other kinds. A terminal obeys them, or shows something other than what is there.
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"
)


def printable(text: str) -> str:
    """Shows as escapes what would command a terminal: messages quote texts and names of files."""

    def escape(found: re.Match[str]) -> str:
        return found[0].encode("unicode_escape").decode("ascii")

    return _UNPRINTABLE.sub(escape, text)


def print_line(text: str, stream: TextIO) -> None:
    """Prints a line for a person; where it cannot be printed, as on a full disk, work goes on."""
    try:
        print(printable(text), file=stream, flush=True)
    except OSError:
        forget_output(stream)


def forget_output(stream: TextIO) -> None:
    """Forgets what could not be printed, or Python would try again at its exit and complain."""
    with suppress(OSError):  # no file of the system's
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def number_of(count: int, one: str, several: str = "") -> str:
    """A count in words: "1 pair", "1,000 pairs"; or with the plural given, "2 pairs are"."""
    return f"{count:,} {one if count == 1 else several or f'{one}s'}"


MOST_LISTED = 5


def listed(numbers: Sequence[int], count: int) -> str:
    """The first few of ``count`` numbers, for a message: "1, 2, 3, 4, 5, ..."."""
    return ", ".join(map(str, numbers[:MOST_LISTED])) + ", ..." * (count > MOST_LISTED)


def check_names(*paths: object) -> None:
    """Raises a ``Seq2SeqError`` for a path that is not UTF-8: no JSON or TOML could hold it."""
    for path in paths:
        try:
            str(path).encode()
        except UnicodeEncodeError:
            shown = str(path).encode("utf-8", "backslashreplace").decode()
            raise Seq2SeqError(f"{shown}: this name is not UTF-8: give it another") from None


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Hints at the nearest of some names, " (did you mean 'x'?)"; empty where none is near."""
    if len(name) > _LONGEST_NAME:  # comparing takes the square of the length
        return ""
    lowered = {one.lower(): one for one in islice(names, _MOST_NAMES)}
    near = get_close_matches(name.lower(), lowered, n=1)
    return f" (did you mean {lowered[near[0]]!r}?)" if near else ""


def unknown_name(name: str, names: Sequence[str]) -> str:
    """The message for a name that is not among those allowed, with the nearest and all of them."""
    return f"unknown name {name!r}{did_you_mean(name, names)}; allowed: {', '.join(names)}"


_LONGEST = 2000
_MOST_LINES = 60
_LONGEST_NAME = 100
_MOST_NAMES = 1000


_NO_MEMORY = re.compile(
    r"(CUDA|HIP|XPU|MPS)( backend| driver)?( error:)? out of memory"
    r"|DefaultCPUAllocator: (not enough|can't allocate) memory"
    r"|(CUBLAS|CUDNN)_STATUS_ALLOC_FAILED"
    r"|Failed to allocate memory for requested buffer"  # ONNX Runtime
    r"|\Astd::bad_alloc\Z"
    # oneDNN gives the words alone, not its status. With more words ("could not create a primitive
    # descriptor for ...", "... attr") they mean what it does not implement.
    r"|\Acould not (create a memory object|create a primitive|execute a primitive)\Z",
    re.IGNORECASE,
)


def is_terminated(error: BaseException) -> bool:
    """Tells whether it is this program's own answer to SIGTERM, which nothing may take for more."""
    return isinstance(error, SystemExit) and error.code == TERMINATED


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether memory ran out, so that less work at a time may help.

    Libraries that have a type of error or a code for it are asked by that; of the others, whose
    errors are plain RuntimeErrors, the exact words are known.
    """
    if isinstance(error, MemoryError):
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    torch = sys.modules.get("torch")  # without it none of its errors can have been raised
    if torch is not None and isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    # ONNX Runtime's RuntimeException is no RuntimeError.
    plain = isinstance(error, RuntimeError) or type(error).__name__ == "RuntimeException"
    return plain and bool(_NO_MEMORY.search(str(error)))
