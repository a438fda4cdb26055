"""Translations that repeat themselves without end: found at the length cap, and cut.

A network that has lost its place says one phrase again and again until it is stopped. Only a
translation that was stopped by its length cap is looked at, so one that says a thing three times
for a reason stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

_TIMES = 3  # a phrase that stands there less often at the end may be meant
_SHORTEST = 6  # pieces: "ha ha ha" is no loop


def end_of_first(tokens: Sequence[int], begins_word: Callable[[int], bool]) -> int | None:
    """Finds where a repeated phrase at the end has been said for the first time.

    Args:
        tokens: A translation that ran into its length cap.
        begins_word: Whether a token begins a word; the phrase is cut between words if it can be.

    Returns:
        How many tokens to keep; None if the end repeats nothing. The shortest phrase counts, at
        least three times said, the last time perhaps in part.
    """
    ids = np.asarray(tokens, dtype=np.int64)
    for period in range(1, len(ids) // _TIMES + 1):
        differs = np.flatnonzero(ids[period:] != ids[:-period])
        begin = int(differs[-1]) + 1 if len(differs) else 0
        repeated = len(ids) - begin
        if repeated >= max(_TIMES * period, _SHORTEST):
            first = begin + period
            for cut in range(first, first + period):
                if begins_word(tokens[cut]):
                    return cut
            return first
    return None
