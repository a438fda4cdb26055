"""``seq2seq train``: a prepared corpus becomes a model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq.cli import console
from seq2seq.cli.recipe import RecipeName, Settings

if TYPE_CHECKING:
    from seq2seq.training.trainer import TrainingResult

EXAMPLE = console.example(
    "seq2seq train quickstart --data data/quickstart -o runs/quickstart",
    "seq2seq train domain.toml --init-from runs/general -o runs/domain",
)


def train(
    recipe: RecipeName,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", help="A prepared folder.  [default: prepare into the run first]"
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="The run's folder.  [default: runs/NAME]"
        ),
    ] = None,
    assignments: Settings = None,
    threads: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Use N processor threads.  [default: all cores]"),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard", help="Write for TensorBoard too, as training.tensorboard=true does."
        ),
    ] = False,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic",
            help="Hold torch to algorithms that give the same bits each time, and go on with a run "
            "only where they will be the same.",
        ),
    ] = False,
    changed_data: Annotated[
        bool,
        typer.Option(
            "--changed-data",
            help="Train on though the corpus has changed since: with what was prepared, or, if it "
            "is a stream, with what is there now.",
        ),
    ] = False,
    init_from: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="Fine-tune: begin with the weights and the tokenizer of a run or model, and "
            "measure what is forgotten.",
        ),
    ] = None,
    old_val: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            metavar="SOURCE TARGET",
            help="With --init-from: two files of what RUN was good at.  [default: RUN's own "
            "validation set]",
        ),
    ] = None,
) -> None:
    """Train a model, or go on training it.

    A run that was stopped goes on from its last checkpoint. Ctrl-C saves and stops; the same
    command goes on. Several processes train together where torchrun starts them:
    torchrun --nproc-per-node N -m seq2seq train ...
    """
    import seq2seq

    wished = ["training.tensorboard=true"] if tensorboard else []
    with console.told_by_one():
        read = seq2seq.load_recipe(recipe, [*(assignments or ()), *wished])
    with console.progress() as progress:
        result = seq2seq.train(
            read,
            output,
            data=data,
            threads=threads,
            deterministic=deterministic,
            changed_data=changed_data,
            init_from=init_from,
            old_val=old_val,
            progress=progress,
        )
    if console.first_process():
        for line in _summary(result):
            console.show(line)
    elif not result.finished:
        console.let_the_first_tell()
    if not result.finished:
        raise typer.Exit(console.INTERRUPTED)


def _summary(result: TrainingResult) -> list[str]:
    """What to know at the end, and what to do next."""
    minutes, seconds = divmod(round(result.seconds), 60)
    done = f"{result.updates:,} updates in {minutes} min {seconds:02d} s"
    lines = [
        f"finished ({result.stopped}): {done}"
        if result.finished
        else f"{result.stopped} after {done}: the same command goes on from here"
    ]
    if result.skipped:
        lines.append(f"{result.skipped:,} updates were skipped: their numbers were not finite")
    if result.rollbacks:
        lines.append(
            f"went back {result.rollbacks} time{'s' * (result.rollbacks > 1)} to earlier weights, "
            "and on with half the learning rate"
        )
    if result.halved:
        lines.append(f"{result.halved:,} times a batch was halved: memory did not suffice")
    if result.best:
        bleu = result.best.get("bleu")
        scores = [f"loss {result.best['loss']:.3f}"]
        if bleu is not None:
            scores.insert(0, f"BLEU {bleu:.2f}")
        lines.append(f"best validation: {', '.join(scores)} at update {result.best['update']:,}")
        if result.start:
            lines += _changed(result.start, result.best)
    if result.finished:
        run = shlex.quote(str(result.run))
        lines += [
            f"the model: {result.run}; next:",
            f"  seq2seq translate {run} INPUT -o OUTPUT",
            f"  seq2seq evaluate {run} SOURCE REFERENCE",
        ]
    return lines


def _changed(start: dict[str, Any], best: dict[str, Any]) -> list[str]:
    """What fine-tuning has done to both validation sets: before the first update, and now."""
    sets = {"new": (start, best), "old": (start.get("old"), best.get("old"))}
    lines = []
    for name, (before, now) in sets.items():
        if not (before and now):
            continue
        told = [
            f"{label} {before[key]:.{digits}f} -> {now[key]:.{digits}f}"
            for label, key, digits in (("BLEU", "bleu", 2), ("loss", "loss", 3))
            if before[key] is not None and now[key] is not None
        ]
        lines.append(f"  {name} validation set: {', '.join(told)}")
    return lines
