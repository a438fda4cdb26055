"""Translations drawn by chance, each as often as the model thinks it likely, or bolder.

At each step, in this order: rules change what may come next, log-probabilities are divided by the
temperature, the ``top_k`` best are kept, of these the best that together have ``top_p`` of their
probability (Holtzman et al. 2020), and one of what is left is drawn.

Chance is a function of the seed, the sentence's pieces and the number of the sample, one stream of
numbers for each: the batch and the place in it change no sample.

Shapes: B sentences, L lines (samples of all sentences), N lines under way, C candidates, V
vocabulary.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import BOS, EOS
from seq2seq.search.constraints.tokens import Rows, Rule
from seq2seq.search.model import (
    Floats,
    Floats32,
    Hypothesis,
    Ints,
    S,
    SourceBatch,
    StepModel,
)
from seq2seq.search.options import Sampling
from seq2seq.search.record import Record
from seq2seq.search.scores import SUPPRESSED, Normalization, checked_caps
from seq2seq.search.step import Ruling
from seq2seq.search.top_k import best_of

_BLOCK = 32  # steps that random numbers are made ahead for


def sample(
    model: StepModel[S],
    source: SourceBatch,
    *,
    sampling: Sampling,
    samples: int,
    max_lengths: npt.ArrayLike,
    normalization: Normalization,
    rules: Sequence[Rule] = (),
    suppress: Sequence[int] = SUPPRESSED,
    keep_attention: bool = False,
) -> list[list[Hypothesis]]:
    """Draws translations of a batch.

    A sample ends at eos, at its length cap (eos is forced, and counts; where a rule forbids it just
    then, the sample goes on until the rule allows it, at most to twice the cap and some), or where
    nothing may come next.

    Args:
        model: The model.
        source: The sentences (B).
        sampling: How to draw.
        samples: How many translations of each sentence to draw.
        max_lengths: The most tokens of each translation, eos not counted (B,).
        normalization: How ``score`` is made from ``log_prob``.
        rules: What else changes the choice.
        suppress: Tokens that are never taken.
        keep_attention: Whether hypotheses keep their attention.

    Returns:
        For each sentence its samples, in the order of their numbers: asking for more does not
        change the first ones. Their log-probabilities are the model's own.

    Raises:
        Seq2SeqError: If a number is out of range, or attention is asked of a model without.
        ModelError: If the model's log-probabilities are NaN.
    """
    check_sampling(sampling, samples)
    caps = checked_caps(max_lengths, len(source))
    if not len(source):
        return []
    sentence_L = np.arange(len(source)).repeat(samples)
    chance = _Chance(source, sampling.seed, samples)
    ruling = Ruling(model.vocab_size, caps, suppress, rules)
    record = Record(source.lengths[sentence_L], needs_attention=keep_attention)
    truncated_L = np.zeros(len(sentence_L), dtype=np.bool_)

    line_N = np.arange(len(sentence_L))
    distribution, state = model.distribution(
        model.start(source), np.arange(len(source)), np.full(len(source), BOS, dtype=np.int64)
    )
    # All samples of a sentence begin alike: the model is asked once for all of them.
    own_NV, attention_NS = distribution.log_probs, distribution.attention
    row_N, tokens_NT = sentence_L, np.zeros((len(line_N), 0), dtype=np.int64)
    while len(line_N):
        length = tokens_NT.shape[1]
        rows = Rows(sentence_L[line_N], tokens_NT)
        if length == 0:
            own_NV = own_NV[row_N]
            attention_NS = None if attention_NS is None else attention_NS[row_N]
        choice_NV = ruling.choice(rows, own_NV)
        token_N = draw(choice_NV, sampling, chance.numbers(line_N, length))
        stuck_N = choice_NV[np.arange(len(line_N)), token_N] == -np.inf
        truncated_L[line_N] = stuck_N
        ending_N = ruling.must_end(rows, own_NV, choice_NV)
        if ending_N is not None:
            truncated_L[line_N] |= ending_N & (token_N != EOS)
            token_N[ending_N] = EOS
        taken = (np.arange(len(line_N)), token_N)
        log_prob_N = np.where(choice_NV[taken] == -np.inf, -np.inf, own_NV[taken])
        record.add(line_N, token_N, log_prob_N, attention_NS)

        parent_N = np.flatnonzero((token_N != EOS) & ~stuck_N)
        line_N, row_N, token_N = line_N[parent_N], row_N[parent_N], token_N[parent_N]
        tokens_NT = np.column_stack([tokens_NT[parent_N], token_N])
        if len(line_N):
            distribution, state = model.distribution(
                state, row_N if length == 0 else parent_N, token_N
            )
            own_NV, attention_NS = distribution.log_probs, distribution.attention
    found = record.hypotheses(normalization, truncated_L=truncated_L, keep_attention=keep_attention)
    return [found[start : start + samples] for start in range(0, len(found), samples)]


def check_sampling(sampling: Sampling, samples: int) -> None:
    """Checks what a user may ask for.

    Args:
        sampling: How to draw.
        samples: How many.

    Raises:
        Seq2SeqError: If a number is out of range.
    """
    if samples < 1:
        raise Seq2SeqError(f"{samples} samples are asked for; 1 or more are allowed")
    if not 0 < sampling.temperature < math.inf:
        raise Seq2SeqError(
            f"temperature is {sampling.temperature:g}; numbers above 0 are allowed "
            "(for the best token at each step, search with a beam of 1 instead)"
        )
    if sampling.top_k is not None and sampling.top_k < 1:
        raise Seq2SeqError(f"top_k is {sampling.top_k}; 1 or more is allowed")
    if not 0 < sampling.top_p <= 1:
        raise Seq2SeqError(
            f"top_p is {sampling.top_p:g}; numbers above 0 and up to 1 are allowed (1: all tokens)"
        )


def draw(choice_NV: Floats32, sampling: Sampling, number_N: Floats) -> Ints:
    """Draws a token for each row.

    Args:
        choice_NV: Log-probabilities, in any scale; -inf: never drawn.
        sampling: Temperature and what is left out.
        number_N: The random number of each row, from 0 up to 1.

    Returns:
        The tokens (N,); any, where a row holds nothing but -inf.
    """
    peak_N1 = choice_NV.max(axis=1, keepdims=True)
    peak_N1 = np.where(peak_N1 == -np.inf, 0.0, peak_N1).astype(np.float64)

    def weights(log_probs: Floats32) -> Floats:
        with np.errstate(over="ignore"):  # at next to no temperature: -inf is right
            return np.asarray(np.exp((log_probs - peak_N1) / sampling.temperature))

    if sampling.top_k is None:
        weight_NV = weights(choice_NV)
        if sampling.top_p == 1:
            return _first_beyond(np.cumsum(weight_NV, axis=1), number_N)
        pairs = zip(weight_NV, number_N.tolist(), strict=True)
        return np.array([_draw_of_best(row, sampling.top_p, number) for row, number in pairs])
    best_NC, token_NC = best_of(choice_NV, min(sampling.top_k, choice_NV.shape[1]))
    sum_NC = np.cumsum(weights(best_NC), axis=1)
    # The last one kept is the first that the sum reaches top_p with.
    last_N1 = (sum_NC < sampling.top_p * sum_NC[:, -1:]).sum(axis=1, keepdims=True)
    sum_NC = np.minimum(sum_NC, np.take_along_axis(sum_NC, last_N1, axis=1))
    place_N1 = _first_beyond(sum_NC, number_N)[:, None]
    return np.asarray(np.take_along_axis(token_NC, place_N1, axis=1)[:, 0])


def _draw_of_best(weight_V: Floats, top_p: float, number: float) -> int:
    """Draws one of the best tokens that together have ``top_p`` of the weight."""
    total = weight_V.sum()
    # All that weigh less than this have together less than 1 - top_p: the best are among the rest.
    least = min((1 - top_p) * total / len(weight_V), weight_V.max())
    token_C = np.flatnonzero(weight_V >= least)
    token_C = token_C[np.argsort(-weight_V[token_C], kind="stable")]
    sum_C = np.cumsum(weight_V[token_C])
    last = min(int(sum_C.searchsorted(top_p * total)), len(sum_C) - 1)
    place = int(sum_C.searchsorted(number * sum_C[last], side="right"))
    return int(token_C[min(place, last)])


def _first_beyond(sum_NC: Floats, number_N: Floats) -> Ints:
    """The first place of each row whose running sum is beyond its random part of the whole."""
    # A number is at most 1 - 2^-53, with which the product, rounded, is still below the whole.
    part_N1 = (number_N * sum_NC[:, -1])[:, None]
    place_N: Ints = (sum_NC <= part_N1).sum(axis=1)
    return np.asarray(np.minimum(place_N, sum_NC.shape[1] - 1))


class _Chance:
    """A stream of random numbers for each sample of each sentence."""

    def __init__(self, source: SourceBatch, seed: int, samples: int) -> None:
        self._streams = []
        for ids, length in zip(source.ids, source.lengths.tolist(), strict=True):
            sentence = ids[:length].astype("<i8").tobytes()
            for number in range(samples):
                key = hashlib.sha256(f"{seed} {number} ".encode() + sentence).digest()
                philox = np.random.Philox(key=int.from_bytes(key[:16], "little"))
                self._streams.append(np.random.Generator(philox))
        self._number_LT = np.zeros((len(self._streams), 0))

    def numbers(self, line_N: Ints, step: int) -> Floats:
        """The numbers of a step, from 0 up to 1 (N,); steps are asked for in order."""
        place = step % _BLOCK
        if place == 0:
            self._number_LT = np.zeros((len(self._streams), _BLOCK))
            for line in line_N.tolist():
                self._number_LT[line] = self._streams[line].random(_BLOCK)
        return np.asarray(self._number_LT[line_N, place])
