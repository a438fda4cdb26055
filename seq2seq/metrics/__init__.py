"""sacreBLEU (Post 2018) behind one small interface: text in, scores with signatures out.

All text is plain, detokenized text. sacreBLEU is imported when the first score is computed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import chain
from typing import Any

from seq2seq.errors import Seq2SeqError, unknown_name
from seq2seq.metrics.tokenizers import (
    DEFAULT,
    TOKENIZERS,
    Choice,
    bleu_metric,
    check_tokenizer,
    tokenizer_for,
)

__all__ = [
    "METRICS",
    "TOKENIZERS",
    "Choice",
    "Score",
    "bleu",
    "bleu_signature",
    "check_options",
    "check_tokenizer",
    "chrf",
    "corpus_scores",
    "sentence_bleu",
    "sentence_chrf",
    "tokenizer_for",
]

METRICS = ("bleu", "chrf", "chrf++", "ter")


@dataclass(frozen=True)
class Score:
    """One metric's score of a corpus.

    Attributes:
        name: What sacreBLEU calls the metric, such as "BLEU" or "chrF2".
        value: The score, from 0 to 100 (TER may be above).
        signature: What was computed, exactly; quote it with the score.
        confidence: Half the width of the 95 % interval by bootstrap resampling, where asked for.
        text: One line to print: name, signature, score, interval and details.
    """

    name: str
    value: float
    signature: str
    confidence: float | None
    text: str


def corpus_scores(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    metrics: Sequence[str] = ("bleu", "chrf", "ter"),
    lowercase: bool = False,
    tokenize: str | None = None,
    bootstrap: int = 0,
    seed: int = 12345,
) -> list[Score]:
    """Scores a corpus of translations against one or more references.

    Args:
        hypotheses: The translations, a line each.
        references: One or more sets of references, each with a line for every translation.
        metrics: Which scores: "bleu", "chrf", "chrf++", "ter".
        lowercase: Whether BLEU and chrF ignore case (TER always does, as in sacreBLEU).
        tokenize: BLEU's tokenizer, one of ``TOKENIZERS``; None: the one that fits the references,
            "13a" where they have spaces between words (see ``tokenizer_for``).
        bootstrap: How many resamplings the confidence intervals rest on (1000 is usual); 0: none.
        seed: The seed of the resampling.

    Returns:
        A score for each metric, in the order given.

    Raises:
        Seq2SeqError: If there is nothing to score, counts of lines differ, or a metric or
            tokenizer is unknown or cannot be used.
    """
    check_options(metrics, tokenize, bootstrap)
    _check_lines(hypotheses, references)
    if tokenize is None and "bleu" in metrics:
        tokenize = tokenizer_for(chain.from_iterable(references)).name
    return [
        _score(_metric(metric, lowercase, tokenize), hypotheses, references, bootstrap, seed)
        for metric in metrics
    ]


def check_options(metrics: Sequence[str], tokenize: str | None, bootstrap: int) -> None:
    """Checks what ``corpus_scores`` will be asked for; a ``Seq2SeqError`` says what is wrong."""
    for metric in metrics:
        if metric not in METRICS:
            raise Seq2SeqError(f"metrics: {unknown_name(metric, METRICS)}")
    if bootstrap < 0 or bootstrap == 1:
        raise Seq2SeqError(f"bootstrap: must be 0 (none) or at least 2, not {bootstrap}")
    if tokenize is not None:
        check_tokenizer(tokenize)


def bleu(hypotheses: Sequence[str], references: Sequence[str], tokenize: str = DEFAULT) -> float:
    """BLEU of mixed case with one reference, from 0 to 100; see ``bleu_signature``."""
    _check_lines(hypotheses, [references])
    return float(_silent_bleu(tokenize).corpus_score(hypotheses, [references]).score)


@cache
def _silent_bleu(tokenize: str) -> Any:
    """One for all validations: sacreBLEU's caches of lines keep every tokenizer there was.

    Early translations in training may well look tokenized, and no one wants a warning.
    """
    return bleu_metric(tokenize=tokenize, force=True)


def sentence_bleu(
    hypotheses: Sequence[str], references: Sequence[str], tokenize: str = DEFAULT
) -> list[float]:
    """Each line's ``bleu`` by itself, smoothed and of the orders that it has: as in sacreBLEU."""
    _check_lines(hypotheses, [references])
    return _sentence_scores(_silent_sentence_bleu(tokenize), hypotheses, references)


@cache
def _silent_sentence_bleu(tokenize: str) -> Any:
    return bleu_metric(tokenize=tokenize, force=True, effective_order=True)


def bleu_signature(tokenize: str = DEFAULT) -> str:
    """What ``bleu`` computes; where the tokenizer is not installed, without its version."""
    try:
        tokenizer = _silent_bleu(tokenize).tokenizer_signature
    except Seq2SeqError:
        tokenizer = tokenize
    return f"sacreBLEU nrefs:1|case:mixed|eff:no|tok:{tokenizer}|smooth:exp"


CHRF_SIGNATURE = "chrF2, sacreBLEU nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no"
"""What ``chrf`` and ``sentence_chrf`` compute."""


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """ChrF by sacreBLEU's defaults (mixed case, one reference), from 0 to 100."""
    _check_lines(hypotheses, [references])
    return float(_metric("chrf").corpus_score(hypotheses, [references]).score)


def sentence_chrf(hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
    """The ``chrf`` of each line by itself."""
    _check_lines(hypotheses, [references])
    return _sentence_scores(_metric("chrf"), hypotheses, references)


def _sentence_scores(
    metric: Any, hypotheses: Sequence[str], references: Sequence[str]
) -> list[float]:
    return [
        float(metric.sentence_score(hypothesis, [reference]).score)
        for hypothesis, reference in zip(hypotheses, references, strict=True)
    ]


def _check_lines(hypotheses: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if not references:
        raise Seq2SeqError("nothing to score against: give at least one set of references")
    if not hypotheses:
        raise Seq2SeqError("nothing to score: there are no translations")
    for number, lines in enumerate(references, start=1):
        if len(lines) != len(hypotheses):
            which = "references" if len(references) == 1 else f"lines in reference {number}"
            raise Seq2SeqError(
                f"{len(hypotheses)} translations but {len(lines)} {which}: "
                "line n of one must belong to line n of the other"
            )


def _metric(name: str, lowercase: bool = False, tokenize: str | None = None) -> Any:
    if name == "bleu":
        return bleu_metric(lowercase=lowercase, tokenize=tokenize or DEFAULT)
    from sacrebleu.metrics.chrf import CHRF
    from sacrebleu.metrics.ter import TER

    if name == "ter":
        return TER()
    return CHRF(lowercase=lowercase, word_order=2 if name == "chrf++" else 0)


def _score(
    metric: Any,
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    bootstrap: int,
    seed: int,
) -> Score:
    compute = metric._compute_score_from_stats

    def in_floats(counts: Any) -> Any:
        """Resamples of empty lines give Python's floats, others NumPy's: no mean takes both."""
        result = compute(counts)
        result.score = float(result.score)
        return result

    metric._compute_score_from_stats = in_floats
    with _bootstrap_seed(seed):
        result = metric.corpus_score(hypotheses, references, n_bootstrap=max(bootstrap, 1))
    signature = str(metric.get_signature())
    return Score(
        name=result.name,
        value=float(result.score),
        signature=signature,
        confidence=float(result._ci) if bootstrap else None,
        text=result.format(width=2, signature=signature),
    )


@contextmanager
def _bootstrap_seed(seed: int) -> Iterator[None]:
    """SacreBLEU takes its seed from the environment alone."""
    before = os.environ.get("SACREBLEU_SEED")
    os.environ["SACREBLEU_SEED"] = str(seed)
    try:
        yield
    finally:
        if before is None:
            del os.environ["SACREBLEU_SEED"]
        else:
            os.environ["SACREBLEU_SEED"] = before
