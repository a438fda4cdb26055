"""The rows of a search from step to step: tokens, parents, sums, attention; and their scores.

Every search notes its steps in a :class:`Trace`; translations are only written out at the end.

Shapes: N rows, P paths (rows that never branch), S source length, M translations.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seq2seq.recipe.training import (
    GnmtNormalization,
    LengthNormalization,
    NoNormalization,
    Normalization,
)
from seq2seq.search.model import Bools, Floats, Floats32, Hypothesis, Ints, required_attention


class End(NamedTuple):
    """Where a hypothesis ended, otherwise as ``Hypothesis``."""

    score: float
    log_prob: float
    length: int  # how many tokens it has, which is the step that it ended at
    row: int  # its row at that step
    truncated: bool


def ends_at(
    length: int, row_M: Ints, sum_M: Floats, score_M: Floats, truncated_N: Bools | None
) -> list[End]:
    """Rows of a step that end; ``truncated_N`` marks those truncated among all its rows."""
    truncated_M = row_M < 0 if truncated_N is None else truncated_N[row_M]
    columns = (score_M.tolist(), sum_M.tolist(), row_M.tolist(), truncated_M.tolist())
    return [
        End(score, total, length, row, truncated)
        for score, total, row, truncated in zip(*columns, strict=True)
    ]


def divisors(normalization: Normalization, longest: int) -> Floats:
    """What log-probabilities are divided by to give scores, for each length up to the longest.

    The entry at a number of tokens, eos counted, is its divisor (longest + 1,). It never falls with
    length; the beam's early stop rests on that.
    """
    length = np.arange(longest + 1, dtype=np.float64)
    match normalization:
        case NoNormalization():
            return np.ones_like(length)
        case LengthNormalization(alpha=alpha):
            length[0] = 1.0  # no hypothesis has length 0, as eos counts; only keep it divisible
            return np.asarray(length**alpha)
        case GnmtNormalization(alpha=alpha):
            return np.asarray(((5.0 + length) / 6.0) ** alpha)


class Trace:
    """Notes what each row of each step was fed, and the row before that it came from."""

    def __init__(self, *, keep_attention: bool) -> None:
        self._keep_attention = keep_attention
        self._steps: list[tuple[Ints, Ints, Floats]] = []
        self._attention: list[Floats32] = []

    def attend(self, attention_NS: Floats32 | None) -> None:
        """Notes how the rows of a step weighed the source, where that is kept."""
        if self._keep_attention:
            self._attention.append(required_attention(attention_NS))

    def add(self, parent_N: Ints, token_N: Ints, sum_N: Floats) -> None:
        """Notes the rows that go on from a step: each one's parent, token and sum with it."""
        self._steps.append((parent_N, token_N, sum_N))

    def hypotheses(self, ends: Sequence[End], positions: Sequence[int]) -> list[Hypothesis]:
        """Writes out the translations that ended (M), given the lengths of their sources (M)."""
        # Single items of lists are read much faster than those of arrays.
        steps = [
            (parent_N.tolist(), token_N.tolist(), sum_N.tolist())
            for parent_N, token_N, sum_N in self._steps[: max((e.length for e in ends), default=0)]
        ]
        written, paths = [], []
        for end in ends:
            row = end.row
            path, tokens, sums = [row], [], [end.log_prob]
            for parents, step_tokens, step_sums in reversed(steps[: end.length]):
                tokens.append(step_tokens[row])
                sums.append(step_sums[row])
                row = parents[row]
                path.append(row)
            gains = [after - before for after, before in zip(sums, [*sums[1:], 0.0], strict=True)]
            written.append((tuple(tokens[::-1]), tuple(gains[::-1])))
            paths.append(path[::-1])
        attended: Sequence[Floats32 | None] = [None] * len(paths)
        if self._keep_attention:
            attended = self._attention_along(paths, positions)
        return [
            Hypothesis(tokens, end.log_prob, end.score, end.truncated, gains, attended[m])
            for m, (end, (tokens, gains)) in enumerate(zip(ends, written, strict=True))
        ]

    def _attention_along(
        self, paths: Sequence[Sequence[int]], positions: Sequence[int]
    ) -> list[Floats32]:
        """How each path's steps weighed the source; all paths read a step at once."""
        longest = max(map(len, paths), default=0)
        width = max((one.shape[1] for one in self._attention[:longest]), default=0)
        attended = np.zeros((len(paths), longest, width), dtype=np.float32)
        # What is read behind a path's end is left out below.
        for step, rows in enumerate(zip_longest(*paths, fillvalue=0)):
            attention_NS = self._attention[step]
            attended[:, step, : attention_NS.shape[1]] = attention_NS[list(rows)]
        sizes = zip(attended, paths, positions, strict=True)
        return [one[: len(path), :size] for one, path, size in sizes]


def coverage_penalties(attended_NS: Floats, lengths_N: Ints) -> Floats:
    """How much of its source each translation leaves out (Wu et al. 2016, equation 14).

    It is the sum over a source's positions, that of eos too, of ``log(min(attended, 1))``, which
    is 0 or below; what each got is summed over all steps. An attention of exactly 0 counts as the
    least float32, so that the penalty stays finite.
    """
    penalty_NS = np.log(np.clip(attended_NS, np.finfo(np.float32).tiny, 1.0))
    real_NS = np.arange(attended_NS.shape[1]) < lengths_N[:, None]
    # One after another, unlike sum: to the last bit the same, whatever the padding.
    return np.asarray(np.where(real_NS, penalty_NS, 0.0).cumsum(axis=1)[:, -1])


class Coverage:
    """Sums up how much attention each row has paid to each source position; weighs penalties."""

    def __init__(self, weight: float) -> None:
        self._weight = weight
        self._attended_NS: Floats | None = None

    def add(self, attention_NS: Floats32 | None) -> None:
        """Counts the attention of a step."""
        before_NS = self._attended_NS
        attention_NS = required_attention(attention_NS)
        self._attended_NS = attention_NS.astype(np.float64)
        if before_NS is not None:  # an engine may leave out columns that are padding in all rows
            self._attended_NS += before_NS[:, : attention_NS.shape[1]]

    def penalties(self, row_M: Ints, positions_M: Ints) -> Floats:
        """What is added to the scores of rows that end now, by the lengths of their sources."""
        assert self._attended_NS is not None
        return self._weight * coverage_penalties(self._attended_NS[row_M], positions_M)

    def advance(self, parent_N: Ints) -> None:
        """Goes on with other rows, each from the row given."""
        if self._attended_NS is not None:
            self._attended_NS = self._attended_NS[parent_N]


class Paths:
    """Rows that never branch: each becomes one hypothesis, and leaves the batch when it ends.

    ``positions_P`` are the lengths of the sources, eos counted. ``path_N`` is the path of each row
    that is left, in rising order, and ``length`` the number of tokens that each of them has.
    """

    def __init__(
        self, positions_P: Ints, divisor_of: Floats, *, coverage: float, keep_attention: bool
    ) -> None:
        self.path_N = np.arange(len(positions_P))
        self.length = 0
        self._positions_P = positions_P
        self._divisor_of = divisor_of
        self._everyone = self.path_N
        self._sum_N = np.zeros(len(positions_P))
        self._trace = Trace(keep_attention=keep_attention)
        self._coverage = Coverage(coverage) if coverage else None
        self._ends: list[End | None] = [None] * len(positions_P)

    def advance(
        self,
        token_N: Ints,
        log_prob_N: npt.NDArray[np.floating],
        attention_NS: Floats32 | None,
        ends_N: Bools,
        truncated_N: Bools | None = None,
    ) -> tuple[Ints, Ints]:
        """Takes the next token of each row; gives the rows that go on, and their tokens.

        ``ends_N`` marks rows that end with this token, which does not become part of them.
        """
        self._trace.attend(attention_NS)
        if self._coverage is not None:
            self._coverage.add(attention_NS)
        self._sum_N = self._sum_N + log_prob_N
        parent_N = self._everyone
        if np.logical_or.reduce(ends_N):
            self._end(np.flatnonzero(ends_N), truncated_N)
            parent_N = np.flatnonzero(~ends_N)
            token_N, self.path_N = token_N[parent_N], self.path_N[parent_N]
            self._sum_N = self._sum_N[parent_N]
            self._everyone = self._everyone[: len(parent_N)]
            if self._coverage is not None:
                self._coverage.advance(parent_N)
        self._trace.add(parent_N, token_N, self._sum_N)
        self.length += 1
        return parent_N, token_N

    def _end(self, row_M: Ints, truncated_N: Bools | None) -> None:
        path_M = self.path_N[row_M]
        score_M = self._sum_N[row_M] / self._divisor_of[self.length + 1]
        if self._coverage is not None:
            score_M += self._coverage.penalties(row_M, self._positions_P[path_M])
        ends = ends_at(self.length, row_M, self._sum_N[row_M], score_M, truncated_N)
        for path, end in zip(path_M.tolist(), ends, strict=True):
            self._ends[path] = end

    def hypotheses(self) -> list[Hypothesis]:
        """The translations, one of each path, when all have ended."""
        ends = [end for end in self._ends if end is not None]
        return self._trace.hypotheses(ends, self._positions_P.tolist())
