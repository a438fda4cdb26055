"""A small random number generator that is the same on every machine and in every Python."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

_MASK = (1 << 64) - 1


class Dice:
    """Random choices from a seed and a name.

    The generator is SplitMix64 (Steele, Lea and Flood, 2014): a counter and a mixing function, all
    in 64-bit integers. `random.Random` would do, but its `choice` and `shuffle` have changed
    between Python versions, and a corpus whose score stands in a README must not change with them.

    Each name gives its own stream, so that a change in one phenomenon leaves the others' draws
    alone.

    Args:
        seed: any integer.
        name: what the stream is for.
    """

    def __init__(self, seed: int, name: str = "") -> None:
        digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=8).digest()
        self._state = int.from_bytes(digest, "big")

    def roll(self) -> int:
        """Draw 64 random bits.

        Returns:
            An integer in [0, 2**64).
        """
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        z = self._state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
        return z ^ (z >> 31)

    def below(self, n: int) -> int:
        """Draw an integer in [0, n).

        Args:
            n: how many outcomes there are, at least 1.

        Returns:
            The outcome. Scaling 64 bits down to n has a bias of at most n / 2**64.
        """
        return (self.roll() * n) >> 64

    def pick(self, items: Sequence[T]) -> T:
        """Choose one item, all alike.

        Args:
            items: a sequence that is not empty.

        Returns:
            The item.
        """
        return items[self.below(len(items))]

    def chance(self, percent: int) -> bool:
        """Throw a biased coin.

        Args:
            percent: how often, out of a hundred, the answer is yes.

        Returns:
            Whether the answer is yes.
        """
        return self.below(100) < percent

    def shuffle(self, items: list[T]) -> None:
        """Shuffle a list in place (Fisher and Yates).

        Args:
            items: the list.
        """
        for i in range(len(items) - 1, 0, -1):
            j = self.below(i + 1)
            items[i], items[j] = items[j], items[i]
