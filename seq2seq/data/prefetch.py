"""Prefetches the next item in a thread while the present one is used."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def prefetched(items: Iterator[Item], name: str) -> Generator[Item]:
    """Draws from an iterator in a thread, one item ahead of what is asked for.

    Args:
        items: What is drawn from; nobody else may.
        name: The thread's.

    Yields:
        The items.
    """
    thread = ThreadPoolExecutor(1, thread_name_prefix=name)
    try:
        upcoming = thread.submit(_next_of, items)
        while present := upcoming.result():
            upcoming = thread.submit(_next_of, items)
            yield present[0]
    finally:  # who wants no more does not wait for what nobody will use
        thread.shutdown(wait=False, cancel_futures=True)


def _next_of(items: Iterator[Item]) -> list[Item]:
    """The next item, or nothing: a future cannot carry StopIteration."""
    for item in items:
        return [item]
    return []
