"""What a translator gives back, and how the translations of a long line's parts become one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from seq2seq.inference.alignment import word_alignment
from seq2seq.inference.segmentation import join_parts
from seq2seq.search import Hypothesis, Normalization, divisors
from seq2seq.search.model import Floats32


@dataclass(frozen=True)
class ScoredTranslation:
    """A translation and what the model thinks of it.

    Args:
        text: The translation, one line.
        score: What translations are ranked by: the log-probability normalized by length, with the
            coverage penalty where it was asked for; with MBR the expected utility.
        log_prob: The log-probability of all its tokens and of its end (natural logarithm). Of a
            translation that was cut because it repeated itself: of all that was cut too.
        truncated: It was cut at the length cap.
        tokens: Its pieces; like the rest empty if they were not asked for.
        token_log_probs: The log-probability of each token and of the end; their sum is
            ``log_prob``. Of a line that was split, all the ends are in the last.
        source_tokens: The source's pieces that were translated.
        attention: How each token and the end weighed the source's tokens and its end (tokens + 1,
            source tokens + 1); None: the model has no attention, or it was not asked for.
    """

    text: str
    score: float
    log_prob: float
    truncated: bool
    tokens: tuple[str, ...] = ()
    token_log_probs: tuple[float, ...] = ()
    source_tokens: tuple[str, ...] = ()
    attention: Floats32 | None = field(default=None, compare=False, repr=False)

    @property
    def alignment(self) -> list[tuple[int, int]] | None:
        """Pairs of source and target words by their numbers; None without attention."""
        if self.attention is None:
            return None
        return word_alignment(self.attention, self.source_tokens, self.tokens)


def best_of(several: Sequence[ScoredTranslation]) -> ScoredTranslation:
    """Chooses one translation; samples come as they were drawn, all others best first.

    Args:
        several: A line's translations.

    Returns:
        The one with the best score, the first of equal ones.
    """
    return several[0] if len(several) == 1 else max(several, key=lambda one: one.score)


@dataclass(frozen=True)
class Answer:
    """A hypothesis with its text: what a part of a line was translated to.

    Args:
        text: The translation.
        hypothesis: What the search found.
        score: What answers are ranked by.
    """

    text: str
    hypothesis: Hypothesis
    score: float


def join_answers(parts: Sequence[Answer], normalization: Normalization) -> Answer:
    """Joins the answers to a line's parts.

    Args:
        parts: An answer to each part, in order, at least one.
        normalization: How scores are made from sums of log-probabilities.

    Returns:
        One answer, as if the parts had been translated in one go: log-probabilities are added up,
        and each part's end counts for the length.
    """
    if len(parts) == 1:
        return parts[0]
    several = [part.hypothesis for part in parts]
    log_prob = math.fsum(one.log_prob for one in several)
    hypothesis = Hypothesis(
        tokens=tuple(token for one in several for token in one.tokens),
        log_prob=log_prob,
        score=_joint_score(several, log_prob, normalization),
        truncated=any(one.truncated for one in several),
        token_log_probs=_joint_steps([one.token_log_probs for one in several]),
        attention=_joint_attention([one.attention for one in several]),
    )
    ranked_by_search = all(part.score == part.hypothesis.score for part in parts)
    score = sum(part.score for part in parts) / len(parts)  # a mean of utilities
    return Answer(
        join_parts([part.text for part in parts]),
        hypothesis,
        hypothesis.score if ranked_by_search else score,
    )


def _joint_score(
    several: Sequence[Hypothesis], log_prob: float, normalization: Normalization
) -> float:
    lengths = [len(one.tokens) + 1 for one in several]
    if not math.isfinite(log_prob):
        return log_prob
    table = divisors(normalization, sum(lengths))
    own = zip(several, lengths, strict=True)
    coverage = math.fsum(one.score - one.log_prob / table[length] for one, length in own)
    return float(log_prob / table[sum(lengths)] + coverage)


def _joint_steps(parts: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    if not all(parts):
        return ()
    ends = math.fsum(part[-1] for part in parts)
    return (*(value for part in parts for value in part[:-1]), ends)


def _joint_attention(parts: Sequence[Floats32 | None]) -> Floats32 | None:
    """One matrix: each part looked at its own source alone, and all ends are one."""
    whole = [part for part in parts if part is not None]
    if len(whole) < len(parts):
        return None
    heights, widths = zip(*(np.subtract(part.shape, 1).tolist() for part in whole), strict=True)
    joint = np.zeros((sum(heights) + 1, sum(widths) + 1), dtype=np.float32)
    row = column = 0
    for part, height, width in zip(whole, heights, widths, strict=True):
        joint[row : row + height, column : column + width] = part[:-1, :-1]
        joint[row : row + height, -1] = part[:-1, -1]
        row, column = row + height, column + width
    joint[-1, column - width : column] = whole[-1][-1, :-1]
    joint[-1, -1] = whole[-1][-1, -1]
    return joint


def cut_after(hypothesis: Hypothesis, kept: int) -> Hypothesis:
    """Leaves out the end of a hypothesis that repeated itself.

    Args:
        hypothesis: What the search found.
        kept: How many tokens are kept.

    Returns:
        The hypothesis with fewer tokens; what was left out counts with its end.
    """
    steps, attention = hypothesis.token_log_probs, hypothesis.attention
    return Hypothesis(
        hypothesis.tokens[:kept],
        hypothesis.log_prob,
        hypothesis.score,
        hypothesis.truncated,
        (*steps[:kept], math.fsum(steps[kept:])) if steps else (),
        None if attention is None else np.concatenate([attention[:kept], attention[-1:]]),
    )
