"""The ids that mean the same in every vocabulary."""

from __future__ import annotations

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""Padding, an unknown token, the beginning and the end of a sentence."""

SUPPRESSED = (PAD, UNK, BOS)
"""Tokens that a translation never holds, unless it is asked otherwise."""
