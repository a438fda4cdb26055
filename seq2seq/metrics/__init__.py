"""Scores of translations, all through sacreBLEU, always with their signatures."""

from __future__ import annotations

from seq2seq.metrics.sacre import METRICS, TOKENIZERS, Score, bleu, check_options, corpus_scores

__all__ = ["METRICS", "TOKENIZERS", "Score", "bleu", "check_options", "corpus_scores"]
