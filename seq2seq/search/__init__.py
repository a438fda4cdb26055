"""Search: numpy over a step model that may be anything, with rules on length and tokens."""

from __future__ import annotations

from seq2seq.search.beam import beam_search
from seq2seq.search.greedy import greedy
from seq2seq.search.options import Sampling, SearchOptions, Wish
from seq2seq.search.protocol import Candidates, Distribution, Hypothesis, SourceBatch, StepModel
from seq2seq.search.rules import SUPPRESSED, Normalization, divisors, length_caps
from seq2seq.search.run import run_search

__all__ = [
    "SUPPRESSED",
    "Candidates",
    "Distribution",
    "Hypothesis",
    "Normalization",
    "Sampling",
    "SearchOptions",
    "SourceBatch",
    "StepModel",
    "Wish",
    "beam_search",
    "divisors",
    "greedy",
    "length_caps",
    "run_search",
]
