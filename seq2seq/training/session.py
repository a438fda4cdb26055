"""A session of training: from a call of ``train`` to the end or a signal."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import torch

from seq2seq.data import Progress
from seq2seq.data.dataset import PreparedData
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import recipe_from_toml, recipe_to_toml
from seq2seq.storage.layout import DATA
from seq2seq.tasks import task_for
from seq2seq.training.batches.choice import batches_for
from seq2seq.training.distributed.group import ProcessGroup
from seq2seq.training.distributed.torch_group import check_same, process_group
from seq2seq.training.evaluation import Evaluator
from seq2seq.training.finetuning.start import Begin, FineTuning, fine_tuning
from seq2seq.training.monitoring.monitor import Monitor, Silent, default_monitor
from seq2seq.training.monitoring.session_log import Page
from seq2seq.training.monitoring.tensorboard import check_installed
from seq2seq.training.precision import bound_primitive_cache, same_bits
from seq2seq.training.run.folder import RunFolder
from seq2seq.training.run.writer import RunWriter
from seq2seq.training.state import TrainingResult
from seq2seq.training.trainer import Trainer
from seq2seq.training.updater import Updater


def train(
    recipe: Recipe,
    run: Path,
    *,
    data: Path | None = None,
    threads: int | None = None,
    deterministic: bool = False,
    changed_data: bool = False,
    begin: Begin | None = None,
    monitor: Monitor | None = None,
    progress: Progress | None = None,
    page: Page | None = None,
) -> TrainingResult:
    """Trains a model, or goes on where an earlier call was stopped.

    Args:
        recipe: The recipe.
        run: The run's folder.
        data: A prepared folder; None: the recipe's data is prepared into ``run/data`` first.
        threads: Processor threads; None: torch's own choice.
        deterministic: Whether torch is held to algorithms that give the same bits each time, and a
            run is not gone on with where the bits could differ.
        changed_data: Whether to go on with what was prepared, where the corpus has changed since.
        begin: The model that training begins with; None: it begins with nothing.
        monitor: Told of progress; None: a progress bar in a terminal, plain lines elsewhere.
        progress: Told how far preparing is; None: nobody.
        page: Makes the run's page, after validations and at the end; None: there is none.

    Returns:
        How it ended.

    Raises:
        RecipeError: If the recipe cannot be built.
        DataError: If the data cannot be used or does not fit the recipe.
        ModelError: If the folder holds something else, or no checkpoint can be read.
        TrainingError: If the numbers went wrong for too long.
        MissingExtraError: If TensorBoard is wanted and not installed.
    """
    bound_primitive_cache()
    if recipe.training.tensorboard:
        check_installed()
    if threads is not None:
        torch.set_num_threads(threads)
    with process_group() as group, same_bits(deterministic):
        recipe, tuning = _resolved(recipe, run, begin or Begin(), data, group)
        with RunFolder(run, recipe) if group.rank == 0 else nullcontext() as folder:
            changed: list[str] = []
            with group.rank_0_first():
                if folder is not None:
                    prepared = _prepared(recipe, folder, data, progress)
                    changed = _checked(prepared, recipe, tuning, folder, changed_data)
                else:
                    prepared = task_for(recipe).open(data or run / DATA)
            check_same(group, prepared)
            if folder is not None:
                folder.claim(prepared, None if tuning is None else tuning.record)
            if tuning is not None:
                tuning.share_old(group)
            monitor = (monitor or default_monitor()) if group.rank == 0 else Silent()
            try:
                return _trained(
                    recipe, run, prepared, folder, tuning, group, monitor, page, changed
                )
            finally:
                monitor.close()


def _trained(
    recipe: Recipe,
    path: Path,
    prepared: PreparedData,
    folder: RunFolder | None,
    tuning: FineTuning | None,
    group: ProcessGroup,
    monitor: Monitor,
    page: Page | None,
    changed: list[str],
) -> TrainingResult:
    """Puts a trainer together and lets it train."""
    updater = Updater(recipe, prepared.tokenizers, group)
    batches = batches_for(prepared, recipe, updater.task, group.share)
    monitor.unit = batches.unit
    evaluator = Evaluator(updater.task, recipe, prepared.tokenizers, updater.precision, group)
    run = None
    if folder is not None:
        run = RunWriter(folder, prepared, tuning, evaluator, updater, monitor, page)
    trainer = Trainer(
        recipe,
        prepared,
        path,
        run=run,
        updater=updater,
        batches=batches,
        evaluator=evaluator,
        monitor=monitor,
        group=group,
        tuning=tuning,
    )
    trainer.resume()
    with group.stop_on_signals() as stop:
        recorded = nullcontext() if run is None else run.recorded(lambda: trainer.state, stop)
        with recorded:
            if run is not None and not trainer.state.stopped:
                run.note_changed_data(changed, trainer.state.update)
            trainer.train(stop)
    return TrainingResult.of(path, trainer.state)


def _resolved(
    recipe: Recipe, run: Path, begin: Begin, data: Path | None, group: ProcessGroup
) -> tuple[Recipe, FineTuning | None]:
    """Rank 0's recipe, made to fit the weights to begin with, and what is known of those."""
    tuning = None
    if group.rank == 0:
        recipe, tuning = fine_tuning(recipe, run, begin, data)
    about = json.dumps([recipe_to_toml(recipe), tuning is not None])
    text, tuned = json.loads(group.broadcast_bytes(about.encode()))
    if group.rank == 0:
        return recipe, tuning
    return recipe_from_toml(text, "of process 0"), FineTuning({}, Begin()) if tuned else None


def _prepared(
    recipe: Recipe, folder: RunFolder, data: Path | None, progress: Progress | None
) -> PreparedData:
    """The data; a run that has prepared its own goes on with it, whatever became of the files."""
    task = task_for(recipe)
    if data is not None:
        return task.open(data)
    own = folder.path / DATA
    if folder.begun and own.is_dir():
        return task.open(own)
    return task.prepare(own, progress=progress)


def _checked(
    prepared: PreparedData,
    recipe: Recipe,
    tuning: FineTuning | None,
    folder: RunFolder,
    changed_data: bool,
) -> list[str]:
    """Makes sure that the data fits; the files of the corpus that have changed since."""
    if tuning is not None:
        tuning.check_tokenizer(prepared)
    prepared.check_fits(recipe)
    changed = prepared.changed_inputs(recipe)
    if changed and not changed_data:
        raise prepared.changed_error(changed)
    if tuning is not None:
        tuning.find_old(folder.path, prepared)
    return changed
