"""Which token each row of a search was fed, and which row it came from: hypotheses as arrays."""

from __future__ import annotations

import numpy as np

from seq2seq.search.protocol import Ints


class History:
    """Back-pointers and tokens of every step; hypotheses are only written out at the end."""

    def __init__(self) -> None:
        self._steps: list[tuple[Ints, Ints]] = []

    def append(self, parent_N: Ints, token_N: Ints) -> None:
        """Notes a step.

        Args:
            parent_N: The row of the step before that each row goes on from.
            token_N: The token that it is fed.
        """
        self._steps.append((parent_N, token_N))

    def trace(self, lengths: Ints, rows: Ints) -> list[tuple[int, ...]]:
        """Writes hypotheses out.

        Args:
            lengths: How many tokens each has, which is the step it ended at (M,).
            rows: Its row at that step (M,).

        Returns:
            The tokens of each.
        """
        tokens = np.zeros((len(rows), int(lengths.max(initial=0))), dtype=np.int64)
        row_M = rows.copy()
        for step in range(tokens.shape[1], 0, -1):
            reached = np.flatnonzero(lengths >= step)
            parent_N, token_N = self._steps[step - 1]
            tokens[reached, step - 1] = token_N[row_M[reached]]
            row_M[reached] = parent_N[row_M[reached]]
        return [
            tuple(row[:length])
            for row, length in zip(tokens.tolist(), lengths.tolist(), strict=True)
        ]
