"""What passes between the parts of a search at a step: answers of the model, and their ranking.

Shapes: N rows, k candidates a row, S source length, A lanes, C ranked extensions of a lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from seq2seq.search.model import Bools, Floats, Floats32, Ints


class Answer(NamedTuple):
    """The best next tokens of each row.

    Attributes:
        choice_Nk: What they are chosen by, best first; -inf: impossible.
        log_prob_Nk: The model's own log-probabilities; the same array where no rule is.
        token_Nk: The tokens.
        cut_N: Marks rows that have to end at their cap where eos was not the best; None: none has.
        attention_NS: As in ``Candidates``.
    """

    choice_Nk: Floats
    log_prob_Nk: Floats
    token_Nk: Ints
    cut_N: Bools | None
    attention_NS: Floats32 | None

    def repeated(self, times: int) -> Answer:
        """Repeats each row, as groups do that begin alike."""
        choice_Nk, log_prob_Nk, token_Nk, cut_N, attention_NS = self
        return Answer(
            choice_Nk.repeat(times, axis=0),
            log_prob_Nk.repeat(times, axis=0),
            token_Nk.repeat(times, axis=0),
            None if cut_N is None else cut_N.repeat(times),
            None if attention_NS is None else attention_NS.repeat(times, axis=0),
        )


@dataclass(frozen=True)
class Ranked:
    """The best extensions of A lanes, C each, best first.

    Attributes:
        sum_AC: The sums of the model's own log-probabilities; -inf: impossible.
        token_AC: The tokens that they add.
        row_AC: The rows that they extend.
        is_end_AC: Where the token is eos.
        over_AC: Marks what the guess at the end need not wait for; None: nothing.
    """

    sum_AC: Floats
    token_AC: Ints
    row_AC: Ints
    is_end_AC: Bools
    over_AC: Bools | None = None

    def is_plain(self, width: int) -> bool:
        """Whether the first ``width`` extensions of every lane are possible, and none ends."""
        if self.sum_AC.shape[1] < width or self.is_end_AC[:, :width].any():
            return False
        return bool(np.minimum.reduce(self.sum_AC[:, width - 1]) > -np.inf)

    def unfinished(self, width: int) -> Bools:
        """Marks the first ``width`` possible extensions that do not end their hypothesis."""
        goes_on: Bools = self.sum_AC > -np.inf
        goes_on &= ~self.is_end_AC
        goes_on &= goes_on.cumsum(axis=1) <= width
        return goes_on

    def finished(self, width: int) -> Bools:
        """Marks the possible ends among the first ``width`` extensions."""
        ends: Bools = self.is_end_AC & (self.sum_AC > -np.inf)
        ends[:, width:] = False
        return ends
