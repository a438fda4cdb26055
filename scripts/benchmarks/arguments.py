"""What the command lines of ``scripts/bench`` and ``scripts/sweep`` understand."""

from __future__ import annotations

from seq2seq.errors import Seq2SeqError


def positive(word: str) -> int:
    """A whole number of at least 1, for argparse.

    Args:
        word: What was given.

    Returns:
        The number.

    Raises:
        ValueError: If it is none.
    """
    number = int(word)
    if number < 1:
        raise ValueError(word)
    return number


def sizes(words: str) -> tuple[int, ...]:
    """Whole numbers of at least 1, for argparse.

    Args:
        words: What was given, with commas between.

    Returns:
        The numbers.
    """
    return tuple(positive(word) for word in words.split(","))


def chosen(option: str, words: str, allowed: str) -> tuple[str, ...]:
    """Some of several names.

    Args:
        option: The option that they were given to.
        words: What was given, with commas between.
        allowed: All names.

    Returns:
        The names.

    Raises:
        Seq2SeqError: If one is not allowed.
    """
    names = words.split(",")
    if unknown := [name for name in names if name not in allowed.split(",")]:
        told = ", ".join(allowed.split(","))
        raise Seq2SeqError(f"{option}: there is no {unknown[0]!r}; allowed: {told}")
    return tuple(names)
