"""What a search knows of a model: numpy in, numpy out, and a state that it cannot look into.

Anything that fits :class:`StepModel` can be searched: a torch model, another engine, an ensemble,
a scripted fake in a test. The engine does the heavy part (log-softmax, the k best, moving states)
where its states live; the search decides which rows go on. An engine without a fast way of its own
finds the k best by ``top_k``.

Shapes: B sentences, S source length, N rows (hypotheses under way, of all sentences), k candidates
a row, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import isqrt
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import PAD

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Floats32 = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

S = TypeVar("S")


@dataclass(frozen=True)
class SourceBatch:
    """Sources, a row a sentence."""

    ids: Ints  # pieces (B, S), each row ending with eos and padded on the right
    lengths: Ints  # how many pieces of each row are real, eos counted (B,)

    @classmethod
    def from_rows(cls, rows: Sequence[Sequence[int]]) -> SourceBatch:
        """Pads sentences, each ending with eos, to one array."""
        lengths = np.array([len(row) for row in rows], dtype=np.int64)
        ids = np.full((len(rows), int(lengths.max(initial=0))), PAD, dtype=np.int64)
        for row, padded in zip(rows, ids, strict=True):
            padded[: len(row)] = row
        return cls(ids, lengths)

    def __len__(self) -> int:
        return len(self.lengths)


@dataclass(frozen=True)
class Candidates:
    """The k best next tokens of each row.

    Log-probabilities are natural logarithms (N, k), best first, none above 0; equal ones come in
    the order of their tokens, so that results do not depend on the engine. Attention is how the row
    weighed the source's positions for this step (N, S), each row a sum of 1 and 0 at padding; None:
    the model has no attention.
    """

    log_probs: Floats32
    tokens: Ints
    attention: Floats32 | None = None


@dataclass(frozen=True)
class Distribution:
    """The log-probabilities of all tokens (N, V), the caller's own, to change; and attention."""

    log_probs: Floats32
    attention: Floats32 | None = None


class StepModel(Protocol[S]):
    """A model that says, one step at a time, what may come next.

    A state is a value: ``step`` returns a new one and leaves the old one as it was, so that the
    same state can be stepped from twice.
    """

    @property
    def vocab_size(self) -> int:
        """How many target tokens there are (V)."""

    def start(self, source: SourceBatch) -> S:
        """Encodes the sources: the state before any token was fed, in which row i is sentence i."""

    def step(
        self, state: S, parent_N: Ints, token_N: Ints, k: int, suppress: Sequence[int] = ()
    ) -> tuple[Candidates, S]:
        """Feeds one token to each of N rows.

        Args:
            state: What ``start`` or the step before returned.
            parent_N: The row of ``state`` that each new row goes on from. Rows may be dropped,
                repeated and moved; the first step feeds bos to the rows 0 to B - 1.
            token_N: The token that each new row is fed.
            k: How many candidates to return, at most V.
            suppress: Tokens that are not chosen: their log-probabilities are -inf. Those of the
                others are not normalized again.

        Returns:
            The k best next tokens of each new row, and the state of the new rows.
        """

    def distribution(self, state: S, parent_N: Ints, token_N: Ints) -> tuple[Distribution, S]:
        """As ``step``, but gives the log-probabilities of all tokens (for rules and samples)."""


@dataclass(frozen=True)
class Hypothesis:
    """A finished translation.

    It is ranked by its ``score``: ``log_prob`` normalized by length, and the coverage penalty where
    it was asked for. ``attention`` is how each step weighed the source's positions, eos counted
    (len(tokens) + 1, S); None: it was not asked for.
    """

    tokens: tuple[int, ...]  # without bos and eos
    log_prob: float  # the sum of its steps', that of eos counted
    score: float
    truncated: bool  # ended at the length cap where the model would rather have gone on
    token_log_probs: tuple[float, ...] = ()  # of each token and of eos
    attention: Floats32 | None = field(default=None, compare=False)

    def backwards(self) -> Hypothesis:
        """The same from its last token to its first; what belongs to eos stays at the end."""
        steps, attention = self.token_log_probs, self.attention
        if attention is not None:
            attention = np.concatenate([attention[-2::-1], attention[-1:]])
        return replace(
            self,
            tokens=self.tokens[::-1],
            token_log_probs=(*steps[-2::-1], *steps[-1:]),
            attention=attention,
        )


def required_attention(attention_NS: Floats32 | None) -> Floats32:
    """The attention that a model returned, where it is needed; a model without is refused."""
    if attention_NS is None:
        raise Seq2SeqError(
            "this model has no attention, which coverage, alignments and attention matrices need: "
            "leave them out, or use a model with model.decoder.attention"
        )
    return attention_NS


def check_numbers(log_prob_N: npt.NDArray[np.floating]) -> None:
    """Refuses NaN. One log-probability a row will do: a softmax is NaN wholly or not at all."""
    if math.isnan(np.add.reduce(log_prob_N)):  # faster than isnan(...).any() on few rows
        raise ModelError(
            "the model's probabilities are not numbers (NaN): its weights or its arithmetic broke "
            "down; use an earlier checkpoint, or train with a lower training.learning_rate"
        )


def top_k(scores_NV: Floats32, k: int) -> tuple[Floats32, Ints]:
    """The k <= V greatest of each row, equal ones by column, as values and columns (N, k) each.

    Partitioning whole rows would take longer than the matrix product that made them. So columns
    are dealt to groups, each row's k groups with the greatest maxima hold its k greatest, and only
    their members are looked at.
    """
    size = scores_NV.shape[1]
    if k == 1:
        tokens_N1 = scores_NV.argmax(axis=1)[:, None]
        return np.take_along_axis(scores_NV, tokens_N1, axis=1), tokens_N1
    values_Nk, tokens_Nk = _some_best(scores_NV, min(k + 1, size))
    if size == k:
        return values_Nk, tokens_Nk
    # Which of equal ones were taken is known only if none of them was left out.
    tied_N = (values_Nk[:, k] == values_Nk[:, k - 1]) & (values_Nk[:, k] > -np.inf)
    values_Nk, tokens_Nk = values_Nk[:, :k], tokens_Nk[:, :k]
    if tied_N.any():
        tied_MV = scores_NV[tied_N]
        tokens_Mk = np.argsort(-tied_MV, axis=1, kind="stable")[:, :k]
        tokens_Nk[tied_N] = tokens_Mk
        values_Nk[tied_N] = np.take_along_axis(tied_MV, tokens_Mk, axis=1)
    return values_Nk, tokens_Nk


def _some_best(scores_NV: Floats32, k: int) -> tuple[Floats32, Ints]:
    """As ``top_k``, but of those equal to the last, any may be taken."""
    rows, size = scores_NV.shape
    groups = isqrt(k * size)
    members = size // groups
    column_NC = np.broadcast_to(np.arange(size), (rows, size))
    if groups > k and members > 1:
        dealt = groups * members  # column c goes to group c % groups; what is over, to all
        maximum_NG = scores_NV[:, :dealt].reshape(rows, members, groups).max(axis=1)
        group_Nk = np.argpartition(maximum_NG, groups - k, axis=1)[:, groups - k :]
        column_NM = (group_Nk[:, :, None] + np.arange(0, dealt, groups)).reshape(rows, -1)
        column_NC = np.concatenate([column_NM, column_NC[:, dealt:]], axis=1)
        scores_NV = np.take_along_axis(scores_NV, column_NC, axis=1)
    last = scores_NV.shape[1] - k
    place_Nk = np.argpartition(scores_NV, last, axis=1)[:, last:]
    best_Nk = np.take_along_axis(scores_NV, place_Nk, axis=1)
    tokens_Nk = np.take_along_axis(column_NC, place_Nk, axis=1)
    order_Nk = np.lexsort((tokens_Nk, -best_Nk), axis=1)
    return (
        np.take_along_axis(best_Nk, order_Nk, axis=1),
        np.take_along_axis(tokens_Nk, order_Nk, axis=1),
    )
