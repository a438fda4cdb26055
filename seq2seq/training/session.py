"""A session of training: from a call of ``train`` to the end or a signal."""

from __future__ import annotations

import json
import math
import shlex
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from seq2seq.data import Progress
from seq2seq.data.dataset import PreparedData
from seq2seq.data.problems import problem_of
from seq2seq.errors import DataError, ModelError, RecipeError, Seq2SeqError
from seq2seq.metrics import check_tokenizer
from seq2seq.recipe import Recipe
from seq2seq.recipe.base import left_out
from seq2seq.recipe.files import recipe_from_toml, recipe_to_toml
from seq2seq.storage.atomic import remove
from seq2seq.storage.layout import DATA, RECIPE
from seq2seq.tasks import Task, labels_of, task_for
from seq2seq.tasks.translation import BLEU, fitting_tokenizer
from seq2seq.training.batches import Batches
from seq2seq.training.batches.prepared import PreparedBatches
from seq2seq.training.batches.streamed import StreamedBatches
from seq2seq.training.defaults import (
    filled,
    kept,
    with_length,
    with_problem_length,
    with_problem_sizes,
    with_sizes,
)
from seq2seq.training.distributed import ProcessGroup
from seq2seq.training.distributed.torch_group import check_same, process_group
from seq2seq.training.evaluation import Evaluator
from seq2seq.training.finetuning import Begin, FineTuning, fine_tuning
from seq2seq.training.monitoring import Monitor, Silent, default_monitor
from seq2seq.training.monitoring.session_log import Page, check_installed
from seq2seq.training.precision import bound_primitive_cache, enough_threads, same_bits
from seq2seq.training.run import RunFolder, stored_recipe
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
    """Trains a model, or goes on where an earlier call was stopped; see ``api.train``.

    With ``changed_data`` it goes on with what was prepared, where the corpus has changed since.
    """
    bound_primitive_cache()
    _check_given(recipe, data, begin or Begin())
    if recipe.training.tensorboard:
        check_installed()
    with process_group() as group, same_bits(deterministic):
        recipe, tuning = _resolved(recipe, run, begin or Begin(), data, group)
        _check_tokenizer(recipe)
        with RunFolder(run, recipe) if group.rank == 0 else nullcontext() as folder:
            changed: list[str] = []
            with group.rank_0_first():
                if folder is not None:
                    prepared, changed = _prepared(
                        recipe, folder, data, tuning, changed_data, progress
                    )
                else:
                    prepared = task_for(recipe).open(data or run / DATA)
            check_same(group, prepared)
            recipe = completed(recipe, prepared, fine_tuned=tuning is not None)
            recipe = _with_tokenizer(recipe, prepared, group)
            if folder is not None:
                folder.recipe = recipe
                folder.claim(prepared, None if tuning is None else tuning.record)
            if tuning is not None:
                tuning.share_old(group)
            monitor = (monitor or default_monitor()) if group.rank == 0 else Silent()
            try:
                with enough_threads(threads, recipe, group.device) as note:
                    if note:
                        monitor.say(note)
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
    batches = batches_for(prepared, recipe, updater.task, group)
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
        recorded: AbstractContextManager[None] = nullcontext()
        if run is not None:
            recorded = run.log.session(recipe, lambda: trainer.state, stop, run.environment)
        with recorded:
            if run is not None and not trainer.state.stopped:
                run.note_changed_data(changed, trainer.state.update)
            trainer.train(stop)
    result = TrainingResult.of(path, trainer.state, labels_of(updater.task), stop.by)
    digits = {one.key: one.digits for one in updater.task.metrics}
    return replace(result, digits=digits, problem=recipe.data.problem or "")


def _check_given(recipe: Recipe, data: Path | None, begin: Begin) -> None:
    """Refuses what is of no use where the recipe is for a problem."""
    given = {"--data": data, "--init-from": begin.folder, "--old-val": begin.old_val}
    named = [name for name, value in given.items() if value is not None]
    if recipe.data.kind is not None and named:
        raise DataError(
            f"{' and '.join(named)}: for pairs of texts, and data.kind = 'problem' draws sequences "
            f"of the problem {recipe.data.problem!r}: leave it out"
        )


def completed(recipe: Recipe, prepared: PreparedData, *, fine_tuned: bool) -> Recipe:
    """The recipe with what it leaves out, chosen by the amount of data."""
    if recipe.data.kind is not None:
        recipe = with_problem_sizes(recipe, problem_of(recipe.data).steps)
        batches = PreparedBatches(prepared, recipe, task_for(recipe).collate)
        return with_problem_length(recipe, batches.per_epoch())
    streamed = prepared.stored is None
    pairs = math.inf if streamed else len(prepared.train)
    recipe = with_sizes(recipe, pairs, fine_tuned=fine_tuned)
    updates = None
    if not streamed:
        updates = PreparedBatches(prepared, recipe, task_for(recipe).collate).per_epoch()
    return with_length(recipe, pairs, updates, fine_tuned=fine_tuned)


def _with_tokenizer(recipe: Recipe, prepared: PreparedData, group: ProcessGroup) -> Recipe:
    """The recipe with rank 0's choice of BLEU's tokenizer: not every machine may have them all."""
    if "tokenize" not in left_out(recipe.training.validation) or BLEU not in labels_of(
        task_for(recipe)
    ):
        return recipe
    fitting = fitting_tokenizer(recipe, prepared.val).name if group.rank == 0 else ""
    name = group.broadcast_bytes(fitting.encode()).decode()
    recipe = filled(recipe, {"training": {"validation": {"tokenize": name}}})
    _check_tokenizer(recipe)
    return recipe


def _check_tokenizer(recipe: Recipe) -> None:
    """Says that BLEU's tokenizer is not there before training begins, not at a validation."""
    validation = recipe.training.validation
    if not validation.bleu:
        return
    try:
        check_tokenizer(validation.tokenize)
    except Seq2SeqError as error:
        raise RecipeError(recipe.name, [f"training.validation.{error}"]) from error


def batches_for(prepared: PreparedData, recipe: Recipe, task: Task, group: ProcessGroup) -> Batches:
    """The batches that a recipe asks for; all processes of a group ask for them together."""
    if recipe.data.stream is None:
        return PreparedBatches(prepared, recipe, task.collate, group.share)
    return StreamedBatches(prepared, recipe, task.collate, group.share, group.exchange())


def _resolved(
    recipe: Recipe, run: Path, begin: Begin, data: Path | None, group: ProcessGroup
) -> tuple[Recipe, FineTuning | None]:
    """Rank 0's recipe, completed from the model to be fine-tuned, and what is known of that."""
    tuning = None
    if group.rank == 0:
        if (stored := stored_recipe(run)) is not None:
            recipe = kept(recipe, stored)
        recipe, tuning = fine_tuning(recipe, run, begin, data)
    about = json.dumps([recipe_to_toml(recipe), tuning is not None])
    text, tuned = json.loads(group.broadcast_bytes(about.encode()))
    if group.rank == 0:
        return recipe, tuning
    return recipe_from_toml(text, "of process 0"), FineTuning({}, Begin()) if tuned else None


def _prepared(
    recipe: Recipe,
    folder: RunFolder,
    data: Path | None,
    tuning: FineTuning | None,
    changed_data: bool,
    progress: Progress | None,
) -> tuple[PreparedData, list[str]]:
    """The data, which fits the recipe, and the files of its corpus that have changed since.

    A run that has prepared its own goes on with it, whatever became of the files.
    """
    task, own = task_for(recipe), folder.path / DATA
    if data is not None:
        prepared = task.open(data)
    elif folder.begun and own.is_dir():
        prepared = task.open(own)
    else:
        prepared = task.prepare(own, progress=progress)
        try:
            folder.check_data(prepared, "the recipe names")
        except ModelError:
            remove(own)
            raise
    if tuning is not None:
        tuning.check_tokenizer(prepared)
    if data is None:
        again = shlex.join(["seq2seq", "train", str(folder.path / RECIPE), "-o", str(folder.path)])
        prepared.check_fits(recipe, f"give -o a new folder, or go on with this run: {again}")
    else:
        prepared.check_fits(recipe)
    changed = prepared.changed_inputs(recipe)
    if changed and not changed_data:
        raise prepared.changed_error(changed)
    if tuning is not None:
        tuning.find_old(folder.path, prepared)
    return prepared, changed
