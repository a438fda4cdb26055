"""Sampling: translations drawn from the model's distribution, with temperature, top-k and nucleus.

At each step, in this order: rules change what may come next, log-probabilities are divided by the
temperature, the ``top_k`` best are kept, of these the best that together have ``top_p`` of their
probability (the nucleus, Holtzman et al. 2020), and one of what is left is drawn.

Random numbers are a function of the seed, the sentence's pieces and the number of the sample, one
stream for each: the batch and the place in it change no sample.

Shapes: B sentences, P paths (samples of all sentences), N paths under way, C candidates, V
vocabulary.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import BOS, EOS, SUPPRESSED
from seq2seq.recipe.training import Normalization
from seq2seq.search.constraints.tokens import Rule
from seq2seq.search.model import (
    Floats,
    Floats32,
    Hypothesis,
    Ints,
    S,
    SourceBatch,
    StepModel,
    top_k,
)
from seq2seq.search.step import Stepper, checked_caps
from seq2seq.search.trace import Paths, divisors

_BLOCK = 32  # steps for which random numbers are made at once


@dataclass(frozen=True)
class Sampling:
    """Draws translations instead of looking for the best.

    A sentence's samples depend on ``seed`` and the sentence alone, not on its batch or place.

    Args:
        temperature: Log-probabilities are divided by it before drawing; below 1 is safer.
        top_k: How many of the best tokens may be drawn; None: all.
        top_p: Only the best tokens that together have so much of the probability (Holtzman et al.
            2020), at least one.
        seed: Another seed, other samples.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 1


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

    Arguments and errors are those of ``beam_search``, but for ``sampling`` and the number of
    ``samples`` of each sentence. These come in the order of their numbers: asking for more does not
    change the first ones. Their log-probabilities are the model's own.
    """
    check_sampling(sampling, samples)
    caps = checked_caps(max_lengths, len(source))
    if not len(source):
        return []
    stepper = Stepper(model, caps, suppress, rules)
    random = _RandomNumbers(source, sampling.seed, samples)
    paths = Paths(
        source.lengths.repeat(samples),
        divisors(normalization, int(stepper.last_B.max()) + 1),
        coverage=0.0,
        keep_attention=keep_attention,
    )
    state = model.start(source)
    sentence_N = parent_N = np.arange(len(source))
    token_N = np.full(len(source), BOS, dtype=np.int64)
    while len(parent_N):
        every, state = stepper.distribution(state, parent_N, token_N, sentence_N)
        is_first = paths.length == 0
        if is_first:  # all samples of a sentence begin alike: the model steps once for all of them
            every = every.repeated(samples)
        token_N = draw(every.adjusted_NV, sampling, random.numbers(paths.path_N, paths.length))
        row_N = np.arange(len(token_N))
        stuck_N = truncated_N = every.adjusted_NV[row_N, token_N] == -np.inf
        if every.must_end_N is not None:
            truncated_N = stuck_N | (every.must_end_N & (token_N != EOS))
            token_N[every.must_end_N] = EOS
        impossible_N = every.adjusted_NV[row_N, token_N] == -np.inf
        log_prob_N = np.where(impossible_N, -np.inf, every.log_prob_NV[row_N, token_N])
        ends_N = (token_N == EOS) | stuck_N
        parent_N, token_N = paths.advance(
            token_N, log_prob_N, every.attention_NS, ends_N, truncated_N
        )
        sentence_N = paths.path_N // samples
        if is_first:
            parent_N = sentence_N
    found = paths.hypotheses()
    return [found[start : start + samples] for start in range(0, len(found), samples)]


def check_sampling(sampling: Sampling, samples: int) -> None:
    """Refuses numbers that are out of range."""
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


def draw(adjusted_NV: Floats32, sampling: Sampling, number_N: Floats) -> Ints:
    """Draws a token for each row by its random number, from 0 up to 1.

    Log-probabilities may be of any scale; -inf is never drawn, but where a row holds nothing else,
    any token is.
    """
    peak_N1 = adjusted_NV.max(axis=1, keepdims=True)
    peak_N1 = np.where(peak_N1 == -np.inf, 0.0, peak_N1).astype(np.float64)

    def weights(log_probs: Floats32) -> Floats:
        with np.errstate(over="ignore"):  # at next to no temperature: -inf is right
            return np.asarray(np.exp((log_probs - peak_N1) / sampling.temperature))

    if sampling.top_k is None:
        weight_NV = weights(adjusted_NV)
        if sampling.top_p == 1:
            return _first_beyond(np.cumsum(weight_NV, axis=1), number_N)
        pairs = zip(weight_NV, number_N.tolist(), strict=True)
        return np.array([_draw_of_best(row, sampling.top_p, number) for row, number in pairs])
    best_NC, token_NC = top_k(adjusted_NV, min(sampling.top_k, adjusted_NV.shape[1]))
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


class _RandomNumbers:
    """A stream of random numbers for each sample of each sentence."""

    def __init__(self, source: SourceBatch, seed: int, samples: int) -> None:
        self._streams = []
        for ids, length in zip(source.ids, source.lengths.tolist(), strict=True):
            sentence = ids[:length].astype("<i8").tobytes()
            for number in range(samples):
                key = hashlib.sha256(f"{seed} {number} ".encode() + sentence).digest()
                philox = np.random.Philox(key=int.from_bytes(key[:16], "little"))
                self._streams.append(np.random.Generator(philox))
        self._number_PT = np.zeros((len(self._streams), 0))

    def numbers(self, path_N: Ints, step: int) -> Floats:
        """The numbers of a step, from 0 up to 1 (N,); steps are asked for in order."""
        place = step % _BLOCK
        if place == 0:
            self._number_PT = np.zeros((len(self._streams), _BLOCK))
            for path in path_N.tolist():
                self._number_PT[path] = self._streams[path].random(_BLOCK)
        return np.asarray(self._number_PT[path_N, place])
