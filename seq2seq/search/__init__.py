"""Search: numpy over a step model that may be anything, with rules on length and tokens."""

from __future__ import annotations

from seq2seq.search.beam import beam_search
from seq2seq.search.constraints import Constraints
from seq2seq.search.greedy import greedy
from seq2seq.search.model import Candidates, Distribution, Hypothesis, SourceBatch, StepModel
from seq2seq.search.run import SearchOptions, check_options, run_search
from seq2seq.search.sampling import Sampling
from seq2seq.search.scores import SUPPRESSED, Normalization, divisors, length_caps

Wish = Constraints  # its public name

__all__ = [
    "SUPPRESSED",
    "Candidates",
    "Constraints",
    "Distribution",
    "Hypothesis",
    "Normalization",
    "Sampling",
    "SearchOptions",
    "SourceBatch",
    "StepModel",
    "Wish",
    "beam_search",
    "check_options",
    "divisors",
    "greedy",
    "length_caps",
    "run_search",
]
