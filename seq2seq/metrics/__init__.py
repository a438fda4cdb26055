"""Scores of translations, all through sacreBLEU, always with their signatures."""

from __future__ import annotations

from seq2seq.metrics.sacre import (
    CHRF_SIGNATURE,
    METRICS,
    TOKENIZERS,
    Score,
    bleu,
    check_options,
    chrf,
    corpus_scores,
    sentence_chrf,
)

__all__ = [
    "CHRF_SIGNATURE",
    "METRICS",
    "TOKENIZERS",
    "Score",
    "bleu",
    "check_options",
    "chrf",
    "corpus_scores",
    "sentence_chrf",
]
