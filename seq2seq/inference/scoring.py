"""Forced scoring: what a model thinks of translations that are there already."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

from seq2seq.errors import Seq2SeqError
from seq2seq.inference.plain import Plain, PlainReader
from seq2seq.inference.request import BATCHES_A_WINDOW, batches
from seq2seq.inference.results import ScoredTranslation
from seq2seq.inference.translator import Translator
from seq2seq.recipe import Text
from seq2seq.search import Normalization
from seq2seq.text.sampling import SPACE
from seq2seq.text.spans import Span, without

Given = str | Sequence[str]
"""A translation: its text, or its pieces."""


@dataclass(frozen=True)
class Scorer:
    """Scores given translations as a search would report them.

    A source is never cut. A translation that is given as text is split into pieces anew, though a
    search may have found it in others; given by its pieces, it has the score that the search
    reported. Spans that a translation takes over from its source are left out of both.

    Normalization and coverage are the recipe's where they are None; ``batch_size`` are the most
    translations scored at once, and ``attention`` says whether their attention is wanted. A model
    that chooses from a shortlist is a Seq2SeqError.
    """

    translator: Translator
    normalization: Normalization | None = None
    coverage: float | None = None
    batch_size: int = 64
    attention: bool = False

    def __post_init__(self) -> None:
        if self.translator.has_shortlist:
            raise Seq2SeqError(
                "given translations may have pieces that a shortlist lacks: score them without the "
                "shortlist"
            )

    def score(self, pairs: Iterable[tuple[str, Given]]) -> Iterator[ScoredTranslation]:
        """Scores translations of sources as they come, in order and in constant memory.

        An empty translation of an empty line is sure, as it is when translating. It is a
        Seq2SeqError if the coverage penalty or attention is wanted of a model without it, or a
        piece is none of the model's, and a ModelError if the model's numbers are broken.
        """
        waiting = iter(pairs)
        while window := list(islice(waiting, self.batch_size * BATCHES_A_WINDOW)):
            yield from self._window(window)

    def _window(self, pairs: Sequence[tuple[str, Given]]) -> list[ScoredTranslation]:
        tokenizers, options = self.translator.tokenizers, self.translator.search_options
        plains = self.translator.plain.read([source for source, _ in pairs])
        sources = [plain.row for plain in plains]
        targets = [
            self._ids(self._as_found(target, plain))
            for (_, target), plain in zip(pairs, plains, strict=True)
        ]
        texts = [
            self._text(target, ids, plain)
            for (_, target), ids, plain in zip(pairs, targets, plains, strict=True)
        ]
        found = [ScoredTranslation(text, 0.0, 0.0, False) for text in texts]
        lengths = [
            len(source) + len(target) + 1 if source or target else 0
            for source, target in zip(sources, targets, strict=True)
        ]
        for batch in batches(lengths, self.batch_size):
            hypotheses = self.translator.force(
                [sources[i] for i in batch],
                [targets[i] for i in batch],
                normalization=self.normalization or options.normalization,
                coverage=options.coverage if self.coverage is None else self.coverage,
                keep_attention=self.attention,
            )
            for i, one in zip(batch, hypotheses, strict=True):
                pieces = tokenizers.source.pieces(sources[i]), tokenizers.target.pieces(one.tokens)
                found[i] = ScoredTranslation.of(texts[i], one, one.score, pieces=pieces)
        return found

    def _text(self, target: Given, ids: Sequence[int], plain: Plain) -> str:
        if isinstance(target, str):
            return target
        return (
            _joined(target)
            if plain.left_out
            else self.translator.tokenizers.target.decode([ids])[0]
        )

    def _as_found(self, target: Given, plain: Plain) -> Given:
        """A translation as a search found it: without its source's spans, in the usual case."""
        if not plain.left_out and not plain.capitals:
            return target
        if not isinstance(target, str):
            return self._pieces_found(target, plain)
        wanted = Counter(one.span.text for one in plain.left_out)
        pattern = "|".join(map(re.escape, sorted(wanted, key=len, reverse=True)))
        kinds = {one.span.text: one.span.kind for one in plain.left_out}
        spans = []
        for match in re.finditer(pattern, target) if pattern else ():
            if wanted[match[0]]:
                wanted[match[0]] -= 1
                spans.append(Span(match.start(), match[0], kinds[match[0]]))
        text, _ = without(target, spans)
        if not plain.capitals:
            return text
        return self._plain_target.usual(text)

    def _pieces_found(self, pieces: Sequence[str], plain: Plain) -> Sequence[str]:
        """Pieces without those of spans; one behind a span had lost the mark of its space."""
        wanted = Counter(one.span.text for one in plain.left_out)
        found: list[str] = []
        is_behind = False
        for piece in pieces:
            if wanted[piece.removeprefix(SPACE)]:
                wanted[piece.removeprefix(SPACE)] -= 1
                is_behind = True
                continue
            spaced = f"{SPACE}{piece}"
            found.append(spaced if is_behind and spaced in self._id_of else piece)
            is_behind = False
        return found

    def _ids(self, target: Given) -> list[int]:
        if isinstance(target, str):
            return self.translator.tokenizers.target.encode([target])[0]
        try:
            return [self._id_of[piece] for piece in target]
        except KeyError as error:
            raise Seq2SeqError(
                f"the piece {error.args[0]!r} is none of the model's: the translation is of a "
                "model with another tokenizer"
            ) from None

    @cached_property
    def _plain_target(self) -> PlainReader:
        return PlainReader(self.translator.tokenizers.target, Text())

    @cached_property
    def _id_of(self) -> dict[str, int]:
        vocabulary = self.translator.tokenizers.target.vocabulary
        return {piece: number for number, piece in enumerate(vocabulary)}


def _joined(pieces: Sequence[str]) -> str:
    return "".join(pieces).replace(SPACE, " ").removeprefix(" ")


def perplexity(log_prob: float, tokens: int) -> float:
    """How many tokens the model hesitated between, on average, at each step."""
    try:
        return math.exp(-log_prob / max(tokens, 1))
    except OverflowError:
        return math.inf
