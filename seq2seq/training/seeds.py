"""Seeds: everything random in training is a function of the recipe's seed and a number."""

from __future__ import annotations

DROPOUT, SAMPLING = 1, 2
"""What random streams are for; see ``mixed``."""


def mixed(seed: int, purpose: int, number: int, rank: int = 0) -> int:
    """A seed for one of many random streams (splitmix64's finalizer: near seeds, far streams).

    Args:
        seed: The recipe's.
        purpose: What the stream is for: streams of two purposes have nothing in common.
        number: Which stream.
        rank: Which of several processes draws from it.

    Returns:
        31 bits.
    """
    purpose += rank << 8
    value = seed * 0x9E3779B97F4A7C15 + purpose * 0xD1B54A32D192ED03 + number
    value &= 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    return (value ^ (value >> 31)) & 0x7FFFFFFF
