"""``seq2seq inspect``: a look into a model at work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seq2seq.cli import console, files
from seq2seq.cli.options import Model, add_verb, argument, excludes, option, verb_style
from seq2seq.cli.search_options import Running
from seq2seq.errors import Seq2SeqError

if TYPE_CHECKING:
    from seq2seq.inference.results import ScoredTranslation
    from seq2seq.inference.translator import Translator

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


add_verb(app, "attention", attention, ATTENTION_EXAMPLE)
