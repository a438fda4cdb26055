"""Forced scoring: what a model thinks of translations that are there already."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from seq2seq.inference.request import batches
from seq2seq.inference.results import ScoredTranslation
from seq2seq.inference.translator import Translator
from seq2seq.search import Normalization, SourceBatch
from seq2seq.search.forced import force
from seq2seq.text.tokenizer import EOS

_BATCHES_A_WINDOW = 16


@dataclass(frozen=True)
class Scorer:
    """Scores given translations as a search would report them.

    A translation is split into pieces anew, and a source is never cut: so the score is the one that
    a search reports where it found the same pieces for the same line.

    Args:
        translator: The model.
        normalization: How scores are made from sums of log-probabilities; None: as the recipe says.
        coverage: Weight of the coverage penalty; None: as the recipe says.
        batch_size: The most translations scored at once.
        attention: Whether their attention is wanted.
    """

    translator: Translator
    normalization: Normalization | None = None
    coverage: float | None = None
    batch_size: int = 64
    attention: bool = False

    def score(self, pairs: Iterable[tuple[str, str]]) -> Iterator[ScoredTranslation]:
        """Scores translations as they come, in constant memory.

        Args:
            pairs: Source and translation, any number.

        Yields:
            What the model thinks of each, in order, with its tokens. An empty translation of an
            empty line is sure, as it is when translating.

        Raises:
            Seq2SeqError: If the coverage penalty or attention is wanted of a model without it.
            ModelError: If the model's numbers are broken.
        """
        waiting = iter(pairs)
        while window := list(islice(waiting, self.batch_size * _BATCHES_A_WINDOW)):
            yield from self._window(window)

    def _window(self, pairs: Sequence[tuple[str, str]]) -> list[ScoredTranslation]:
        tokenizers, options = self.translator.tokenizers, self.translator.search_options
        sources = tokenizers.source.encode([source for source, _ in pairs])
        targets = tokenizers.target.encode([target for _, target in pairs])
        found = [ScoredTranslation(target, 0.0, 0.0, False) for _, target in pairs]
        lengths = [
            len(source) + len(target) + 1 if source or target else 0
            for source, target in zip(sources, targets, strict=True)
        ]
        for batch in batches(lengths, self.batch_size):
            hypotheses = force(
                self.translator.model,
                SourceBatch.from_rows([[*sources[i], EOS] for i in batch]),
                [targets[i] for i in batch],
                normalization=self.normalization or options.normalization,
                coverage=options.coverage if self.coverage is None else self.coverage,
                keep_attention=self.attention,
            )
            for i, one in zip(batch, hypotheses, strict=True):
                found[i] = ScoredTranslation(
                    pairs[i][1],
                    one.score,
                    one.log_prob,
                    one.truncated,
                    tuple(tokenizers.target.pieces(one.tokens)),
                    one.token_log_probs,
                    tuple(tokenizers.source.pieces(sources[i])),
                    one.attention,
                )
        return found


def perplexity(log_prob: float, tokens: int) -> float:
    """How many tokens the model hesitated between, on average, at each step.

    Args:
        log_prob: The log-probability of a text.
        tokens: How many tokens it has, ends counted.

    Returns:
        The perplexity, from 1; infinite for a text that the model thinks impossible.
    """
    try:
        return math.exp(-log_prob / max(tokens, 1))
    except OverflowError:
        return math.inf
