"""How lines are to be translated: what was asked for, checked, and how it is cut into batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from seq2seq.errors import Seq2SeqError, unknown_name
from seq2seq.inference.mbr import check_utility
from seq2seq.recipe import Translation
from seq2seq.search import SearchOptions, Wish
from seq2seq.search.run import check_options

LONG = ("split", "truncate", "keep")
"""What can be done with a line that is longer than the model was trained on."""

# Batches of long lines hold fewer of them, so that memory is bounded by the batch size alone.
_PIECES_A_LINE = 128

# Sorting by length pays where there are many batches to sort into; more would only cost memory.
_BATCHES_A_WINDOW = 16


@dataclass(frozen=True)
class Request:
    """How lines are to be translated, checked and with nothing left open.

    Args:
        options: How to search.
        batch_size: The most lines translated at once.
        mbr: The utility that translations are chosen by; None: the search's score.
        long: What is done with a line that is longer than the model was trained on.
        details: Whether translations carry their tokens.
    """

    options: SearchOptions
    batch_size: int = 64
    mbr: str | None = None
    long: str = "split"
    details: bool = False

    @property
    def window(self) -> int:
        """How many lines are read ahead and sorted by length."""
        return self.batch_size * _BATCHES_A_WINDOW if self.batch_size > 1 else 1

    @property
    def searched(self) -> SearchOptions:
        """What the search is asked for: more than is wanted, as different pieces may be one text.

        Asking a beam for more never changes its best.
        """
        options = self.options
        if options.sampling is None and (options.n_best > 1 or self.mbr is not None):
            return replace(options, n_best=options.beam)
        return options

    @property
    def wanted(self) -> int | None:
        """How many different translations of a line are kept; None: all that the search finds."""
        options = self.options
        if options.sampling is not None or (self.mbr is not None and options.n_best == 1):
            return None
        return options.n_best


def search_options(recipe: Translation) -> SearchOptions:
    """A recipe's way to translate as options of a search.

    Args:
        recipe: The recipe's table.

    Returns:
        The options.
    """
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
) -> Request:
    """Puts together what a caller asks for and what the recipe says.

    Args:
        base: The recipe's way to search.
        recipe: The recipe's table.
        options: How to search; None: as the recipe says.
        beam: Instead of that of the options.
        n_best: Instead of that of the options.
        batch_size: As in :class:`Request`.
        mbr: As in :class:`Request`.
        long: As in :class:`Request`; None: as the recipe says.
        details: As in :class:`Request`.

    Returns:
        The request, checked.

    Raises:
        Seq2SeqError: If it is not allowed.
    """
    chosen = options or base
    chosen = replace(
        chosen,
        beam=chosen.beam if beam is None else beam,
        n_best=chosen.n_best if n_best is None else n_best,
    )
    request = Request(chosen, batch_size, mbr, long or recipe.long, details)
    check_request(request)
    return request


def check_request(request: Request) -> None:
    """Checks what is asked for, before any line is read.

    Args:
        request: What is asked for.

    Raises:
        Seq2SeqError: If it is not allowed.
    """
    options = request.options
    check_options(options)
    if request.batch_size < 1:
        raise Seq2SeqError(f"batch_size is {request.batch_size}; 1 or more is allowed")
    if request.long not in LONG:
        raise Seq2SeqError(f"long: {unknown_name(request.long, LONG)}")
    if request.mbr is None:
        return
    check_utility(request.mbr)
    if (options.beam if options.sampling is None else options.n_best) < 2:
        raise Seq2SeqError(
            "mbr chooses among several translations: draw 2 samples or more, or use a beam of 2 or "
            "more"
        )


def check_without_texts(wishes: Sequence[Wish], first_line: int) -> None:
    """Checks that wishes give no text that a shortlist may have no pieces for.

    Args:
        wishes: What the translations have to look like.
        first_line: The number of the first one's line.

    Raises:
        Seq2SeqError: If there is a prefix or a forced phrase.
    """
    for number, wish in enumerate(wishes, start=first_line):
        if wish.prefix or wish.forced:
            what = "a prefix" if wish.prefix else "a forced phrase"
            raise Seq2SeqError(
                f"line {number}: has {what}, but a shortlist may lack its pieces: translate "
                "without the shortlist"
            )


def windows(
    lines: Iterator[str], wishes: Iterator[Wish] | None, size: int
) -> Iterator[tuple[list[str], list[Wish] | None]]:
    """Takes so many lines at a time, each with its wish.

    Args:
        lines: The lines.
        wishes: One for each; None: nothing is wished for.
        size: The most lines taken at once.

    Yields:
        The lines, and their wishes.

    Raises:
        Seq2SeqError: If there are more lines than wishes, or fewer.
    """
    count = 0
    while window := list(islice(lines, size)):
        count += len(window)
        wished = None if wishes is None else list(islice(wishes, len(window)))
        if wished is not None and len(wished) < len(window):
            found = count - len(window) + len(wished)
            counted = "1 line" if found == 1 else f"{found:,} lines"
            raise Seq2SeqError(f"there are wishes for {counted}, but there are more lines")
        yield window, wished
    if wishes is not None and next(wishes, None) is not None:
        raise Seq2SeqError(f"there are wishes for more lines than the {count:,} that there are")


def batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
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
