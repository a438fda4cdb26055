"""Text in, text out: lines are tokenized, batched by length, searched, and put back in order.

Whatever comes in, n lines give n translations. Nothing here knows the network: the model is any
:class:`~seq2seq.search.protocol.StepModel`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.inference.engines import check_engine, load_engine
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.recipe import Translation
from seq2seq.search import Hypothesis, SourceBatch, StepModel, beam_search, greedy, length_caps
from seq2seq.search.beam import check_sizes
from seq2seq.text.tokenizer import EOS, Tokenizers

logger = logging.getLogger("seq2seq")

# Batches of long lines hold fewer of them, so that memory is bounded by the batch size alone.
_PIECES_A_LINE = 128

# Sorting by length pays where there are many batches to sort into; more would only cost memory.
_BATCHES_A_WINDOW = 16


@dataclass(frozen=True)
class ScoredTranslation:
    """A translation and what the model thinks of it.

    Args:
        text: The translation, one line.
        score: The log-probability normalized by length: what translations are ranked by.
        log_prob: The log-probability of all its tokens and of its end (natural logarithm).
        truncated: It was cut at the length cap.
    """

    text: str
    score: float
    log_prob: float
    truncated: bool


# The translation of an empty line is the empty line, for sure; no model is asked.
_EMPTY = ScoredTranslation(text="", score=0.0, log_prob=0.0, truncated=False)


class Translator:
    """Translates text with a model.

    Args:
        model: The engine.
        tokenizers: What the model was trained with.
        options: The recipe's table: beam, normalization and lengths.

    Raises:
        ModelError: If model and tokenizer have vocabularies of different sizes.
    """

    def __init__(self, model: StepModel[Any], tokenizers: Tokenizers, options: Translation) -> None:
        if model.vocab_size != tokenizers.target.size:
            raise ModelError(
                f"the model has {model.vocab_size} target pieces, its tokenizer "
                f"{tokenizers.target.size}: they are not of one training"
            )
        self.model = model
        self.tokenizers = tokenizers
        self.options = options

    @classmethod
    def load(
        cls, path: str | Path, *, threads: int | None = None, engine: str = "auto"
    ) -> Translator:
        """Reads a trained model.

        Args:
            path: A run folder or a model folder.
            threads: The most processor threads to use; None: as many as the engine likes.
            engine: What runs the network: "numpy", "torch" (on the GPU where there is one), or
                "auto": numpy, but torch where there is a GPU, or a cell or attention that numpy
                does not have. Both give the same translations.

        Returns:
            The translator.

        Raises:
            Seq2SeqError: If ``threads`` is below 1, or ``engine`` is none of these.
            ModelError: If there is no model, or it is damaged or its parts do not fit.
            RecipeError: If its recipe cannot be used.
            MissingExtraError: If the engine's packages are not installed.
        """
        if threads is not None and threads < 1:
            raise Seq2SeqError(f"threads is {threads}; 1 or more is allowed")
        check_engine(engine)
        folder = ModelFolder.open(path)
        return cls(
            load_engine(folder, engine, threads), folder.tokenizers, folder.recipe.translation
        )

    def translate(
        self, lines: Sequence[str], *, beam: int | None = None, batch_size: int = 64
    ) -> list[str]:
        """Translates lines.

        Args:
            lines: The lines; one that is empty or all white space gives an empty line.
            beam: How many hypotheses are followed, 1 being greedy; None: as the recipe says.
            batch_size: The most lines translated at once. It changes speed and memory, not results.

        Returns:
            A translation for each line.

        Raises:
            Seq2SeqError: If ``beam`` or ``batch_size`` is below 1.
            ModelError: If the model's numbers are broken.
        """
        return [best[0].text for best in self.stream(lines, beam=beam, batch_size=batch_size)]

    def translate_nbest(
        self,
        lines: Sequence[str],
        *,
        n_best: int,
        beam: int | None = None,
        batch_size: int = 64,
    ) -> list[list[ScoredTranslation]]:
        """Translates lines, giving more than one translation and their scores.

        Args:
            lines: The lines.
            n_best: How many translations of a line are wanted, at most ``beam``.
            beam: How many hypotheses are followed; None: as the recipe says.
            batch_size: The most lines translated at once.

        Returns:
            For each line the ``n_best`` translations, best first, or as many as there are (at least
            one). An empty line has one.

        Raises:
            Seq2SeqError: If ``beam``, ``n_best`` or ``batch_size`` is not allowed.
            ModelError: If the model's numbers are broken.
        """
        return list(self.stream(lines, beam=beam, n_best=n_best, batch_size=batch_size))

    def stream(
        self,
        lines: Iterable[str],
        *,
        beam: int | None = None,
        n_best: int = 1,
        batch_size: int = 64,
    ) -> Iterator[list[ScoredTranslation]]:
        """Translates lines as they come, in constant memory.

        Some batches of lines are read ahead, to be sorted by length; with a ``batch_size`` of 1
        none is, and each line is answered before the next is read.

        Args:
            lines: The lines, any number.
            beam: How many hypotheses are followed, 1 being greedy; None: as the recipe says.
            n_best: How many translations of a line are wanted, at most ``beam``.
            batch_size: The most lines translated at once.

        Returns:
            For each line, in order, what ``translate_nbest`` gives.

        Raises:
            Seq2SeqError: If ``beam``, ``n_best`` or ``batch_size`` is not allowed.
            ModelError: If the model's numbers are broken.
        """
        beam = self.options.beam if beam is None else beam
        check_sizes(beam, n_best)
        if batch_size < 1:
            raise Seq2SeqError(f"batch_size is {batch_size}; 1 or more is allowed")
        return self._windows(iter(lines), beam, n_best, batch_size)

    def _windows(
        self, lines: Iterator[str], beam: int, n_best: int, batch_size: int
    ) -> Iterator[list[ScoredTranslation]]:
        size = batch_size * _BATCHES_A_WINDOW if batch_size > 1 else 1
        first_line = 1
        while window := list(islice(lines, size)):
            rows = self._sources(window, first_line)
            found: list[list[ScoredTranslation]] = [[_EMPTY] for _ in window]
            for batch in _batches([len(row) for row in rows], batch_size):
                hypotheses = self._search([rows[i] for i in batch], beam, n_best)
                for i, translations in zip(batch, self._texts(hypotheses), strict=True):
                    found[i] = translations
            yield from found
            first_line += len(window)

    def _sources(self, lines: Sequence[str], first_line: int) -> list[list[int]]:
        """Piece ids of each line, without eos; none for a line without words."""
        rows = self.tokenizers.source.encode(lines)
        longest = self.options.max_source
        for number, (line, row) in enumerate(zip(lines, rows, strict=True), start=first_line):
            if not line.strip():
                row.clear()
            if len(row) > longest:
                logger.warning(
                    "line %d: %d pieces are more than translation.max_source = %d: "
                    "the rest was left out",
                    number,
                    len(row),
                    longest,
                )
                del row[longest:]
        return rows

    def _search(self, rows: Sequence[list[int]], beam: int, n_best: int) -> list[list[Hypothesis]]:
        options = self.options
        source = SourceBatch.from_rows([[*row, EOS] for row in rows])
        caps = length_caps(source.lengths - 1, options.max_ratio, options.max_extra)
        if beam == 1:
            found = greedy(
                self.model, source, max_lengths=caps, normalization=options.normalization
            )
            return [[hypothesis] for hypothesis in found]
        return beam_search(
            self.model,
            source,
            beam=beam,
            n_best=n_best,
            max_lengths=caps,
            normalization=options.normalization,
        )

    def _texts(self, found: Sequence[Sequence[Hypothesis]]) -> Iterator[list[ScoredTranslation]]:
        texts = iter(
            self.tokenizers.target.decode([one.tokens for several in found for one in several])
        )
        for several in found:
            yield [
                # A piece may hold a line break, which would break the count of lines.
                ScoredTranslation(
                    next(texts).replace("\n", " "), one.score, one.log_prob, one.truncated
                )
                for one in several
            ]


def _batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Cuts lines into batches of about equal lengths, leaving out those of length 0.

    Args:
        lengths: The length of each line.
        batch_size: The most lines of a batch.

    Yields:
        Indices of lines.
    """
    order = sorted((i for i, length in enumerate(lengths) if length), key=lengths.__getitem__)
    batch: list[int] = []
    for i in order:
        padded = lengths[i] * (len(batch) + 1)
        if batch and (len(batch) == batch_size or padded > batch_size * _PIECES_A_LINE):
            yield batch
            batch = []
        batch.append(i)
    if batch:
        yield batch
