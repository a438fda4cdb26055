"""The door to every search: what a user asks for is checked, and the search for it is chosen."""

from __future__ import annotations

import numpy as np

from seq2seq.search.beam import beam_search
from seq2seq.search.greedy import greedy
from seq2seq.search.options import SearchOptions
from seq2seq.search.protocol import Hypothesis, Ints, S, SourceBatch, StepModel
from seq2seq.search.rules import SUPPRESSED, length_caps
from seq2seq.text.tokenizer import UNK


def run_search(
    model: StepModel[S],
    source: SourceBatch,
    options: SearchOptions,
) -> list[list[Hypothesis]]:
    """Translates a batch as asked.

    Args:
        model: The model.
        source: The sentences (B).
        options: How to search.

    Returns:
        For each sentence up to ``n_best`` hypotheses, best first, and at least one.

    Raises:
        Seq2SeqError: If the options or wishes contradict each other, or the model cannot do it.
        ModelError: If the model's log-probabilities are NaN.
    """
    if not len(source):
        return []
    caps = _caps(source, options)
    suppress = tuple(t for t in SUPPRESSED if t != UNK or not options.allow_unknown)
    if options.beam == 1:
        found = greedy(
            model,
            source,
            max_lengths=caps,
            normalization=options.normalization,
            suppress=suppress,
        )
        return [[one] for one in found]
    return beam_search(
        model,
        source,
        beam=options.beam,
        n_best=options.n_best,
        max_lengths=caps,
        normalization=options.normalization,
        suppress=suppress,
    )


def _caps(source: SourceBatch, options: SearchOptions) -> Ints:
    caps = length_caps(source.lengths - 1, options.max_ratio, options.max_extra)
    return caps if options.max_length is None else np.minimum(caps, options.max_length)
