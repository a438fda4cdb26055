"""``seq2seq report``: writes the report on a run, a web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from seq2seq.cli import console
from seq2seq.cli.options import argument, option

EXAMPLE = console.example(
    "seq2seq report runs/quickstart", "seq2seq report runs/quickstart -o quickstart.html"
)


def report(
    run: Annotated[Path, argument("RUN", "A run's folder.")],
    output: Annotated[
        Path | None,
        option("FILE", "The page to write.  [default: RUN/report.html]", "-o", "--output"),
    ] = None,
    data: Annotated[
        Path | None,
        option(
            "FOLDER",
            "Take the examples from the validation set of this prepared folder, translated "
            "now.  [default: the examples that training saved]",
        ),
    ] = None,
) -> None:
    """Write the report on a run: scores, curves, examples, data, timeline.

    Training writes it too; this updates it, even while training is running. The page is a single
    file that loads nothing from the network.
    """
    import seq2seq

    console.show(str(seq2seq.write_report(run, output, data=data)))
