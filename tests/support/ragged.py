"""Rows of ids as the package carries them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seq2seq.data.arrow import Ragged


def ragged(rows: Sequence[Sequence[int]]) -> Ragged:
    """Rows of unequal length as one array."""
    offsets = np.zeros(len(rows) + 1, dtype=np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    return Ragged(np.array([i for row in rows for i in row], dtype=np.int32), offsets)
