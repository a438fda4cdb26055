"""What can go wrong, as few exception types as the command line needs to tell apart.

Every message says what was wrong, where (file, line, key), what is allowed and how to mend it. The
command line prints it as it stands, without a traceback, and ends with the error's ``exit_code``.
"""

from __future__ import annotations

from collections.abc import Sequence


class Seq2SeqError(Exception):
    """Something the user can mend: bad input, a missing file, an impossible wish.

    Attributes:
        told: Whether another process that works on the same has said it already.
    """

    exit_code = 2
    told = False


class RecipeError(Seq2SeqError):
    """A recipe that cannot be used; carries every problem found, not only the first.

    Args:
        origin: The recipe's name or path, as the user gave it.
        problems: One line a problem, each beginning with its key path.
    """

    def __init__(self, origin: str, problems: Sequence[str]) -> None:
        self.origin = origin
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            text = f"recipe {origin}: {self.problems[0]}"
        else:
            lines = "".join(f"\n  {problem}" for problem in self.problems)
            text = f"recipe {origin}: {len(self.problems)} problems:{lines}"
        super().__init__(text)


class DataError(Seq2SeqError):
    """A corpus, tokenizer or prepared data set that cannot be read, written or used."""


class ModelError(Seq2SeqError):
    """A model folder, run folder or checkpoint that is missing, damaged or does not fit."""


class TrainingError(Seq2SeqError):
    """Training had to stop: the numbers went wrong, not the user's input."""

    exit_code = 1


class MissingExtraError(Seq2SeqError):
    """A part of the toolkit that needs packages which are not installed.

    Args:
        what: What was asked for, as a noun phrase ("training").
        extra: The extra that brings the missing packages ("train").
        package: The package that could not be imported.
    """

    def __init__(self, what: str, extra: str, package: str) -> None:
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed: "
            f"pip install 'seq2seq[{extra}]'"
        )


_NO_MEMORY = (
    "out of memory",  # CUDA, and cuBLAS behind it
    "not enough memory",  # torch's allocator for processors
    "defaultcpuallocator",
    "bad_alloc",  # C++
    "cannot allocate memory",
    "failed to allocate memory",  # ONNX Runtime
    "alloc_failed",  # cuBLAS, cuDNN
    "could not create a memory",  # oneDNN, here and below
    "could not create a primitive",
    "could not execute a primitive",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Tells whether memory ran out; every library has its own words for it.

    Args:
        error: Any exception.

    Returns:
        Whether less work at a time may help.
    """
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError | OSError):
        return False
    told = str(error).lower()
    return any(words in told for words in _NO_MEMORY)
