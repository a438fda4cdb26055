"""``seq2seq translate``: text in one language becomes text in another."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq.cli import console, lines
from seq2seq.errors import Seq2SeqError

if TYPE_CHECKING:
    from seq2seq.inference.translator import ScoredTranslation

EXAMPLE = console.example(
    "seq2seq translate runs/quickstart input.en -o output.de --beam 5",
    'echo "The old man sleeps." | seq2seq translate runs/quickstart',
)
MODEL_FILES = frozenset(
    {
        "recipe.toml", "tokenizer.model", "source.model", "target.model", "weights.safetensors",
        "card.json", "run.json", "metrics.jsonl", "curves.png", "checkpoints", "best", "last",
        "data", "examples.json", "report.html", "tensorboard",
    }
)  # fmt: skip
"""What a model's or run's folder holds: never an output."""

Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model's or run's folder.")]
Beam = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, help="Follow N hypotheses; 1: greedy.  [default: as the recipe says]"
    ),
]
BatchSize = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Translate at most N lines at once.  [default: 64]"),
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Use N processor threads.  [default: all cores]"),
]
Engine = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What runs the network: numpy, torch, or auto: numpy, but torch with a GPU.",
    ),
]


def translate(
    model: Model,
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Text to translate, UTF-8, one sentence a line.",
            show_default="standard input",
        ),
    ] = lines.STANDARD,
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The file to write; one that is there is replaced.",
            show_default="standard output",
        ),
    ] = lines.STANDARD,
    beam: Beam = None,
    n_best: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Write the N best of each line: INDEX ||| TEXT ||| SCORE, the index from 0.",
        ),
    ] = None,
    batch_size: BatchSize = None,
    threads: Threads = None,
    engine: Engine = "auto",
) -> None:
    """Translate lines of text.

    n lines in, n lines out, in the same order and in constant memory.
    """
    from seq2seq.inference.translator import Translator

    check_output(output, model, source)
    translator = Translator.load(model, threads=threads, engine=engine)
    if batch_size is None and source == lines.STANDARD and sys.stdin.isatty():
        batch_size = 1  # a person waits for the answer to each line
    found = translator.stream(
        lines.read_lines(source), beam=beam, n_best=n_best or 1, batch_size=batch_size or 64
    )
    with lines.write_lines(output) as file:
        if output != lines.STANDARD:  # else the translations themselves are to be seen
            found = with_progress(found, lines.count_lines(source))
        for count, several in enumerate(found, start=1):
            for line in _written(count - 1, several, n_best is not None):
                file.write(line)
            if batch_size == 1:
                file.flush()


def _written(index: int, several: list[ScoredTranslation], with_scores: bool) -> Iterator[str]:
    if with_scores:
        yield from (f"{index} ||| {one.text} ||| {one.score:.6f}" for one in several)
    else:
        yield several[0].text


def with_progress(
    found: Iterable[list[ScoredTranslation]], total: int | None
) -> Iterator[list[ScoredTranslation]]:
    """Shows how many lines are translated.

    Args:
        found: Translations of each line.
        total: How many lines there are, if anyone knows.

    Yields:
        What was found.
    """
    with console.progress() as progress:
        progress.start("translating", total)
        for several in found:
            yield several
            progress.advance(1)
        progress.finish()


def check_output(output: str, model: str, *inputs: str) -> None:
    """Checks that writing would destroy nothing that the command reads.

    Args:
        output: The file to write; "-": standard output.
        model: The model's folder.
        *inputs: The files that are read.

    Raises:
        Seq2SeqError: If it would.
    """
    target = Path(output)
    if output == lines.STANDARD or not target.name:
        return
    for path in inputs:
        there = path != lines.STANDARD and Path(path).is_file() and target.is_file()
        if there and target.samefile(path):
            raise Seq2SeqError(f"{output}: is an input, and would be replaced by the output")
    folder, resolved = Path(model).resolve(), target.resolve()
    inside = resolved.parts[len(folder.parts) :] if resolved.is_relative_to(folder) else ()
    if inside and inside[0] in MODEL_FILES:
        raise Seq2SeqError(f"{output}: belongs to the model: write to another file")
