"""The command line's verbs as functions.

What they need is loaded when they are called, after the recipe was read: a wrong recipe is told at
once, and a package that is missing by the extra that brings it.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from seq2seq.errors import MissingExtraError, check_names

if TYPE_CHECKING:
    from seq2seq.data import Progress
    from seq2seq.data.dataset import PreparedData
    from seq2seq.recipe import Recipe
    from seq2seq.training.monitoring import Monitor
    from seq2seq.training.state import TrainingResult


def prepare(
    recipe: Recipe | str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    processes: int | None = None,
    progress: Progress | None = None,
    overwrite: bool = False,
    init_from: str | Path | None = None,
) -> PreparedData:
    """Prepares a recipe's corpus: cleans, trains the tokenizer, tokenizes, stores.

    Args:
        recipe: A recipe, or what ``load_recipe`` makes one of: a packaged recipe's name, the path
            of a recipe's file, or those of a training corpus, as ["train.en", "train.de"].
        output: The folder to make; None: ``data/`` and the recipe's name.
        processes: How many processes tokenize; None: one a processor.
        progress: Told how far it is; None: nobody.
        overwrite: Whether a prepared folder under that name is replaced.
        init_from: A run's or model's folder that is to be fine-tuned: its tokenizer is used, none
            is trained.

    Returns:
        The prepared folder, opened.

    Raises:
        Seq2SeqError: If the recipe or its data cannot be used, or the folder not be written.
    """
    read = _as_recipe(recipe, output)
    folder = Path("data", read.name) if output is None else Path(output)
    check_names(folder, init_from)
    with training_packages("preparing a corpus"):
        from seq2seq.data.preparing.prepare import prepare as run

        if init_from is not None:
            from seq2seq.training.finetuning import prepared_with

            read = prepared_with(read, Path(init_from))
    return run(read, folder, processes=processes, progress=progress, overwrite=overwrite)


def train(
    recipe: Recipe | str | Path | Sequence[str | Path],
    run: str | Path | None = None,
    *,
    data: str | Path | None = None,
    threads: int | None = None,
    deterministic: bool = False,
    changed_data: bool = False,
    init_from: str | Path | None = None,
    old_val: tuple[str | Path, str | Path] | None = None,
    monitor: Monitor | None = None,
    progress: Progress | None = None,
) -> TrainingResult:
    """Trains a model, or goes on where the run was stopped.

    Args:
        recipe: A recipe, or what ``load_recipe`` makes one of: a packaged recipe's name, the path
            of a recipe's file, or those of a training corpus, as ["train.en", "train.de"].
        run: The run's folder, which is the model's too; None: ``runs/`` and the recipe's name.
        data: A prepared folder; None: the corpus is prepared in the run first.
        threads: Processor threads; None: torch's, or fewer for a small network.
        deterministic: Whether torch is held to algorithms that give the same bits each time, and a
            run is not gone on with where the bits could differ.
        changed_data: Whether to go on with what was prepared, where the corpus has changed since.
        init_from: An earlier run's or model's folder: its weights and tokenizer are what training
            begins with, and what the recipe does not say on network, tokenizer and translation is
            as it is there. None: training begins with nothing.
        old_val: Two files, source and target: what ``init_from`` was good at, to measure what is
            forgotten; None: its own validation set, where it can be found.
        monitor: Told of the progress; None: it is shown on standard error.
        progress: Told how far preparing is, where the run prepares its own data; None: nobody.

    Returns:
        How it ended. A SIGINT or SIGTERM (the first) has training save and return: then
        ``finished`` is False and ``signal`` names it.

    Raises:
        Seq2SeqError: If the recipe, the data or the run cannot be used, or the numbers went wrong.
    """
    read = _as_recipe(recipe, run)
    folder = Path("runs", read.name) if run is None else Path(run)
    check_names(folder.absolute(), data, init_from, *(old_val or ()))
    with training_packages("training"):
        from seq2seq.report import LivePage
        from seq2seq.training.finetuning import Begin
        from seq2seq.training.session import train as loop
    prepared = None if data is None else Path(data)
    begin = Begin(
        None if init_from is None else Path(init_from),
        None if old_val is None else (Path(old_val[0]), Path(old_val[1])),
    )
    return loop(
        read,
        folder,
        data=prepared,
        threads=threads,
        deterministic=deterministic,
        changed_data=changed_data,
        begin=begin,
        monitor=monitor,
        progress=progress,
        page=LivePage(),
    )


def write_report(
    run: str | Path, output: str | Path | None = None, *, data: str | Path | None = None
) -> Path:
    """Writes the page of a run, which training does too: scores, curves, examples, time line.

    Args:
        run: The run's folder; training may be under way.
        output: The page; None: ``report.html`` in the run's folder.
        data: A prepared folder whose validation set is translated anew for the examples; None: the
            page has the examples that training kept.

    Returns:
        The page's path.

    Raises:
        Seq2SeqError: If there is no run, a file of it is damaged, or the data is not its own.
    """
    with training_packages("a report"):
        import_module("seq2seq.report.page")  # what draws the page is missed here, not later
        from seq2seq.report import write_report as write
    return write(run, output, data=None if data is None else Path(data))


def _as_recipe(
    recipe: Recipe | str | Path | Sequence[str | Path], folder: str | Path | None
) -> Recipe:
    from seq2seq.recipe import Recipe
    from seq2seq.recipe.files import checked, load_recipe

    if isinstance(recipe, Recipe):
        return checked(recipe)
    return load_recipe(recipe, folder=folder)


@contextmanager
def training_packages(what: str) -> Iterator[None]:
    """Says which extra is missing, where a package of the training extra is not installed."""
    try:
        with _signals_later():
            yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "seq2seq"):
            raise
        raise MissingExtraError(what, "train", package) from None


@contextmanager
def _signals_later() -> Iterator[None]:
    """Lets Ctrl-C wait for an import's end: in the midst of torch's it aborts the process."""
    from seq2seq.training.signals import signals_handled

    came: list[int] = []

    def note(number: int) -> None:
        came.append(number)
        signal.signal(number, signal.SIG_DFL)  # who insists is not kept waiting

    with signals_handled(note):
        yield
    if came:
        signal.raise_signal(came[0])
