"""``seq2seq prepare``: turns text files into a prepared corpus."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

from seq2seq.cli import console
from seq2seq.cli.options import Corpus, Settings, Val, flag, option, with_val

EXAMPLE = console.example(
    "seq2seq prepare quickstart -o data/quickstart",
    "seq2seq prepare train.en train.de --val val.en val.de -o data/mine",
)


def prepare(
    recipe: Corpus,
    output: Annotated[
        Path | None,
        option("FOLDER", "The folder to create.  [default: data/NAME]", "-o", "--output"),
    ] = None,
    val: Val = None,
    assignments: Settings = None,
    processes: Annotated[
        int | None,
        option("N", "Tokenize in N processes.  [default: all cores]", min=1),
    ] = None,
    overwrite: Annotated[
        bool, flag("--overwrite", "Replace the folder if it holds prepared data.")
    ] = False,
    init_from: Annotated[
        Path | None,
        option("RUN", "Use the tokenizer of the run or model that is to be fine-tuned."),
    ] = None,
) -> None:
    """Prepare a corpus for training.

    Cleans the pairs, trains the tokenizer, tokenizes everything and stores it.
    """
    import seq2seq

    settings = with_val(assignments, val)
    read = seq2seq.load_recipe(recipe, settings, folder=output)
    with console.progress() as progress:
        prepared = seq2seq.prepare(
            read,
            output,
            processes=processes,
            progress=progress,
            overwrite=overwrite,
            init_from=init_from,
        )
    from rich.console import Console

    from seq2seq.data.preparing.statistics import report_table

    # Outside a terminal rich assumes 80 columns, and cuts the tables to fit. What stands in names
    # of files is no markup.
    width = None if sys.stdout.isatty() else 200
    Console(width=width, markup=False, emoji=False).print(report_table(prepared.report))
    words = [*recipe, *(word for one in settings for word in ("--set", one))]
    folders = ["--data", str(prepared.folder), "-o", f"runs/{read.name}"]
    if init_from is not None:
        folders += ["--init-from", str(init_from)]
    console.show(f"\nprepared {prepared.folder}; next:")
    console.show(f"  {shlex.join(['seq2seq', 'train', *words, *folders])}")
