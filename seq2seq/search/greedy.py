"""Searches that follow one hypothesis a sentence: the best token at each step, or a given one.

Shapes: B sentences, N rows, k candidates a row, T tokens of the longest translation given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import BOS, EOS, SUPPRESSED
from seq2seq.recipe.training import NoNormalization, Normalization
from seq2seq.search.constraints.tokens import Rule
from seq2seq.search.model import Hypothesis, S, SourceBatch, StepModel, check_numbers
from seq2seq.search.step import Stepper, checked_caps
from seq2seq.search.trace import Paths, divisors


def greedy(
    model: StepModel[S],
    source: SourceBatch,
    *,
    max_lengths: npt.ArrayLike,
    normalization: Normalization | None = None,
    suppress: Sequence[int] = SUPPRESSED,
    rules: Sequence[Rule] = (),
    coverage: float = 0.0,
    keep_attention: bool = False,
) -> list[Hypothesis]:
    """Translates a batch, taking the best token at each step. Validation translates with it.

    It gives what ``beam_search`` gives with a beam of 1, for less work. A row leaves the batch when
    its sentence is finished: at eos, at its length cap (eos is forced, and its log-probability
    counts), or where every token is impossible (all -inf).

    Arguments and errors are those of ``beam_search``. Normalization and coverage make the score of
    a hypothesis and do not change the choice.
    """
    caps = checked_caps(max_lengths, len(source))
    if not len(source):
        return []
    stepper = Stepper(model, caps, suppress, rules)
    divisor_of = divisors(normalization or NoNormalization(), int(stepper.last_B.max()) + 1)
    paths = Paths(source.lengths, divisor_of, coverage=coverage, keep_attention=keep_attention)
    state = model.start(source)
    parent_N, token_N = np.arange(len(source)), np.full(len(source), BOS, dtype=np.int64)
    while len(parent_N):
        best, state = stepper.best(state, parent_N, token_N, paths.path_N, paths.length, 1)
        log_prob_N, token_N = best.log_prob_Nk[:, 0], best.token_Nk[:, 0]
        ends_N, truncated_N = token_N == EOS, best.truncated_N
        if np.minimum.reduce(log_prob_N) == -math.inf:
            stuck_N = log_prob_N == -math.inf
            ends_N |= stuck_N
            truncated_N = stuck_N if truncated_N is None else stuck_N | truncated_N
        parent_N, token_N = paths.advance(
            token_N, log_prob_N, best.attention_NS, ends_N, truncated_N
        )
    return paths.hypotheses()


def force(
    model: StepModel[S],
    source: SourceBatch,
    targets: Sequence[Sequence[int]],
    *,
    normalization: Normalization,
    coverage: float = 0.0,
    keep_attention: bool = False,
) -> list[Hypothesis]:
    """Scores a given translation of each sentence: its tokens, without bos and eos.

    The numbers of each hypothesis are those that a search reports when it finds this translation,
    to the rounding of float32; none is truncated. Other arguments are those of ``beam_search``. It
    is a Seq2SeqError if there are more or fewer translations than sentences, or a token is outside
    the vocabulary.
    """
    if len(targets) != len(source):
        raise Seq2SeqError(
            f"{len(targets)} translations for {len(source)} sentences; each needs one"
        )
    if not len(source):
        return []
    lengths_B = np.array([len(target) for target in targets], dtype=np.int64)
    labels_BT = np.full((len(targets), int(lengths_B.max()) + 1), EOS, dtype=np.int64)
    for row, target in zip(labels_BT, targets, strict=True):
        row[: len(target)] = target
    outside = labels_BT[(labels_BT < 0) | (labels_BT >= model.vocab_size)]
    if outside.size:
        raise Seq2SeqError(
            f"a translation has the token {outside[0]}; ids from 0 to {model.vocab_size - 1} are "
            "allowed"
        )
    divisor_of = divisors(normalization, labels_BT.shape[1])
    paths = Paths(source.lengths, divisor_of, coverage=coverage, keep_attention=keep_attention)
    state = model.start(source)
    parent_N, token_N = np.arange(len(source)), np.full(len(source), BOS, dtype=np.int64)
    while len(parent_N):
        distribution, state = model.distribution(state, parent_N, token_N)
        token_N = labels_BT[paths.path_N, paths.length]
        log_prob_N = distribution.log_probs[np.arange(len(token_N)), token_N]
        check_numbers(log_prob_N)
        ends_N = lengths_B[paths.path_N] == paths.length
        parent_N, token_N = paths.advance(token_N, log_prob_N, distribution.attention, ends_N)
    return paths.hypotheses()
