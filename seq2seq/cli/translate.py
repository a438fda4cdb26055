"""``seq2seq translate``: text in one language becomes text in another."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from seq2seq.cli import console, interactive, lines
from seq2seq.cli.groups import OptionGroup
from seq2seq.cli.outputs import FORMATS, writing
from seq2seq.cli.running import Model, RunningMany
from seq2seq.cli.searching import Lengths, Penalties, Sampled, Searching, options_of
from seq2seq.cli.wishes import read_wishes
from seq2seq.errors import Seq2SeqError

T = TypeVar("T")

EXAMPLE = console.example(
    "seq2seq translate runs/quickstart input.en -o output.de --beam 5",
    "seq2seq translate runs/quickstart input.en --sample 20 --mbr chrf -o output.de",
    'echo "The old man sleeps." | seq2seq translate runs/quickstart --format jsonl',
)
MODEL_FILES = frozenset(
    {
        "recipe.toml", "tokenizer.model", "source.model", "target.model", "weights.safetensors",
        "card.json", "run.json", "metrics.jsonl", "curves.png", "checkpoints", "best", "last",
        "data", "examples.json", "report.html", "tensorboard", "old_val.arrow", ".lock",
        "encoder.onnx",
        "step.onnx", "step.int8.onnx", "body.onnx", "body.int8.onnx", "output.safetensors",
        "shortlist.safetensors",
    }
)  # fmt: skip
"""What a model's or run's folder holds: never an output."""


@dataclass(frozen=True)
class Wished(OptionGroup):
    """What translations have to look like."""

    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Text that each translation begins with, a line for each line."
        ),
    ] = None
    constraints: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="JSON Lines, a line for each line, with any of "
            '{"prefix": "...", "force": ["..."], "avoid": ["..."]}; or an empty line.',
        ),
    ] = None

    @property
    def files(self) -> list[str]:
        """The files that are read."""
        return [file for file in (self.prefix, self.constraints) if file is not None]

    def check(self, source: str) -> None:
        """Checks that there is a wish for each line, where that can be known before.

        Args:
            source: The text to translate.

        Raises:
            Seq2SeqError: If the counts differ, or one file is standard input and cannot be.
        """
        if [source, *self.files].count(lines.STANDARD) > 1:
            raise Seq2SeqError("standard input can be read only once: give - for one file")
        counts = {file: lines.count_lines(file) for file in (source, *self.files)}
        for file, count in counts.items():
            if count is not None and counts[source] is not None and count != counts[source]:
                lines.check_counts(source, counts[source] or 0, file, count)


@dataclass(frozen=True)
class Written(OptionGroup):
    """Output."""

    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="The file to write; one that is there is replaced.",
            show_default="standard output",
        ),
    ] = lines.STANDARD
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="NAME",
            help="text: a line a line; nbest: INDEX ||| TEXT ||| SCORE for each translation, the "
            "index from 0; jsonl: an object a line, with scores, tokens and alignments.  "
            "[default: text, or nbest with --n-best]",
        ),
    ] = None
    n_best: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Write the N best of each line, no text twice: there may be fewer.",
        ),
    ] = None
    alignments: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Also write which word comes from which: i-j for each word j of a translation, "
            "from 0.",
        ),
    ] = None
    attention: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.npz",
            help="Also write how each piece weighed those of the source: a matrix for each line, "
            "by its number from 1.",
        ),
    ] = None

    @property
    def files(self) -> list[str]:
        """The files that are written."""
        return [self.output, *(file for file in (self.alignments, self.attention) if file)]

    def format_of(self, sampled: Sampled) -> str:
        """Which format is wanted.

        Args:
            sampled: Whether one translation is chosen among several.

        Returns:
            One of ``FORMATS``.

        Raises:
            Seq2SeqError: If options contradict each other.
        """
        if self.n_best is not None and sampled.sample is not None:
            raise Seq2SeqError(
                "--n-best is of a beam, and --sample N draws N as it is: leave --n-best out, and "
                "give --format nbest or jsonl to see all of them"
            )
        if self.format_ not in (None, *FORMATS):
            raise Seq2SeqError(f"--format is {self.format_!r}; allowed: {', '.join(FORMATS)}")
        several = self.n_best is not None and sampled.mbr is None
        if several and self.format_ == "text":
            raise Seq2SeqError(
                "--format text has one translation a line, so --n-best would do nothing: leave one "
                "of them out, or give --format nbest or jsonl"
            )
        return self.format_ or ("nbest" if several else "text")

    def check(self, model: str, *inputs: str) -> None:
        """Checks that nothing is written over what is read, or over one another.

        Args:
            model: The model's folder.
            *inputs: The files that are read.

        Raises:
            Seq2SeqError: If it would be.
        """
        for file in self.files:
            check_output(file, model, *inputs)
        if self.attention == lines.STANDARD:
            raise Seq2SeqError("--attention writes an archive: give it a file, not standard output")
        places = [Path(file).resolve() if file != lines.STANDARD else file for file in self.files]
        for file, place in zip(self.files, places, strict=True):
            if places.count(place) > 1:
                raise Seq2SeqError(
                    f"{'standard output' if file == lines.STANDARD else file}: is to be written "
                    "twice: give each output a file of its own"
                )


def translate(
    model: Model,
    searching: Searching,
    penalties: Penalties,
    sampled: Sampled,
    lengths: Lengths,
    wished: Wished,
    written: Written,
    running: RunningMany,
    source: Annotated[
        str,
        typer.Argument(
            metavar="INPUT",
            help="Text to translate, UTF-8, one sentence a line.",
            show_default="standard input",
        ),
    ] = lines.STANDARD,
) -> None:
    """Translate lines of text.

    n lines in, n lines out, in the same order and in constant memory. In a terminal it asks for
    lines until Ctrl-D.
    """
    searching.check()
    penalties.check()
    sampled.check(searching, penalties)
    running.check()
    written.check(model, source, *wished.files)
    format_ = written.format_of(sampled)
    wished.check(source)
    translator = running.load_all(model)
    options = options_of(translator.search_options, searching, penalties, sampled, lengths)
    attends = bool(written.alignments or written.attention)
    if attends or (format_ == "jsonl" and translator.has_attention):
        options = replace(options, attention=True)
    asks = source == written.output == lines.STANDARD and interactive.at_a_terminal()
    read: deque[str] = deque()
    at_once = asks or running.batch_size == 1
    found = translator.stream(
        _kept(interactive.prompted_lines() if asks else lines.read_lines(source), read),
        options=options,
        n_best=written.n_best,
        batch_size=1 if asks else running.batch_size or 64,
        wishes=read_wishes(wished.constraints, wished.prefix),
        mbr=sampled.mbr,
        long=lengths.long,
        details=attends or format_ == "jsonl",
    )
    opened = writing(
        written.output, format_, written.alignments, written.attention, at_once=at_once
    )
    with opened as write:
        if written.output != lines.STANDARD:  # else the translations themselves are to be seen
            found = with_progress(found, lines.count_lines(source))
        for several in found:
            write(read.popleft(), several)


def _kept(source: Iterable[str], read: deque[str]) -> Iterator[str]:
    """Keeps the lines that are under way, since what is written may quote them."""
    for line in source:
        read.append(line)
        yield line


def with_progress(found: Iterable[T], total: int | None, task: str = "translating") -> Iterator[T]:
    """Shows how many lines are done.

    Args:
        found: What is found for each line.
        total: How many lines there are, if anyone knows.
        task: What is done with them.

    Yields:
        What was found.
    """
    with console.progress() as progress:
        progress.start(task, total)
        for one in found:
            yield one
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
