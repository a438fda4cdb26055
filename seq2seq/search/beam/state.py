"""The hypotheses that a beam search follows, and the ranking of their extensions.

A lane is a beam of its own: the hypotheses of one group of one sentence.

Shapes: A lanes under way, W hypotheses of a lane, N rows (hypotheses of all lanes), k candidates a
row, P = A x W places, X = W x k extensions of a lane, C of them ranked.
"""

from __future__ import annotations

import numpy as np

from seq2seq.ids import EOS
from seq2seq.search.beam.candidates import Answer, Ranked
from seq2seq.search.model import Bools, Floats, Ints


class Live:
    """Where the rows of the model belong: up to W hypotheses, best first, of A lanes.

    Args:
        lane_A: The lanes.
        count_A: How many rows each has.
        sum_N: The sum of log-probabilities of each row.
    """

    def __init__(self, lane_A: Ints, count_A: Ints, sum_N: Floats) -> None:
        self.lane_A = lane_A
        self.sum_N = sum_N
        self.lane_N = lane_A.repeat(count_A)
        self._width = width = int(count_A.max(initial=0))
        # Where each lane has W rows, a row is its place. Elsewhere some places stay empty.
        self._place_N: Ints | None = None
        if len(sum_N) < len(lane_A) * width:
            self._place_N = np.flatnonzero(np.arange(width) < count_A[:, None])
            self._row_P = np.zeros(len(lane_A) * width, dtype=np.int64)
            self._row_P[self._place_N] = np.arange(len(sum_N))
        self._first_A1 = np.arange(len(lane_A))[:, None] * width  # the first place of each lane

    @classmethod
    def at_start(cls, lanes: int) -> Live:
        """One empty hypothesis in each lane.

        Args:
            lanes: How many lanes there are.

        Returns:
            They.
        """
        return cls(np.arange(lanes), np.ones(lanes, dtype=np.int64), np.zeros(lanes))

    def rank(self, answer: Answer, best: int) -> Ranked:
        """Extends every hypothesis and ranks the results, for each lane by itself.

        Args:
            answer: What may come next.
            best: How many of a lane's are wanted; fewer if there are not as many.

        Returns:
            The best: higher sums first; of equal ones, that of the better parent, then the token
            that comes first among its row's candidates.
        """
        k = answer.token_Nk.shape[1]
        sum_Xs = self._spread(self.sum_N[:, None] + answer.log_prob_Nk)
        choice_Xs = sum_Xs
        if answer.choice_Nk is not answer.log_prob_Nk:
            choice_Xs = self._spread(self.sum_N[:, None] + answer.choice_Nk)
        choice_AX = choice_Xs.reshape(len(self.lane_A), self._width * k)
        order_AC = (-choice_AX).argsort(axis=1, kind="stable")[:, :best]
        order_AC += self._first_A1 * k
        row_AC = order_AC // k
        sum_AC = sum_Xs.take(order_AC)
        if self._place_N is not None:
            place_AC, row_AC = row_AC, self._row_P.take(row_AC)
            order_AC += (row_AC - place_AC) * k
        token_AC = answer.token_Nk.take(order_AC)
        return Ranked(sum_AC, token_AC, row_AC, token_AC == EOS)

    def _spread(self, values_Nk: Floats) -> Floats:
        """Puts each row's values at its place, one after another; nothing is possible elsewhere."""
        if self._place_N is None:
            return values_Nk.reshape(-1)
        spread_Pk = np.full((len(self._row_P), values_Nk.shape[1]), -np.inf)
        spread_Pk[self._place_N] = values_Nk
        return spread_Pk.reshape(-1)

    def advance(self, ranked: Ranked, keep_AC: Bools) -> tuple[Live, Ints, Ints]:
        """Goes on with the extensions marked; lanes without any leave.

        Args:
            ranked: The extensions.
            keep_AC: Those that go on.

        Returns:
            Their places, and for the model the row that each goes on from and its token.
        """
        count_A = keep_AC.sum(axis=1)
        stays_A = count_A > 0
        live = Live(self.lane_A[stays_A], count_A[stays_A], ranked.sum_AC[keep_AC])
        return live, ranked.row_AC[keep_AC], ranked.token_AC[keep_AC]

    def advance_all(self, ranked: Ranked, width: int) -> tuple[Live, Ints, Ints]:
        """Goes on with the first ``width`` extensions of every lane: ``advance``, but faster.

        Args:
            ranked: The extensions.
            width: How many of each lane; all of them are possible.

        Returns:
            As ``advance``.
        """
        sum_N = ranked.sum_AC[:, :width].reshape(-1)
        row_N, token_N = (
            ranked.row_AC[:, :width].reshape(-1),
            ranked.token_AC[:, :width].reshape(-1),
        )
        if width != self._width or self._place_N is not None:
            counts_A = np.full(len(self.lane_A), width, dtype=np.int64)
            return Live(self.lane_A, counts_A, sum_N), row_N, token_N
        live = Live.__new__(Live)
        live.__dict__.update(self.__dict__, sum_N=sum_N)
        return live, row_N, token_N
