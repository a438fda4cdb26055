"""What was chosen at each step where hypotheses never branch, and what it amounts to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from seq2seq.search.model import Bools, Floats, Floats32, Hypothesis, Ints, check_attends
from seq2seq.search.scores import Normalization, coverage_penalties, divisors
from seq2seq.search.trace import token_log_probs


class _Step(NamedTuple):
    line_N: Ints
    token_N: Ints
    log_prob_N: Floats
    attention_NS: Floats32 | None


class Record:
    """Notes the steps of L lines, each of which becomes one hypothesis.

    Args:
        lengths_L: Positions of each line's source, eos counted.
        needs_attention: Whether coverage or the hypotheses need the model's attention.
    """

    def __init__(self, lengths_L: Ints, *, needs_attention: bool) -> None:
        self._lengths_L = lengths_L
        self._needs_attention = needs_attention
        self._steps: list[_Step] = []

    def add(
        self,
        line_N: Ints,
        token_N: Ints,
        log_prob_N: npt.NDArray[np.floating],
        attention_NS: Floats32 | None,
    ) -> None:
        """Notes a step of the lines that are under way.

        Args:
            line_N: The lines, in rising order.
            token_N: The token that each takes; the last one of a line is its eos.
            log_prob_N: Their log-probabilities.
            attention_NS: What the model returned.

        Raises:
            Seq2SeqError: If attention is needed, and the model has none.
        """
        if self._needs_attention:
            check_attends(attention_NS)
        kept = attention_NS if self._needs_attention else None
        self._steps.append(_Step(line_N, token_N, log_prob_N.astype(np.float64, copy=False), kept))

    def hypotheses(
        self,
        normalization: Normalization,
        *,
        truncated_L: Bools | None = None,
        coverage: float = 0.0,
        keep_attention: bool = False,
    ) -> list[Hypothesis]:
        """Writes the hypotheses out.

        Args:
            normalization: How scores are made from sums of log-probabilities.
            truncated_L: Which lines were cut; None: none.
            coverage: Weight of the coverage penalty.
            keep_attention: Whether hypotheses keep their attention.

        Returns:
            One for each line.
        """
        lines, steps = len(self._lengths_L), len(self._steps)
        token_LT = np.zeros((lines, steps), dtype=np.int64)
        log_prob_LT = np.zeros((lines, steps))
        length_L = np.zeros(lines, dtype=np.int64)
        for number, step in enumerate(self._steps):
            token_LT[step.line_N, number] = step.token_N
            log_prob_LT[step.line_N, number] = step.log_prob_N
            length_L[step.line_N] = number
        # Added up one after the other and taken apart again, as a beam does it: to the same bit.
        sum_LT = np.cumsum(log_prob_LT, axis=1)
        sum_L = sum_LT[:, -1]
        score_L = sum_L / divisors(normalization, steps)[length_L + 1]
        if coverage:
            score_L += coverage * coverage_penalties(self._attended(), self._lengths_L)
        cut_L = np.zeros(lines, dtype=np.bool_) if truncated_L is None else truncated_L
        attention = self._attention(length_L.tolist()) if keep_attention else [None] * lines
        return [
            Hypothesis(
                tokens=tuple(token_LT[line, :length].tolist()),
                log_prob=float(sum_L[line]),
                score=float(score_L[line]),
                truncated=bool(cut_L[line]),
                token_log_probs=token_log_probs(sums[:length], sums[-1]),
                attention=attention[line],
            )
            for line, (length, sums) in enumerate(
                zip(length_L.tolist(), sum_LT.tolist(), strict=True)
            )
        ]

    def _attended(self) -> Floats:
        attended_LS = np.zeros((len(self._lengths_L), int(self._lengths_L.max())))
        for line_N, _, _, attention_NS in self._steps:
            if attention_NS is not None:  # an engine may leave out columns that are all padding
                attended_LS[line_N, : attention_NS.shape[1]] += attention_NS
        return attended_LS

    def _attention(self, lengths: Sequence[int]) -> list[Floats32 | None]:
        kept: list[Floats32 | None] = []
        for line, length in enumerate(lengths):
            positions = int(self._lengths_L[line])
            rows = [
                attention_NS[np.searchsorted(line_N, line), :positions]
                for line_N, _, _, attention_NS in self._steps[: length + 1]
                if attention_NS is not None
            ]
            kept.append(np.stack(rows))
        return kept
