"""``seq2seq distil``: teachers translate the training text, for a student to learn from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from seq2seq.cli import console, files
from seq2seq.cli.options import Model, argument, excludes, flag, needs, option
from seq2seq.cli.search_options import (
    Lengths,
    Penalties,
    RunningMany,
    Sampled,
    Searching,
    check_together,
    options_of,
)
from seq2seq.errors import number_of
from seq2seq.storage.layout import SYNTHETIC_PAIR

if TYPE_CHECKING:
    from seq2seq.inference.synthesis import Plan
    from seq2seq.search import SearchOptions

EXAMPLE = console.example(
    "seq2seq distil runs/a train.en train.de --with runs/b -o data/distilled",
    "seq2seq distil runs/a train.en train.de --choose bleu --beam 8 -o data/nearest",
)
Pairs = Annotated[Path, option("FOLDER", "The folder to create.", "-o", "--output")]


def distil(
    model: Model,
    searching: Searching,
    penalties: Penalties,
    sampled: Sampled,
    lengths: Lengths,
    running: RunningMany,
    source: Annotated[str, argument("SOURCE", "The source side of the training text.")],
    target: Annotated[str, argument("TARGET", "Its references, line by line.")],
    output: Pairs,
    choose: Annotated[
        str,
        option(
            "NAME",
            "Which of a line's translations is kept: the best, or the one nearest to the "
            "reference by sentence bleu or chrf.",
        ),
    ] = "best",
    n_best: Annotated[
        int | None,
        option(
            "N",
            "With --choose bleu or chrf: choose among the N best.  [default: the whole beam]",
            min=2,
        ),
    ] = None,
    keep_original: Annotated[
        bool, flag("--keep-original", "Let the pairs as they are follow the distilled ones.")
    ] = False,
) -> None:
    """Translate training text by its teachers, for a student.

    Teachers are MODEL and those of --with. The folder has source.txt, target.txt and
    synthetic.json. The same command goes on where it was stopped or killed.
    """
    from seq2seq.inference.synthesis import Distillation

    if choose != "best":
        excludes(sampled.mbr, "--mbr", choose, "--choose bleu or chrf")
    needs(n_best, "--n-best", None if choose == "best" else choose, "--choose bleu or chrf")
    excludes(n_best, "--n-best", sampled.sample, "--sample")
    plan = Distillation(source, target, choose, keep_original)
    several = None if choose == "best" else n_best or 0
    make(plan, output, model, (searching, penalties, sampled, lengths, running), several)
    val = _validation_set(model)
    words = ["seq2seq", "train", *pair_of(output), *(["--val", *val] if val else [])]
    console.show(f"  {shlex.join([*words, '-o', 'runs/student'])}")


Groups = tuple[Searching, Penalties, Sampled, Lengths, RunningMany]


def make(plan: Plan, output: Path, model: str, groups: Groups, n_best: int | None = None) -> None:
    """Makes the pairs, and tells of them; ``n_best``: how many are chosen among, 0: the beam."""
    from seq2seq.inference.request import make_request
    from seq2seq.inference.synthesis import check_plan, described, synthesize

    searching, penalties, sampled, lengths, running = groups
    check_together(searching, penalties, sampled, running)
    check_plan(plan, output)
    models = described(running.models(model))
    with running.loaded(model) as translator, console.progress() as progress:
        options = options_of(translator.search_options, searching, penalties, sampled, lengths)
        request = make_request(
            translator.search_options,
            translator.options,
            options=options,
            n_best=_several(options, n_best),
            batch_size=running.batch_size or 64,
            mbr=sampled.mbr,
            long=lengths.long,
        )
        try:
            made = synthesize(
                plan,
                output,
                translator,
                request,
                models=models,
                running=running.changing(),
                progress=progress,
                say=console.tell,
                warn=console.warn,
                replaced=files.warn_replaced,
            )
        except KeyboardInterrupt:
            console.tell("the same command goes on with what is translated already")
            raise
    console.show(f"{output}: {_counts(made)}; next:")


def _several(options: SearchOptions, n_best: int | None) -> int | None:
    if n_best is None or options.sampling is not None:
        return None
    return n_best or options.beam


def _counts(made: dict[str, Any]) -> str:
    words = [number_of(made["pairs"], "pair")]
    if original := made["pairs"] - made["translated"]:
        words.append(f"{original:,} of them as they were")
    if made["empty"]:
        words.append(number_of(made["empty"], "translation is empty", "translations are empty"))
    return ", ".join(words)


def pair_of(output: Path) -> list[str]:
    """The two files of a folder of pairs."""
    return [str(output / name) for name in SYNTHETIC_PAIR]


def _validation_set(model: str) -> tuple[str, str] | None:
    """The teacher's own: a student is to be measured by people's translations."""
    from seq2seq.inference.model_folder import ModelFolder
    from seq2seq.recipe.data import LinesSource

    val = ModelFolder.open(model).recipe.data.val
    if not isinstance(val, LinesSource) or val.encoding is not None:
        return None
    paths = val.source_path, val.target_path
    return paths if all(Path(path).is_file() for path in paths) else None
