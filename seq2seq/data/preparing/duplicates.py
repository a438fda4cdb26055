"""A memory of pairs, by which repeated ones are found."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import numpy.typing as npt


def digests(sources: Iterable[bytes], targets: Iterable[bytes]) -> npt.NDArray[np.uint64]:
    """Hashes pairs, for ``Seen``.

    Args:
        sources: Their sources.
        targets: Their targets.

    Returns:
        A number a pair.
    """
    # The source's length keeps ("a b", "c") and ("a", "b c") apart.
    hashes = b"".join(
        blake2b(b"%d %b%b" % (len(source), source, target), digest_size=8).digest()
        for source, target in zip(sources, targets, strict=True)
    )
    return np.frombuffer(hashes, dtype="<u8").astype(np.uint64)


class Seen:
    """A growing set of 64-bit numbers, in 8 bytes each.

    Sorted runs, each at least twice as long as the next: a batch of n numbers costs a binary
    search in log2(all / n) runs, and merging moves each number as often. The largest merge needs
    as much again for a moment.
    """

    def __init__(self) -> None:
        self._runs: list[npt.NDArray[np.uint64]] = []

    def first_times(self, numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
        """Adds numbers to the set.

        Args:
            numbers: The numbers, in their order.

        Returns:
            For each, whether it was new: neither in the set nor earlier in ``numbers``.
        """
        unique, first = np.unique(numbers, return_index=True)
        new = np.ones(unique.shape, dtype=np.bool_)
        for run in self._runs:
            place = np.minimum(np.searchsorted(run, unique), run.size - 1)
            new &= run[place] != unique
        fresh = np.zeros(numbers.shape, dtype=np.bool_)
        fresh[first[new]] = True
        self._add(unique[new])
        return fresh

    def _add(self, run: npt.NDArray[np.uint64]) -> None:
        if run.size:
            self._runs.append(run)
        while len(self._runs) > 1 and self._runs[-2].size < 2 * self._runs[-1].size:
            merged = np.concatenate([self._runs.pop(), self._runs.pop()])
            merged.sort(kind="stable")  # numpy's merges sorted runs in one pass
            self._runs.append(merged)

    def __len__(self) -> int:
        return sum(run.size for run in self._runs)
