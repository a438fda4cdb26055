"""Making the next thing while the present one is used."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Thing = TypeVar("Thing")


def ahead(things: Iterator[Thing], name: str) -> Generator[Thing]:
    """Draws from an iterator in a thread, one thing ahead of what is asked for.

    Args:
        things: What is drawn from; nobody else may.
        name: The thread's.

    Yields:
        The things.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        upcoming = thread.submit(_one, things)
        while present := upcoming.result():
            upcoming = thread.submit(_one, things)
            yield present[0]
    finally:  # who wants no more does not wait for what nobody will use
        thread.shutdown(wait=False, cancel_futures=True)


def _one(things: Iterator[Thing]) -> list[Thing]:
    """The next thing, or nothing: a future cannot carry StopIteration."""
    for thing in things:
        return [thing]
    return []
