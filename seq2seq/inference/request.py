"""How lines are to be translated: what was asked for, checked, and how it is cut into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TypedDict, Unpack

import numpy as np

from seq2seq.data.batching import Bounds, length_batches
from seq2seq.errors import Seq2SeqError, number_of, unknown_name
from seq2seq.ids import EOS
from seq2seq.inference.glossary import Glossary
from seq2seq.recipe import Translation
from seq2seq.search import (
    Constraints,
    SearchOptions,
    SourceBatch,
    check_bounds,
    check_options,
)
from seq2seq.storage.lines import Pause

LONG = ("split", "truncate", "keep")
"""What can be done with a line that is longer than the model was trained on."""

UTILITIES = ("chrf", "bleu")
"""What minimum Bayes risk can choose by."""

# The least beam of a segment with terms of a glossary: what is forced costs quality with less.
GLOSSARY_BEAM = 10

# Batches of long lines hold fewer of them, so that memory is bounded by the batch size alone.
_PIECES_A_LINE = 128

# Sorting by length pays where there are many batches to sort into; more would only cost memory.
BATCHES_A_WINDOW = 16


class RequestOptions(TypedDict, total=False):
    """What a caller may ask for; all else is as the recipe says.

    Attributes:
        options: How to search.
        beam: How many hypotheses are followed, 1 being greedy, instead of ``options.beam``.
        n_best: How many translations of a line are wanted, instead of ``options.n_best``.
        batch_size: The most lines translated at once. It changes speed and memory, not results.
        mbr: Choose among n-best translations or samples the one that agrees best with the others,
            by one of ``UTILITIES``.
        long: What is done with a line longer than the model was trained on, one of ``LONG``.
        details: Whether translations carry their tokens (and attention, where ``options`` ask for
            it), and a score that is of the text as it is written, if only one a line is wanted.
        glossary: How terms are to be translated, wherever they stand.
    """

    options: SearchOptions | None
    beam: int | None
    n_best: int | None
    batch_size: int
    mbr: str | None
    long: str | None
    details: bool
    glossary: Glossary | None


class TranslateOptions(RequestOptions, total=False):
    """What a caller may ask for besides.

    Attributes:
        constraints: What each line's translation has to look like, one for each line.
        wishes: The same, as it was called until version 0.3.
    """

    constraints: Iterable[Constraints] | None
    wishes: Iterable[Constraints] | None


@dataclass(frozen=True)
class Request:
    """How lines are to be translated: ``RequestOptions`` with nothing left open.

    It is checked when it is made, and a ``Seq2SeqError`` says what is not allowed.
    """

    options: SearchOptions
    batch_size: int = 64
    mbr: str | None = None
    long: str = "split"
    details: bool = False
    glossary: Glossary | None = None

    def __post_init__(self) -> None:
        options = self.options
        check_options(options)
        check_bounds("batch_size", self.batch_size)
        if self.long not in LONG:
            raise Seq2SeqError(f"long: {unknown_name(self.long, LONG)}")
        if self.mbr is None:
            return
        if self.mbr not in UTILITIES:
            raise Seq2SeqError(f"mbr: {unknown_name(self.mbr, UTILITIES)}")
        if (options.beam if options.sampling is None else options.n_best) < 2:
            raise Seq2SeqError(
                "mbr chooses among several translations: draw 2 samples or more, or use a beam of "
                "2 or more"
            )

    @property
    def window(self) -> int:
        """How many lines are read ahead and sorted by length."""
        return self.batch_size * BATCHES_A_WINDOW if self.batch_size > 1 else 1

    def search_for(self, *, terms: bool, attention: bool) -> SearchOptions:
        """The search's options for segments with ``terms`` of the glossary, or without.

        Several hypotheses may be one text, so a beam gives all it has: asking a beam for more never
        changes its best. With ``attention`` it is seen how translations looked at their sources.
        """
        return self._searches[terms, attention]

    @cached_property
    def _searches(self) -> dict[tuple[bool, bool], SearchOptions]:
        options = wide = self.options
        if options.sampling is None:
            if options.beam < GLOSSARY_BEAM:
                wide = replace(options, beam=-(-GLOSSARY_BEAM // options.groups) * options.groups)
            if options.n_best > 1 or self.mbr is not None:
                options, wide = (replace(one, n_best=one.beam) for one in (options, wide))
        return {
            (terms, attention): replace(one, attention=attention or one.attention)
            for terms, one in ((False, options), (True, wide))
            for attention in (False, True)
        }

    @property
    def shows_scores(self) -> bool:
        """Whether scores are shown or chosen by; those of samples are of what was drawn."""
        several = self.options.n_best > 1 or self.mbr is not None
        return self.options.sampling is None and (self.details or several)

    @property
    def wanted(self) -> int | None:
        """How many different translations of a line are kept; None: all that the search finds."""
        options = self.options
        if options.sampling is not None or (self.mbr is not None and options.n_best == 1):
            return None
        return options.n_best


def search_options(recipe: Translation) -> SearchOptions:
    """A recipe's way to translate as options of a search."""
    return SearchOptions(
        beam=recipe.beam,
        normalization=recipe.normalization,
        coverage=recipe.coverage,
        min_ratio=recipe.min_ratio,
        max_ratio=recipe.max_ratio,
        max_extra=recipe.max_extra,
    )


def make_request(
    base: SearchOptions,
    recipe: Translation,
    *,
    options: SearchOptions | None = None,
    beam: int | None = None,
    n_best: int | None = None,
    batch_size: int = 64,
    mbr: str | None = None,
    long: str | None = None,
    details: bool = False,
    glossary: Glossary | None = None,
) -> Request:
    """Puts together what a caller asks for (``RequestOptions``) and what the recipe says."""
    chosen = options or base
    chosen = replace(
        chosen,
        beam=chosen.beam if beam is None else beam,
        n_best=chosen.n_best if n_best is None else n_best,
    )
    return Request(chosen, batch_size, mbr, long or recipe.long, details, glossary)


def request_and_constraints(
    base: SearchOptions,
    recipe: Translation,
    *,
    constraints: Iterable[Constraints] | None = None,
    wishes: Iterable[Constraints] | None = None,
    **options: Unpack[RequestOptions],
) -> tuple[Request, Iterable[Constraints] | None]:
    """Splits ``TranslateOptions`` into how to translate, and the constraints on each line."""
    if constraints is not None and wishes is not None:
        raise Seq2SeqError(
            "both constraints and wishes are given, which are one thing: give constraints"
        )
    return make_request(base, recipe, **options), wishes if constraints is None else constraints


def check_lines(lines: Iterable[str]) -> None:
    """Refuses a single text (``Seq2SeqError``), of which each letter would be a line."""
    if isinstance(lines, str | bytes):
        raise Seq2SeqError("lines is a single string; give a list of lines, also of one: [line]")
    if not isinstance(lines, Iterable):
        raise Seq2SeqError(f"lines is {type(lines).__name__}; give a list of lines: [line]")


def check_without_texts(
    constraints: Sequence[Constraints], first_line: int, glossary: Glossary | None = None
) -> None:
    """Checks that constraints give no text that a shortlist may have no pieces for."""
    if glossary is not None:
        raise Seq2SeqError(
            f"{glossary.name}: a shortlist may lack the pieces of its translations: translate "
            "without the shortlist"
        )
    for number, one in enumerate(constraints, start=first_line):
        if one.prefix or one.forced:
            what = "a prefix" if one.prefix else "a forced phrase"
            raise Seq2SeqError(
                f"line {number}: has {what}, but a shortlist may lack its pieces: translate "
                "without the shortlist"
            )


def check_without_constraints(
    constraints: Sequence[Constraints], first_line: int, glossary: Glossary | None
) -> None:
    """Refuses what a model that writes from right to left cannot keep to.

    Constraints are kept step by step, by rules on how the text so far may go on.
    """
    places = (f"line {n}: has constraints" for n, one in enumerate(constraints, first_line) if one)
    given = next(places, None) if glossary is None else f"{glossary.name}: is a glossary"
    if given is not None:
        raise Seq2SeqError(
            f"{given}, which a model that writes from right to left (model.decoder.reverse) cannot "
            "keep to: leave that out, or translate with a model that writes from left to right"
        )


Window = tuple[list[str], list[Constraints] | None, int]
"""Some lines, their constraints and the number of the first line."""


def windows(
    lines: Iterable[str], constraints: Iterable[Constraints] | None, size: int
) -> Iterator[Window | None]:
    """Takes ``size`` lines at a time, with their constraints and the number of the first line.

    Where the lines pause (``storage.lines.Pause``), a window ends early, so that nobody waits for
    more lines to have theirs translated. None comes after it: a pool then hands back what it has.
    """
    lines_left = iter(lines)
    constraints_left = None if constraints is None else iter(constraints)
    count = 0
    while True:
        window, paused = _taken(lines_left, size, count)
        if not window:
            break
        own = None if constraints_left is None else list(islice(constraints_left, len(window)))
        if own is not None and len(own) < len(window):
            found = number_of(count + len(own), "line")
            raise Seq2SeqError(f"there are constraints for {found}, but there are more lines")
        yield window, own, count + 1
        count += len(window)
        if paused:
            yield None
    if constraints_left is not None and next(constraints_left, None) is not None:
        raise Seq2SeqError(
            f"there are more lines of constraints than lines to translate ({count:,})"
        )


def _taken(lines: Iterator[str], size: int, before: int) -> tuple[list[str], bool]:
    """Takes lines, up to a pause; ``before`` is how many were taken before."""
    window: list[str] = []
    for line in lines:
        if isinstance(line, Pause):
            if window:
                return window, True
            continue
        if not isinstance(line, str):
            number = before + len(window) + 1
            raise Seq2SeqError(f"line {number}: must be a string, not {type(line).__name__}")
        window.append(line)
        if len(window) == size:
            break
    return window, False


def source_batch(rows: Sequence[Sequence[int]]) -> SourceBatch:
    """Pads sources, given without their ends, to a batch."""
    return SourceBatch.from_rows([[*row, EOS] for row in rows])


def batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """Yields the places of items of about equal lengths, a batch at a time; not those of 0."""
    widths = np.array(lengths, dtype=np.int64)
    not_empty = np.flatnonzero(widths)
    bounds = Bounds(batch_size * _PIECES_A_LINE, batch_size)
    for batch in length_batches(widths[not_empty], bounds):
        yield not_empty[batch].tolist()
