"""``seq2seq inspect``: a look into a model at work."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq.cli import console, files
from seq2seq.cli.options import (
    Model,
    OptionGroup,
    Settings,
    Threads,
    add_verb,
    argument,
    excludes,
    flag,
    option,
    verb_style,
)
from seq2seq.cli.search_options import Running
from seq2seq.cli.translate import check_output
from seq2seq.errors import Seq2SeqError, number_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from seq2seq.inference.results import ScoredTranslation
    from seq2seq.inference.translator import Translator
    from seq2seq.inspection.opening import Drawn, Opened, Pair
    from seq2seq.inspection.tables import Table
    from seq2seq.tasks import PaddedBatch

app = typer.Typer(
    help="Look into a model at work.",
    no_args_is_help=True,
    epilog=console.example("seq2seq inspect attention runs/quickstart input.en -o pictures"),
    **verb_style(),
)
ATTENTION_EXAMPLE = console.example(
    "seq2seq inspect attention runs/quickstart input.en -o pictures",
    "seq2seq inspect attention runs/quickstart test.en test.de -o pictures --lines 20",
)
GRADIENTS_EXAMPLE = console.example(
    "seq2seq inspect gradients runs/quickstart input.en -o gradients.png",
    "seq2seq inspect gradients quickstart --vary model.recurrent_init=identity --length 30 --json",
)
GATES_EXAMPLE = console.example("seq2seq inspect gates runs/quickstart input.en -o gates.svg")
STATES_EXAMPLE = console.example("seq2seq inspect states runs/quickstart input.en -o states.html")
LENGTH, LINES = 50, 32
LONGEST = 300
"""Pieces a side whose gates or connectivity are measured, step by step."""
PAIRS = 29_000
"""What a recipe leaves to the number of pairs is as for so many, those of Multi30k."""

Source = Annotated[
    str | None,
    argument("INPUT", "Text to read; -: standard input.", show_default="a problem has its own"),
]
Target = Annotated[
    str | None,
    argument("TARGET", "Its translation.", show_default="what the model itself translates"),
]
Line = Annotated[int, option("N", "Look at line N.", "--line", min=1)]


@dataclass(frozen=True)
class Shown(OptionGroup):
    """How it is shown."""

    output: Annotated[
        Path | None,
        option("FILE", "Draw it: a .png, .svg or .html, which fetches nothing.", "-o", "--output"),
    ] = None
    json_: Annotated[bool, flag("--json", "Print JSON instead of a table.")] = False
    threads: Threads = None

    def check(self, models: Sequence[str], *inputs: str | None) -> None:
        """Raises a ``Seq2SeqError`` if the picture cannot be, before anything is measured."""
        import torch

        from seq2seq.inspection.pictures import check_name

        if self.output is not None:
            check_name(self.output)
            check_output(str(self.output), models, *(one for one in inputs if one is not None))
        if self.threads is not None:
            torch.set_num_threads(self.threads)

    def show(self, values: Any, table: Table, figure: Figure | None, title: str) -> None:
        """Draws the picture if it is wanted, and prints the rest."""
        from seq2seq.inspection.pictures import write_picture
        from seq2seq.inspection.tables import as_lines

        if self.output is not None and figure is not None:
            write_picture(self.output, figure, title, table)
        if self.json_:
            console.show(json.dumps(values, indent=1, ensure_ascii=False))
        else:
            for line in as_lines(table):
                console.show(line)


def attention(
    model: Model,
    source: Annotated[str, argument("SOURCE", "Text to translate; -: standard input.")],
    output: Annotated[Path, option("FOLDER", "The folder for the pictures.", "-o", "--output")],
    running: Running,
    target: Annotated[
        str | None,
        argument("TARGET", "Its translation.", show_default="what the model itself translates"),
    ] = None,
    beam: Annotated[
        int | None,
        option("N", "Keep N hypotheses at each step.  [default: the recipe's]", min=1),
    ] = None,
    count: Annotated[int, option("N", "Draw the first N lines.", "--lines", min=1)] = 100,
) -> None:
    """Draw what a model attends to: a picture for each line.

    The source runs from left to right, the translation from top to bottom. The darker a square, the
    more the token of its row attended to the token of its column.
    """
    from seq2seq.inference.results import check_pictures, draw_attention

    check_pictures()
    running.check()
    excludes(target, "TARGET", beam, "--beam")
    translator = running.load(model)
    if not translator.has_attention:
        raise Seq2SeqError(
            f"{model}: this model has no attention to draw: train one with model.decoder.attention"
        )
    _make(output)
    drawn = 0
    found = _found(translator, source, target, count, beam, running.batch_size or 64)
    for number, one in enumerate(found, start=1):
        if one.attention is not None:  # an empty line has none
            draw_attention(one, output / f"line-{number:04d}.png")
            drawn += 1
    if not drawn:
        raise Seq2SeqError(f"the text has no line in which {model} can read anything")
    console.show(f"{output}: {drawn} picture{'s' * (drawn != 1)}")


def _found(
    translator: Translator,
    source: str,
    target: str | None,
    count: int,
    beam: int | None,
    batch_size: int,
) -> Iterator[ScoredTranslation]:
    """The first lines' translations with their attention: the model's own, or those given."""
    if target is not None:
        from seq2seq.inference.scoring import Scorer

        scorer = Scorer(translator, batch_size=batch_size, attention=True)
        yield from scorer.score(islice(files.read_pairs(source, target), count))
        return
    found = translator.stream(
        islice(files.read_lines(source), count),
        options=replace(translator.search_options, attention=True),
        beam=beam,
        batch_size=batch_size,
        details=True,
    )
    yield from (several[0] for several in found)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Seq2SeqError(f"{folder}: cannot be created: {error.strerror}") from None


# ---------------------------------------------------------------------------------------------
# Gradients


def gradients(
    model: Annotated[
        str, argument("MODEL", "The folder of a run; or a recipe, whose untrained model is seen.")
    ],
    shown: Shown,
    source: Annotated[
        str | None,
        argument("INPUT", "Text to read; -: standard input.", show_default="random tokens"),
    ] = None,
    target: Target = None,
    others: Annotated[
        list[str] | None,
        option("MODEL", "Another run or recipe beside it; can be repeated.", "--with"),
    ] = None,
    assignments: Settings = None,
    variants: Annotated[
        list[str] | None,
        option(
            "KEY=VALUE",
            "MODEL, a recipe, once more with this value beside it, or with several that stand in "
            "quotes with spaces between; can be repeated.",
            "--vary",
        ),
    ] = None,
    length: Annotated[
        int | None,
        option("N", f"Random lines of N tokens a side.  [default: {LENGTH}]", min=2, max=100_000),
    ] = None,
    count: Annotated[int, option("N", "Read the first N lines.", "--lines", min=1)] = LINES,
) -> None:
    """Show how the gradient of the loss fares on its way back through time.

    For each step, the norm of the loss's gradient by the state of each cell, encoder and decoder,
    and the factor by which a step back multiplies it: below 1 it vanishes, above 1 it explodes. The
    loss is that of teacher forcing. Lines are aligned at their ends.
    """
    from seq2seq.api import training_packages

    excludes(source, "INPUT", length, "--length")
    with training_packages("looking into a model"):
        from seq2seq.inspection.gradients import state_gradients
        from seq2seq.inspection.pictures import gradients_figure
        from seq2seq.inspection.tables import gradients_table

        shown.check([model, *(others or ())], source, target)
        texts = None if source is None else _texts(source, target, count)
        found = []
        for one in _models(model, others or (), assignments or (), variants or ()):
            batch = _batch(one, texts, length, count)
            measured = state_gradients(one.task.loss(one.model), one.model, batch)
            if not measured:
                raise Seq2SeqError(f"{one.name}: this model has no recurrent layers to look at")
            found.append((one.name, measured))
        values = [{"model": name, "cells": [one.record() for one in seen]} for name, seen in found]
        figure = None if shown.output is None else gradients_figure(found)
        shown.show({"models": values}, gradients_table(found), figure, "Gradients through time")


def _models(
    model: str, others: Sequence[str], assignments: Sequence[str], variants: Sequence[str]
) -> Iterator[Opened]:
    """MODEL and those beside it, one after the other."""
    if Path(model).is_dir() and (assignments or variants):
        raise Seq2SeqError(
            f"--set and --vary change a recipe, and {model} is a folder: leave them out"
        )
    yield _opened(model, model, assignments)
    for variant in variants:
        if not variant.strip():
            raise Seq2SeqError("--vary is empty: give it KEY=VALUE")
        values = re.split(r"\s+(?=\w+(?:\.\w+)+\s*=)", variant.strip())
        yield _opened(model, f"{model} {variant.strip()}", [*assignments, *values])
    for other in others:
        yield _opened(other, other, () if Path(other).is_dir() else assignments)


def _opened(model: str, name: str, assignments: Sequence[str]) -> Opened:
    from seq2seq.data.problems import problem_of
    from seq2seq.inspection.opening import open_recipe, open_run
    from seq2seq.recipe.files import load_recipe
    from seq2seq.recipe.packaged import packaged_recipes
    from seq2seq.training.defaults import with_problem_sizes, with_sizes

    if Path(model).is_dir():
        return open_run(model)
    if model not in packaged_recipes() and not model.endswith(".toml"):
        raise Seq2SeqError(
            f"{model}: no such model: give the folder of a run, the name of a packaged recipe "
            f"({', '.join(packaged_recipes())}) or a recipe's file, which ends in .toml"
        )
    recipe = load_recipe(model, assignments)
    if recipe.data.kind is None:
        return open_recipe(name, with_sizes(recipe, PAIRS))
    return open_recipe(name, with_problem_sizes(recipe, problem_of(recipe.data).steps))


def _batch(
    opened: Opened, texts: tuple[list[str], list[str] | None] | None, length: int | None, count: int
) -> PaddedBatch:
    """What a model reads: the given text, or random lines."""
    from seq2seq.inspection.opening import batch_of, random_batch, read_pairs

    if texts is None:
        if length is not None and not opened.translates:
            raise Seq2SeqError(
                f"{opened.name}: a problem's rows are as long as its recipe says: leave out "
                "--length, or give a recipe with --set data.length"
            )
        return random_batch(opened, length or LENGTH, count)
    pairs = [pair for pair in read_pairs(opened, *texts) if pair.source]
    if not pairs:
        raise Seq2SeqError(f"the text has no line in which {opened.name} can read anything")
    return batch_of(opened, pairs)


def _texts(source: str, target: str | None, count: int) -> tuple[list[str], list[str] | None]:
    """The first lines of the text, and their translations where they are given."""
    if target is None:
        return list(islice(files.read_lines(source), count)), None
    files.check_standard_input(source, target)
    pairs = list(islice(files.read_pairs(source, target), count))
    return [one for one, _ in pairs], [other for _, other in pairs]


# ---------------------------------------------------------------------------------------------
# Gates and connectivity


def gates(
    model: Model,
    shown: Shown,
    source: Source = None,
    target: Target = None,
    line: Line = 1,
) -> None:
    """Show what a model's gates let through at each piece of a line.

    For each cell, encoder and decoder: how far each gate is open, from 0 to 1, on average over the
    units, and the size of its memory. The picture has each unit, too.
    """
    from seq2seq.api import training_packages

    with training_packages("looking into a model"):
        from seq2seq.inspection.gates import gates_of
        from seq2seq.inspection.pictures import gates_figure
        from seq2seq.inspection.tables import gates_table

        shown.check([model], source, target)
        cells = gates_of(*_line(model, source, target, line))
        figure = None if shown.output is None else gates_figure(cells)
        values = {"model": model, "line": line, "cells": [one.record() for one in cells]}
        shown.show(values, gates_table(cells), figure, f"Gates of {model}, line {line}")


def states(
    model: Model,
    shown: Shown,
    source: Source = None,
    target: Target = None,
    line: Line = 1,
) -> None:
    """Show how much each output of a model depends on each piece that it read.

    The number is the norm of the derivative of an output by an input: of the encoder's outputs by
    the source, and of the decoder's by the source and by the translation so far; or of a problem's
    answers by the numbers that were read.
    """
    from seq2seq.api import training_packages

    with training_packages("looking into a model"):
        from seq2seq.inspection.connectivity import connectivity_of
        from seq2seq.inspection.pictures import connectivity_figure
        from seq2seq.inspection.tables import connectivity_table

        shown.check([model], source, target)
        blocks = connectivity_of(*_line(model, source, target, line))
        figure = None if shown.output is None else connectivity_figure(blocks)
        values = {"model": model, "line": line, "blocks": [one.record() for one in blocks]}
        title = f"Connectivity of {model}, line {line}"
        shown.show(values, connectivity_table(blocks), figure, title)


def _line(
    model: str, source: str | None, target: str | None, line: int
) -> tuple[Opened, Pair | Drawn]:
    """A model, and a line of the text as it reads it, or a sequence of its problem."""
    from seq2seq.inspection.opening import Drawn, open_run, read_pairs
    from seq2seq.storage.lines import name_of

    opened = open_run(model)
    if source is None and not opened.translates:
        return opened, Drawn(line)
    if source is None:
        raise Seq2SeqError(f"{model} reads text: give INPUT, a file, or - for standard input")
    sources, targets = _texts(source, target, line)
    if len(sources) < line:
        raise Seq2SeqError(
            f"{name_of(source)} has {number_of(len(sources), 'line')}: there is no line {line} "
            "(--line)"
        )
    (pair,) = read_pairs(opened, sources[-1:], None if targets is None else targets[-1:])
    if not pair.source:
        raise Seq2SeqError(
            f"{name_of(source)}, line {line}: nothing to read in it: --line N takes another one"
        )
    longest = max(len(pair.source), len(pair.target))
    if longest > LONGEST:
        raise Seq2SeqError(
            f"{name_of(source)}, line {line}: {longest:,} pieces, and at most {LONGEST} can be "
            "looked at: --line N takes another one"
        )
    return opened, pair


add_verb(app, "attention", attention, ATTENTION_EXAMPLE)
add_verb(app, "gradients", gradients, GRADIENTS_EXAMPLE)
add_verb(app, "gates", gates, GATES_EXAMPLE)
add_verb(app, "states", states, STATES_EXAMPLE)
