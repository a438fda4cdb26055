"""Minimum Bayes risk: of several translations, the one that agrees best with all the others.

The utility of one translation, were another the right one, is sacreBLEU's sentence score. The
expectation is over the candidates: samples count once each time they were drawn (Eikema and Aziz
2020), an n-best list's members by their probabilities (Kumar and Byrne 2004).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from seq2seq.errors import Seq2SeqError, unknown_name
from seq2seq.search.model import Floats

UTILITIES = ("chrf", "bleu")
"""What a user may ask for."""


def check_utility(name: str) -> None:
    """Checks a utility's name.

    Args:
        name: What the user asked for.

    Raises:
        Seq2SeqError: If there is none of this name.
    """
    if name not in UTILITIES:
        raise Seq2SeqError(f"mbr: {unknown_name(name, UTILITIES)}")


def expected_utilities(texts: Sequence[str], weights: Sequence[float], utility: str) -> list[float]:
    """Computes how well each candidate agrees with all of them.

    Args:
        texts: Different candidates.
        weights: How likely each is to be right, up to a common factor.
        utility: One of ``UTILITIES``.

    Returns:
        The expected utility of each, from 0 to 100.

    Raises:
        Seq2SeqError: If there is no such utility.
    """
    check_utility(utility)
    # A metric keeps its reference's n-grams, so they are counted once for all candidates.
    judges = [_metric(utility, text) for text in texts]
    table = np.array(
        [[judge.corpus_score([text], None).score for judge in judges] for text in texts]
    ).reshape(len(texts), len(texts))
    shares = np.asarray(weights, dtype=np.float64)
    found: list[float] = (table @ (shares / shares.sum())).tolist() if len(texts) else []
    return found


def probabilities(log_probs: Sequence[float]) -> list[float]:
    """Turns log-probabilities of candidates into weights that sum to 1.

    Args:
        log_probs: Natural logarithms, up to a common summand.

    Returns:
        The weights; equal ones where all are impossible.
    """
    values: Floats = np.asarray(log_probs, dtype=np.float64)
    peak = values.max(initial=-np.inf)
    shares = np.exp(values - peak) if np.isfinite(peak) else np.ones_like(values)
    weights: list[float] = (shares / shares.sum()).tolist() if len(values) else []
    return weights


def _metric(utility: str, reference: str) -> Any:
    if utility == "chrf":
        from sacrebleu.metrics.chrf import CHRF

        return CHRF(references=[[reference]])
    from sacrebleu.metrics.bleu import BLEU

    # As sacreBLEU's own sentence_bleu: orders longer than the sentence do not count.
    return BLEU(references=[[reference]], effective_order=True, force=True)
