"""Search: numpy over a step model that may be anything, with rules on length and tokens."""

from __future__ import annotations

from seq2seq.search.beam.search import beam_search
from seq2seq.search.greedy import greedy
from seq2seq.search.model import Candidates, Distribution, Hypothesis, SourceBatch, StepModel
from seq2seq.search.options import Sampling, SearchOptions, Wish
from seq2seq.search.run import run_search
from seq2seq.search.scores import SUPPRESSED, Normalization, divisors, length_caps

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
