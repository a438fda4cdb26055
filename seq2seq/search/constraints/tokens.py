"""Rules that look at what a hypothesis has said so far and change what it may say next.

A rule changes what is chosen at a step, never what is reported: the log-probability of a hypothesis
is always the model's own. Add a rule by writing a class with ``apply``.

Shapes: N rows (hypotheses under way, of all sentences), T tokens so far, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from seq2seq.ids import EOS
from seq2seq.search.model import Floats32, Ints


@dataclass(frozen=True)
class PartialHypotheses:
    """The hypotheses of a step, each of a sentence of the batch."""

    sentence_N: Ints
    tokens_NT: Ints  # so far, bos not counted; all rows of a step have as many
    log_prob_NV: Floats32  # the model's own, of what may come next, before any rule


class Rule(Protocol):
    """Changes log-probabilities before the choice."""

    def apply(self, rows: PartialHypotheses, log_probs_NV: Floats32) -> None:
        """Changes what may come next (N, V) in place; -inf forbids a token."""


class MinLength:
    """Forbids the end before a number of tokens, eos not counted, for each sentence."""

    def __init__(self, least_B: Ints) -> None:
        self._least_B = least_B

    def apply(self, rows: PartialHypotheses, log_probs_NV: Floats32) -> None:
        """Forbids eos where a row is too short."""
        short_N = rows.tokens_NT.shape[1] < self._least_B[rows.sentence_N]
        log_probs_NV[short_N, EOS] = -np.inf


class NoRepeatNgram:
    """Forbids any n-gram of a size, 1 or more, to come twice (Paulus et al. 2018)."""

    def __init__(self, size: int) -> None:
        self._size = size

    def apply(self, rows: PartialHypotheses, log_probs_NV: Floats32) -> None:
        """Forbids each token that would end an n-gram a row holds already."""
        tokens_NT, before = rows.tokens_NT, self._size - 1
        places = tokens_NT.shape[1] - before  # where the n-grams that a row holds begin
        if places < 1:
            return
        same_NP = np.ones((len(tokens_NT), places), dtype=np.bool_)
        for offset in range(before):
            newest_N1 = tokens_NT[:, places + offset, None]
            same_NP &= tokens_NT[:, offset : offset + places] == newest_N1
        row_M, place_M = np.nonzero(same_NP)
        log_probs_NV[row_M, tokens_NT[row_M, place_M + before]] = -np.inf


class RepetitionPenalty:
    """Makes what has come already less likely (Keskar et al. 2019).

    Its log-probability is multiplied by a factor above 1, since that is negative.
    """

    def __init__(self, factor: float) -> None:
        self._factor = np.float32(factor)

    def apply(self, rows: PartialHypotheses, log_probs_NV: Floats32) -> None:
        """Multiplies the log-probability of each token that a row holds, once."""
        row_N1 = np.arange(len(log_probs_NV))[:, None]
        # Every value is read before one is written, so that a token that came twice counts once.
        log_probs_NV[row_N1, rows.tokens_NT] = log_probs_NV[row_N1, rows.tokens_NT] * self._factor
