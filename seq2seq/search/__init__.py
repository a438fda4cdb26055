"""Search: numpy over a step model that may be anything, with rules on length and tokens."""

from __future__ import annotations

from seq2seq.search.beam import beam_search
from seq2seq.search.greedy import greedy
from seq2seq.search.protocol import Candidates, Hypothesis, SourceBatch, StepModel
from seq2seq.search.rules import SUPPRESSED, Normalization, divisors, length_caps

__all__ = [
    "SUPPRESSED",
    "Candidates",
    "Hypothesis",
    "Normalization",
    "SourceBatch",
    "StepModel",
    "beam_search",
    "divisors",
    "greedy",
    "length_caps",
]
