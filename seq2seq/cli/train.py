"""``seq2seq train``: turns a prepared corpus into a model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seq2seq.cli import INTERRUPTED, console
from seq2seq.cli.options import Corpus, Settings, TrainingThreads, Val, flag, option, with_val
from seq2seq.errors import number_of

if TYPE_CHECKING:
    from seq2seq.training.state import TrainingResult

EXAMPLE = console.example(
    "seq2seq train train.en train.de -o runs/mine",
    "seq2seq train quickstart --data data/quickstart -o runs/quickstart",
    "seq2seq train domain.toml --init-from runs/general -o runs/domain",
)


def train(
    recipe: Corpus,
    data: Annotated[
        Path | None,
        option("FOLDER", "A prepared folder.  [default: prepare first, inside the run's folder]"),
    ] = None,
    output: Annotated[
        Path | None,
        option("FOLDER", "The run's folder.  [default: runs/NAME]", "-o", "--output"),
    ] = None,
    val: Val = None,
    assignments: Settings = None,
    threads: TrainingThreads = None,
    tensorboard: Annotated[
        bool,
        flag(
            "--tensorboard",
            "Also write TensorBoard logs; the same as --set training.tensorboard=true.",
        ),
    ] = False,
    deterministic: Annotated[
        bool,
        flag(
            "--deterministic",
            "Use only algorithms of torch that give the same bits every time, and refuse to "
            "resume a run where the bits could differ.",
        ),
    ] = False,
    changed_data: Annotated[
        bool,
        flag(
            "--changed-data",
            "Resume although the corpus has changed since: with the data as it was prepared, "
            "or, if it is a stream, with the files as they are now.",
        ),
    ] = False,
    init_from: Annotated[
        Path | None,
        option(
            "RUN",
            "Fine-tune: start from the weights and the tokenizer of a run or model, and "
            "measure how much is forgotten.",
        ),
    ] = None,
    old_val: Annotated[
        tuple[Path, Path] | None,
        option(
            "SOURCE TARGET",
            "With --init-from: the two files on which forgetting is measured.  [default: "
            "RUN's own validation set]",
        ),
    ] = None,
) -> None:
    """Train a model, or resume its training.

    Ctrl-C saves and stops; the same command resumes from there. A run that was killed resumes from
    its last checkpoint. To train with several processes, start them with torchrun:
    torchrun --nproc-per-node N -m seq2seq train ...
    """
    import seq2seq

    logs = ["training.tensorboard=true"] if tensorboard else []
    with console.reported_once():
        read = seq2seq.load_recipe(recipe, [*with_val(assignments, val), *logs], folder=output)
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
    if console.is_first_process():
        for line in _summary(result):
            console.show(line)
    elif not result.finished:
        console.wait_for_first_process()
    if not result.finished:
        raise typer.Exit(INTERRUPTED)


_NOT_BETTER = (
    "  no update was better on the new validation set: the model is as it was; give the old pairs "
    "in data.train too, or another training.learning_rate"
)


def _summary(result: TrainingResult) -> list[str]:
    """What to know at the end, and what to do next."""
    minutes, seconds = divmod(round(result.seconds), 60)
    done = f"{number_of(result.updates, 'update')} in {minutes} min {seconds:02d} s"
    lines = [
        f"finished ({result.stopped}): {done}"
        if result.finished
        else f"{result.stopped} after {done}"  # how to resume was said where it was saved
    ]
    if result.skipped:
        skipped = number_of(result.skipped, "update was", "updates were")
        lines.append(f"{skipped} skipped, because loss or gradient was not a finite number")
    if result.rollbacks:
        lines.append(
            f"{number_of(result.rollbacks, 'time', 'times')} training went back to earlier weights "
            "and halved the learning rate"
        )
    if result.halved:
        lines.append(
            f"{number_of(result.halved, 'batch was', 'batches were')} split in two to fit "
            "into memory"
        )
    if result.best:
        scores = [
            f"{label} {result.best[key]:.{digits}f}"
            for key, label, digits in _figures(result)
            if result.best.get(key) is not None
        ]
        lines.append(f"best validation: {', '.join(scores)} at update {result.best['update']:,}")
        if result.start:
            lines += _changed(result, result.start, result.best)
            if result.finished and result.updates and not result.best["update"]:
                lines.append(_NOT_BETTER)
    run = shlex.quote(str(result.run))
    if result.finished and result.problem:
        solved = (result.best or {}).get("solved")
        if solved is not None:
            lines.append(f"{result.problem}: {'solved' if solved else 'not solved'}")
        lines.append(f"the model is in {run}; its page is {run}/report.html")
    elif result.finished:
        lines += [
            f"the model is in {result.run}; next:",
            f"  seq2seq translate {run} INPUT -o OUTPUT",
            f"  seq2seq evaluate {run} SOURCE REFERENCE",
        ]
    return lines


def _figures(result: TrainingResult) -> list[tuple[str, str, int]]:
    """What a validation's record has: key, name for people, and digits."""
    metrics = ((key, label, result.digits.get(key, 2)) for key, label in result.labels.items())
    return [*metrics, ("loss", "loss", 4 if result.problem else 3)]


def _changed(result: TrainingResult, start: dict[str, Any], best: dict[str, Any]) -> list[str]:
    """What fine-tuning did to both validation sets: before the first update, and at the best."""
    sets = {"new": (start, best), "old": (start.get("old"), best.get("old"))}
    lines = []
    for name, (before, now) in sets.items():
        if not (before and now):
            continue
        changes = [
            f"{label} {before[key]:.{digits}f} -> {now[key]:.{digits}f}"
            for key, label, digits in _figures(result)
            if before.get(key) is not None and now.get(key) is not None
        ]
        lines.append(f"  {name} validation set: {', '.join(changes)}")
    return lines
