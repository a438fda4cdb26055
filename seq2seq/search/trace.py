"""Which token each row of a search was fed, and which row it came from: hypotheses as arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seq2seq.search.model import Floats, Floats32, Ints


class History:
    """Back-pointers, tokens and sums of every step; hypotheses are only written out at the end."""

    def __init__(self) -> None:
        self._steps: list[tuple[Ints, Ints, Floats]] = []
        self._attention: list[Floats32] = []

    def append(self, parent_N: Ints, token_N: Ints, sum_N: Floats) -> None:
        """Notes a step.

        Args:
            parent_N: The row of the step before that each row goes on from.
            token_N: The token that it is fed.
            sum_N: The sum of its log-probabilities, that token counted.
        """
        self._steps.append((parent_N, token_N, sum_N))

    def attend(self, attention_NS: Floats32 | None) -> None:
        """Notes how the rows of a step weighed the source; all steps are noted, or none.

        Args:
            attention_NS: What the model returned for that step.
        """
        if attention_NS is not None:
            self._attention.append(attention_NS)

    def trace(
        self, lengths: Sequence[int], rows: Sequence[int]
    ) -> list[tuple[list[int], list[float], list[int]]]:
        """Writes hypotheses out.

        Args:
            lengths: How many tokens each has, which is the step it ended at (M).
            rows: Its row at that step (M).

        Returns:
            For each its tokens, the sum up to each of them, and its row at each step, that it ended
            at counted.
        """
        # Single items of lists are read much faster than those of arrays.
        steps = [
            (parent_N.tolist(), token_N.tolist(), sum_N.tolist())
            for parent_N, token_N, sum_N in self._steps[: max(lengths, default=0)]
        ]
        found = []
        for length, last_row in zip(lengths, rows, strict=True):
            row, tokens, sums, path = last_row, [], [], [last_row]
            for parents, step_tokens, step_sums in reversed(steps[:length]):
                tokens.append(step_tokens[row])
                sums.append(step_sums[row])
                row = parents[row]
                path.append(row)
            found.append((tokens[::-1], sums[::-1], path[::-1]))
        return found

    def attention_of(self, path: Sequence[int], positions: int) -> Floats32 | None:
        """Writes out what a hypothesis attended to.

        Args:
            path: Its row at each step, as ``trace`` gives it.
            positions: Positions of its source; the rest is padding.

        Returns:
            Its attention (steps, positions); None if none was noted.
        """
        if not self._attention:
            return None
        return np.stack([self._attention[step][row, :positions] for step, row in enumerate(path)])


def token_log_probs(sums: Sequence[float], total: float) -> tuple[float, ...]:
    """Takes the sums of a hypothesis apart.

    Args:
        sums: The sum of log-probabilities up to each token.
        total: That with eos.

    Returns:
        The log-probability of each token and of eos.
    """
    return tuple(after - before for before, after in zip((0.0, *sums), (*sums, total), strict=True))
