"""Several models as one: at each step their opinions on the next token are averaged.

Shapes: N rows, S source length, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any, Literal

import numpy as np

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.search.model import (
    Candidates,
    Distribution,
    Floats32,
    Ints,
    SourceBatch,
    StepModel,
    top_k,
)


class Ensemble:
    """A :class:`~seq2seq.search.model.StepModel` made of others.

    They may differ in everything but their pieces: all read the same piece ids and write the same.
    An ensemble of one model is that model, to the bit. It is a Seq2SeqError if arguments do not
    fit, and a ModelError if members have vocabularies of different sizes.

    ``combine`` is "log" to average log-probabilities and normalize again (a geometric mean: a token
    is likely if no member thinks it unlikely), or "probability" to average probabilities (a token
    is likely if one member thinks so). ``weights`` say how much each member counts, in proportion
    to the others; None: all alike.
    """

    def __init__(
        self,
        models: Sequence[StepModel[Any]],
        *,
        combine: Literal["log", "probability"] = "log",
        weights: Sequence[float] | None = None,
    ) -> None:
        if not models:
            raise Seq2SeqError("an ensemble has no models; it needs one or more")
        if combine not in ("log", "probability"):
            raise Seq2SeqError(f'combine is {combine!r}; "log" or "probability" is allowed')
        sizes = [model.vocab_size for model in models]
        if len(set(sizes)) > 1:
            raise ModelError(
                f"the models of an ensemble have {', '.join(map(str, sizes))} target pieces, but "
                "must share one tokenizer: train them with the same one (tokenizer.model)"
            )
        self._models = list(models)
        self._combine = combine
        self._weights = _shares(weights, len(models))

    @property
    def vocab_size(self) -> int:
        """How many target tokens there are (V)."""
        return self._models[0].vocab_size

    def start(self, source: SourceBatch) -> tuple[Any, ...]:
        """As :meth:`StepModel.start`; the state is that of each member."""
        return tuple(model.start(source) for model in self._models)

    def step(
        self,
        state: tuple[Any, ...],
        parent_N: Ints,
        token_N: Ints,
        k: int,
        suppress: Sequence[int] = (),
    ) -> tuple[Candidates, tuple[Any, ...]]:
        """As :meth:`StepModel.step`."""
        if len(self._models) == 1:
            candidates, after = self._models[0].step(state[0], parent_N, token_N, k, suppress)
            return candidates, (after,)
        distribution, states = self.distribution(state, parent_N, token_N)
        distribution.log_probs[:, list(suppress)] -= np.inf
        return Candidates(*top_k(distribution.log_probs, k), distribution.attention), states

    def distribution(
        self, state: tuple[Any, ...], parent_N: Ints, token_N: Ints
    ) -> tuple[Distribution, tuple[Any, ...]]:
        """As :meth:`StepModel.distribution`; attention is the mean, if all members have one."""
        answers = [
            model.distribution(one, parent_N, token_N)
            for model, one in zip(self._models, state, strict=True)
        ]
        found, states = zip(*answers, strict=True)
        if len(found) == 1:
            return found[0], states
        average = _log_mean if self._combine == "log" else _mean
        log_probs_NV = average([one.log_probs for one in found], self._weights)
        attention_NS = self._mean_attention([one.attention for one in found])
        return Distribution(log_probs_NV, attention_NS), states

    def _mean_attention(self, attentions: Sequence[Floats32 | None]) -> Floats32 | None:
        present = [one for one in attentions if one is not None]
        if len(present) < len(attentions):
            return None
        # An engine may leave out columns that are padding in all rows.
        mean_NS = np.zeros((len(present[0]), max(one.shape[1] for one in present)), np.float32)
        for weight, one in zip(self._weights, present, strict=True):
            mean_NS[:, : one.shape[1]] += np.float32(weight) * one
        return mean_NS


_UNEQUAL = 1_000_000


def _shares(weights: Sequence[float] | None, models: int) -> list[float]:
    if weights is None:
        return [1 / models] * models
    if len(weights) != models:
        raise Seq2SeqError(
            f"weights has {len(weights)} numbers for {models} models; it needs one for each"
        )
    if not all(0 < weight < math.inf for weight in weights):
        raise Seq2SeqError(
            f"weights holds {', '.join(f'{weight:g}' for weight in weights)}; numbers above 0 are "
            "allowed (leave a model out instead of giving it 0)"
        )
    if max(weights) > _UNEQUAL * min(weights):
        raise Seq2SeqError(
            f"weights go from {min(weights):g} to {max(weights):g}: one may be at most "
            f"{_UNEQUAL:,} times another (leave a model out that is to count so little)"
        )
    total = sum(weight / max(weights) for weight in weights)  # so that no sum is infinite
    return [weight / max(weights) / total for weight in weights]


def _log_mean(log_probs: Sequence[Floats32], weights: Sequence[float]) -> Floats32:
    mean_NV = np.float32(weights[0]) * log_probs[0]
    for weight, one in zip(weights[1:], log_probs[1:], strict=True):
        mean_NV += np.float32(weight) * one
    peak_N1 = mean_NV.max(axis=1, keepdims=True)
    peak_N1[peak_N1 == -np.inf] = 0.0  # no token that all members think possible: nothing to scale
    total_N1 = np.exp(mean_NV - peak_N1).sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        mean_NV -= np.where(total_N1 > 0, peak_N1 + np.log(total_N1), 0.0)
    return np.asarray(np.minimum(mean_NV, 0.0))


def _mean(log_probs: Sequence[Floats32], weights: Sequence[float]) -> Floats32:
    weighted = (
        one + np.float32(math.log(weight)) for weight, one in zip(weights, log_probs, strict=True)
    )
    return np.asarray(np.minimum(reduce(np.logaddexp, weighted), 0.0))
