"""Text in, text out: lines are tokenized, batched by length, searched, and put back in order.

Whatever comes in, n lines give n translations. Nothing here knows the network: the model is any
:class:`~seq2seq.search.model.StepModel`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property, partial
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NoReturn, Unpack

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import UNK
from seq2seq.inference.engines import (
    check_directions,
    check_engine,
    check_precision,
    check_shortlists,
    load_engine,
)
from seq2seq.inference.glossary import AppliedGlossary, Glossary
from seq2seq.inference.model_folder import ModelFolder, read_published
from seq2seq.inference.plain import PlainReader
from seq2seq.inference.postprocess import answers_to, as_one_line, translations_of
from seq2seq.inference.request import (
    Request,
    TranslateOptions,
    batches,
    check_lines,
    check_without_constraints,
    check_without_texts,
    request_and_constraints,
    search_options,
    source_batch,
    windows,
)
from seq2seq.inference.results import ScoredTranslation, Warnings, best_translation, warned
from seq2seq.inference.segmentation import Reader, Segment
from seq2seq.inference.trained_on import NO_LIMITS, TrainedOn
from seq2seq.recipe import Text, Translation
from seq2seq.search import (
    Constraints,
    Hypothesis,
    Normalization,
    StepModel,
    check_bounds,
    run_search,
)
from seq2seq.search.constraints.pieces import PieceTable
from seq2seq.search.greedy import force
from seq2seq.text.spans import lost_integers
from seq2seq.text.tokenizer import Tokenizers

logger = logging.getLogger("seq2seq")

_ATTENDED = 1024  # pieces: the attention of longer sources would fill the memory

__all__ = ["ScoredTranslation", "Translator"]


class Translator:
    """Translates text with a model.

    Args:
        model: The engine.
        tokenizers: What the model was trained with.
        options: The recipe's table: beam, normalization and lengths.
        trained_on: What lines the model was trained on; by default it takes lines of any kind, up
            to ``options.max_source`` pieces.
        attention: Whether the model has attention.
        shortlist: Whether the model chooses from a list of likely tokens alone.
        warns: Whether users see the translations: then it is logged which repeated themselves,
            and scores are those of the text as written. Of a model in training neither is news.
        backwards: Whether the model writes from right to left. Hypotheses of searches are turned
            round here, so that nothing else knows of it.
        text: What of a line stays as it is: the recipe's table; None: nothing.
        name: Where the model lies, for messages.

    Raises:
        ModelError: If model and tokenizer have vocabularies of different sizes.
    """

    def __init__(
        self,
        model: StepModel[Any],
        tokenizers: Tokenizers,
        options: Translation,
        *,
        trained_on: TrainedOn = NO_LIMITS,
        attention: bool = False,
        shortlist: bool = False,
        warns: bool = False,
        backwards: bool = False,
        text: Text | None = None,
        name: str = "",
    ) -> None:
        if model.vocab_size != tokenizers.target.size:
            raise ModelError(
                f"the model has {model.vocab_size} target pieces, its tokenizer "
                f"{tokenizers.target.size}: they do not belong together"
            )
        self.model = model
        self.tokenizers = tokenizers
        self.options = options
        self.search_options = search_options(options)
        self.has_attention = attention
        self.has_shortlist = shortlist
        self.warns = warns
        self.backwards = backwards
        self.name = name
        self.plain = PlainReader(tokenizers.source, text)
        self._without_integers = None
        if text is not None and "number" in text.protect.kinds:
            self._without_integers = PlainReader(tokenizers.source, text, integers=True)
        self._glossary: tuple[Glossary, int | None, AppliedGlossary] | None = None
        self.trained_on = trained_on
        self.longest = min(options.max_source, trained_on.longest or options.max_source)

    @classmethod
    def load(
        cls,
        path: str | Path | Sequence[str | Path],
        *,
        threads: int | None = None,
        engine: str = "auto",
        precision: str | None = None,
        shortlist: bool = False,
        combine: Literal["log", "probability"] = "log",
        weights: Sequence[float] | None = None,
    ) -> Translator:
        """Reads a trained model, or several that translate together.

        Args:
            path: A run folder or a model folder; several: an ensemble. Its models share their
                tokenizers, and the first one's recipe says how they translate.
            threads: The most processor threads to use; None: as many as the engine likes.
            engine: What runs the network, one of ``inference.engines.ENGINES``. All
                give the same translations.
            precision: Of ONNX Runtime's arithmetic: "float32" or "int8"; None: float32.
            shortlist: Choose only among the target pieces that an exported model's shortlist has
                for the pieces of the source: faster, and nearly the same.
            combine: How an ensemble's models are averaged: their log-probabilities ("log"), or
                their probabilities ("probability").
            weights: How much each model of an ensemble counts; None: all the same.

        Returns:
            The translator.

        Raises:
            Seq2SeqError: If ``threads`` is out of range, ``engine`` or ``precision`` is unknown or
                does not fit the model, there is no shortlist, or ``combine`` or ``weights`` do not
                fit.
            ModelError: If there is no model, or it is damaged or its parts do not fit, or the
                models of an ensemble have different tokenizers or shortlists.
            RecipeError: If its recipe cannot be used.
            MissingExtraError: If the engine's packages are not installed.
        """
        check_bounds("threads", threads)
        paths = [path] if isinstance(path, str | Path) else list(path)
        check_engine(engine)
        check_precision(precision)
        if not paths:
            raise Seq2SeqError("no model is given; give the folder of one, or of several")

        loaded: list[tuple[ModelFolder, StepModel[Any]]] = []

        def read(path: str | Path) -> tuple[ModelFolder, StepModel[Any]]:
            folder = ModelFolder.open(path)
            first = loaded[0][0] if loaded else folder
            if folder.tokenizers.digest != first.tokenizers.digest:
                raise ModelError(
                    f"{folder.path}: its tokenizer is not that of {first.path}: models translate "
                    "together only if they were trained with the same tokenizer"
                )
            return folder, load_engine(folder, engine, threads, precision, shortlist=shortlist)

        for one in paths:
            loaded.append(read_published(one, partial(read, one)))
        folders, engines = [folder for folder, _ in loaded], [engine for _, engine in loaded]
        first = folders[0]
        check_directions(folders)
        if shortlist:
            check_shortlists(folders)
        model: StepModel[Any] = engines[0]
        if len(engines) > 1 or weights is not None:
            from seq2seq.search.ensemble import Ensemble

            model = Ensemble(engines, combine=combine, weights=weights)
        recipes = [folder.recipe for folder in folders]
        return cls(
            model,
            first.tokenizers,
            first.recipe.translation,
            trained_on=TrainedOn.together([TrainedOn.of(folder) for folder in folders]),
            attention=any(recipe.model.decoder.attention != "none" for recipe in recipes),
            shortlist=shortlist,
            warns=True,
            backwards=first.recipe.model.decoder.reverse,
            text=first.recipe.text,
            name=", ".join(str(folder.path) for folder in folders),
        )

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Translator cannot be pickled, as its engine holds native memory: use "
            "TranslatorPool, or load one in each process"
        )

    def translate(self, lines: Iterable[str], **asked: Unpack[TranslateOptions]) -> list[str]:
        """Translates lines.

        Args:
            lines: The lines; one that is empty or all white space gives an empty line.
            **asked: How to translate, where it is not as the recipe says: ``options``, ``beam``,
                ``batch_size``, ``mbr``, ``long``, ``glossary`` and ``constraints``, as in
                :class:`~seq2seq.inference.request.TranslateOptions`.

        Returns:
            A translation for each line.

        Raises:
            Seq2SeqError: If something asked for is not allowed, or ``lines`` is one string.
            ModelError: If the model's numbers are broken.
        """
        return [best_translation(several).text for several in self.stream(lines, **asked)]

    def translate_nbest(
        self, lines: Iterable[str], **asked: Unpack[TranslateOptions]
    ) -> list[list[ScoredTranslation]]:
        """As ``translate``, but up to ``n_best`` translations a line, with scores and tokens.

        They come best first, at least one, and no text twice; samples come as they were drawn. With
        ``mbr`` all candidates are given, by their expected utility.
        """
        asked["details"] = True
        return list(self.stream(lines, **asked))

    def stream(
        self, lines: Iterable[str], **asked: Unpack[TranslateOptions]
    ) -> Iterator[list[ScoredTranslation]]:
        """Translates lines as they come, in constant memory, as ``translate_nbest`` does.

        Some batches of lines are read ahead, to be sorted by length; with a ``batch_size`` of 1
        none is, and each line is answered before the next is read. The translations carry their
        tokens only where ``details`` are asked for. What a reader should know of them is logged.
        """
        asked_for = request_and_constraints(self.search_options, self.options, **asked)
        warnings = Warnings(logger.warning, loops=self.warns)
        return warned(self.run(lines, *asked_for), warnings)

    def run(
        self,
        lines: Iterable[str],
        request: Request,
        constraints: Iterable[Constraints] | None = None,
        advance: Callable[[float], None] | None = None,
    ) -> Iterator[list[ScoredTranslation]]:
        """Translates lines as ``stream`` does, by a request made before, and logs nothing.

        ``advance`` is called after each batch with the number of lines done since its last call;
        as long lines count for more, it is seldom whole.
        """
        check_lines(lines)
        return chain.from_iterable(
            self.translate_window(*window, request, advance)
            for window in windows(lines, constraints, request.window)
            if window is not None
        )

    def translate_window(
        self,
        lines: Sequence[str],
        constraints: Sequence[Constraints] | None,
        first_line: int,
        request: Request,
        advance: Callable[[float], None] | None = None,
    ) -> list[list[ScoredTranslation]]:
        """Translates some lines of many, the first of them with the number ``first_line``.

        Where a whole number of the line is lost, it is translated again without the number, which
        is put into its translation as other spans are.
        """
        if self.backwards:
            check_without_constraints(constraints or (), first_line, request.glossary)
        if self.has_shortlist:
            check_without_texts(constraints or (), first_line, request.glossary)
        numbers = range(first_line, first_line + len(lines))
        found = self._translated(self.plain, lines, constraints, numbers, request, advance)
        if self._without_integers is None:
            return found
        lost = [
            i
            for i, (line, several) in enumerate(zip(lines, found, strict=True))
            if lost_integers(line, best_translation(several).text)
        ]
        if lost:
            again = self._translated(
                self._without_integers,
                [lines[i] for i in lost],
                None if constraints is None else [constraints[i] for i in lost],
                [numbers[i] for i in lost],
                request,
            )
            for i, several in zip(lost, again, strict=True):
                found[i] = several
        return found

    def _translated(
        self,
        plain: PlainReader,
        lines: Sequence[str],
        constraints: Sequence[Constraints] | None,
        numbers: Sequence[int],
        request: Request,
        advance: Callable[[float], None] | None = None,
    ) -> list[list[ScoredTranslation]]:
        """Translates lines with these numbers, of which ``plain`` says what the model reads."""
        glossary = self._applied(request)
        reader = Reader(plain, self.longest, self.trained_on, request.long, glossary)
        read = reader.read(lines, constraints, numbers)
        segments = [segment for line in read for segment in line.segments]
        table = self._table if any(segment.constraints for segment in segments) else None
        pieces = sum(len(segment.tokens) + 1 for segment in segments)

        def advanced(done: int) -> None:
            if advance is not None:
                advance(len(lines) * done / pieces)

        if advance is not None and not segments:
            advance(len(lines))
        found = self._search(segments, table, request, advanced)
        if self.warns and not self.has_shortlist and request.shows_scores:
            self._score_as_written(segments, found, request)
        ratio = self.trained_on.ratio
        target = self.tokenizers.target
        answers = answers_to(
            segments, found, target, table, request, ratio, backwards=self.backwards
        )
        tokenizers = self.tokenizers if request.details else None
        return [
            translations_of(line, [next(answers) for _ in line.segments], request, tokenizers)
            for line in read
        ]

    def _applied(self, request: Request) -> AppliedGlossary | None:
        """The glossary asked for, checked once: a pool sends it with each window."""
        if request.glossary is None:
            return None
        asked = request.glossary, request.options.max_length
        if self._glossary is None or self._glossary[:2] != asked:
            applied = AppliedGlossary(asked[0], self.tokenizers.target, asked[1])
            self._glossary = (*asked, applied)
        return self._glossary[2]

    def _search(
        self,
        segments: Sequence[Segment],
        table: PieceTable | None,
        request: Request,
        advanced: Callable[[int], None],
    ) -> list[list[Hypothesis]]:
        """Batches segments with constraints by themselves, as their rules slow all of a batch.

        So it does with those that have terms of a glossary, which are searched with another beam.
        ``advanced`` is told how many pieces of sources each batch had.
        """
        found: list[list[Hypothesis]] = [[] for _ in segments]
        kinds = [(bool(one.constraints), bool(one.demands)) for one in segments]
        for kind in sorted(set(kinds)):
            chosen = [i for i, one in enumerate(kinds) if one == kind]
            lengths = [len(segments[i].tokens) + 1 for i in chosen]
            for batch in batches(lengths, request.batch_size):
                members = [chosen[i] for i in batch]
                hypotheses = self._search_batch([segments[i] for i in members], table, request)
                for i, several in zip(members, hypotheses, strict=True):
                    found[i] = several
                advanced(sum(lengths[i] for i in batch))
        return found

    def _search_batch(
        self, segments: Sequence[Segment], table: PieceTable | None, request: Request
    ) -> list[list[Hypothesis]]:
        source = source_batch([segment.tokens for segment in segments])
        # Whether a translation looks cut, postprocess.py sees by its attention.
        attends = self.has_attention and bool(source.lengths.max() <= _ATTENDED)
        searched = request.search_for(terms=bool(segments[0].demands), attention=attends)
        constraints = [one.constraints for one in segments] if segments[0].constraints else None
        try:
            found = run_search(self.model, source, searched, constraints=constraints, pieces=table)
        except ModelError as error:  # of numbers that are none
            raise ModelError(f"{self.name}: {error}" if self.name else str(error)) from None
        except Seq2SeqError as error:
            if constraints is None:
                raise
            if len(segments) == 1:
                raise Seq2SeqError(f"line {segments[0].line}: {error}") from None
            for segment in sorted(segments, key=lambda segment: segment.line):  # finds the line
                self._search_batch([segment], table, request)
            raise
        if self.backwards:
            found = [[one.backwards() for one in several] for several in found]
        return found

    def force(
        self,
        sources: Sequence[Sequence[int]],
        targets: Sequence[Sequence[int]],
        *,
        normalization: Normalization,
        coverage: float,
        keep_attention: bool,
    ) -> list[Hypothesis]:
        """Scores given translations, tokens without bos and eos; see ``search.greedy.force``."""
        found = force(
            self.model,
            source_batch(sources),
            [one[::-1] for one in targets] if self.backwards else targets,
            normalization=normalization,
            coverage=coverage,
            keep_attention=keep_attention,
        )
        return [one.backwards() for one in found] if self.backwards else found

    def _score_as_written(
        self, segments: Sequence[Segment], found: list[list[Hypothesis]], request: Request
    ) -> None:
        """Gives translations the pieces that the tokenizer splits their text into, and the score.

        Those are mostly the ones that the search found. Where they are others, a score would be of
        something that nobody can score again who has the text.
        """
        target = self.tokenizers.target
        places = [
            (i, n)
            for i, segment in enumerate(segments)
            for n, one in enumerate(found[i])
            if not (segment.constraints or one.truncated)
        ]
        texts = target.decode([found[i][n].tokens for i, n in places])
        rows = target.encode([as_one_line(text, target) for text in texts]) if places else []
        other = {
            place: row
            for place, row in zip(places, rows, strict=True)
            if UNK not in row and row != list(found[place[0]][place[1]].tokens)
        }
        options, chosen = request.options, list(other)
        for batch in batches([len(other[place]) + 1 for place in chosen], request.batch_size):
            members = [chosen[number] for number in batch]
            scored = self.force(
                [segments[i].tokens for i, _ in members],
                [other[place] for place in members],
                normalization=options.normalization,
                coverage=options.coverage,
                keep_attention=found[members[0][0]][0].attention is not None,
            )
            for (i, n), one in zip(members, scored, strict=True):
                found[i][n] = one
        for i in {i for i, _ in chosen}:
            found[i].sort(key=lambda one: -one.score)

    @cached_property
    def _table(self) -> PieceTable:
        return PieceTable.of(self.tokenizers.target)
