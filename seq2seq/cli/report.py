"""``seq2seq report``: the page of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from seq2seq.cli import console

EXAMPLE = console.example(
    "seq2seq report runs/quickstart",
    "seq2seq report runs/quickstart -o quickstart.html",
)


def report(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The page.  [default: RUN/report.html]"
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Translate the validation set of this prepared folder anew, for the examples.  "
            "[default: the examples that training kept]",
        ),
    ] = None,
) -> None:
    """Write the page of a run: scores, curves, examples, data, time line.

    Training writes it too; this makes it anew, also while training goes on. The page is one file
    and fetches nothing.
    """
    import seq2seq

    console.show(str(seq2seq.write_report(run, output, data=data)))
