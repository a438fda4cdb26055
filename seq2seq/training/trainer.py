"""The training loop.

Everything random in an update is a function of (seed, update), everything random in the order of
the data a function of (seed, epoch). So a run that was killed and resumed from its last checkpoint
goes through the same numbers, bit for bit, as one that never was.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from seq2seq.data.batching import Ints
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.data.progress import Progress
from seq2seq.errors import DataError, TrainingError, is_out_of_memory
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import recipe_from_toml, recipe_to_toml
from seq2seq.tasks import PaddedBatch
from seq2seq.training.batches.prepared import Work
from seq2seq.training.distributed.absent_folder import AbsentFolder
from seq2seq.training.distributed.group import ProcessGroup
from seq2seq.training.distributed.torch_group import check_same, process_group
from seq2seq.training.finetuning.start import Begin, FineTuning, fine_tuning
from seq2seq.training.monitoring.metrics import Interval, Movement
from seq2seq.training.monitoring.monitor import Monitor, Silent, Step, default_monitor
from seq2seq.training.monitoring.session_log import Page
from seq2seq.training.monitoring.tensorboard import check_installed
from seq2seq.training.precision import bound_primitive_cache, give_back_memory, same_bits
from seq2seq.training.run.folder import RunFolder
from seq2seq.training.seeds import DROPOUT, mixed
from seq2seq.training.session import CURVES, Session
from seq2seq.training.signals import Interrupted
from seq2seq.training.state import TrainingResult
from seq2seq.training.updater import Gradient, TooLargeError

__all__ = ["Trainer", "TrainingResult", "train"]

_LESS = "a lower training.batch_tokens or a smaller model needs less"
LOG_EVERY = 20  # updates a record of metrics.jsonl
TIDY_EVERY = 100  # updates; it takes a fifth of a second


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
        recipe, tuning = _begun(recipe, run, begin or Begin(), data, group)
        with _opened(run, recipe, group) as folder:
            with group.rank_0_first():
                prepared = _prepared(recipe, folder, data, progress, group)
                changed: list[str] = []
                if group.rank == 0:
                    changed = _checked(prepared, recipe, tuning, folder, changed_data)
            check_same(group, prepared)
            folder.claim(prepared, None if tuning is None else tuning.record)
            monitor = (monitor or default_monitor()) if group.rank == 0 else Silent()
            try:
                trainer = Trainer(recipe, prepared, folder, monitor, page, tuning, group)
                trainer.resume()
                with group.stop_on_signals() as stop, trainer.recorded(stop):
                    trainer.note_changed(changed)
                    trainer.run()
            finally:
                monitor.close()
            result = trainer.result()
            del trainer  # and with it what holds the processes' group, before that is taken down
            return result


def _begun(
    recipe: Recipe, run: Path, begin: Begin, data: Path | None, group: ProcessGroup
) -> tuple[Recipe, FineTuning | None]:
    """The leader's recipe, made to fit the weights to begin with, and, for the leader, those."""
    tuning = None
    if group.rank == 0:
        recipe, tuning = fine_tuning(recipe, run, begin, data)
    told = group.all_gather_text(json.dumps([recipe_to_toml(recipe), tuning is not None]))[0]
    if group.rank == 0:
        return recipe, tuning
    text, tuned = json.loads(told)
    return recipe_from_toml(text, "of process 0"), FineTuning({}, Begin()) if tuned else None


def _opened(run: Path, recipe: Recipe, group: ProcessGroup) -> RunFolder:
    return RunFolder(run, recipe) if group.rank == 0 else AbsentFolder(run, recipe)


def _prepared(
    recipe: Recipe,
    folder: RunFolder,
    data: Path | None,
    progress: Progress | None,
    group: ProcessGroup,
) -> PreparedData:
    """The data; a run that has prepared its own goes on with it, whatever became of the files."""
    own = folder.path / "data"
    if data is not None:
        return PreparedData.open(data)
    if (folder.begun and own.is_dir()) or group.rank != 0:
        return PreparedData.open(own)
    return prepare(recipe, own, progress=progress)


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


class Trainer(Session):
    """A session with its updates: the order of the data, and what each batch does.

    The constructor is the session's.
    """

    def run(self) -> None:
        """Trains until the recipe's end, early stopping, or a signal.

        Raises:
            TrainingError: If the numbers stay wrong, or memory does not suffice.
        """
        if self.state.stopped:
            self.monitor.say(f"this run is finished: {self.state.stopped}")
            if not (self.folder.path / CURVES).is_file():  # killed right before they were drawn
                self.plot()
            return
        self._begun = (self.progress(), self.state.seconds)
        self._log = Interval()
        self.clock = time.monotonic()
        try:
            self._run()
        except Interrupted:
            pass  # what was dropped is done again by the session that goes on
        except Exception as error:
            if is_out_of_memory(error):
                raise TrainingError(self.stopped("out of memory", _LESS)) from error
            raise
        if not self.state.stopped:
            self.tick()
            self.save()
            done = f"{self.stop.by}: saved at update {self.state.update}"
            self.monitor.say(f"{done}; run again to go on")
        self.plot()

    def _run(self) -> None:
        if long := self.feed.left_out():
            self.monitor.say(
                f"{long:,} of {len(self.feed):,} training pairs have more than "
                f"{self.options.max_pieces} pieces on a side (training.max_pieces): left out"
            )
        if note := self.group.describe(torch.get_num_threads()):
            self.monitor.say(note)
        with self.group.interruptible_together():
            self._rehearse()
        if self.validation_due():  # the session before was stopped in it
            self.milestone()
        works = self.feed.works(self.state.place)
        with closing(works):
            while not (self.stop or self.ended()):
                self._update(self._next(works))
                if self.state.update % TIDY_EVERY == 0:
                    give_back_memory()
                self.milestone()
        if self.ended():
            self.finish()

    def _rehearse(self) -> None:
        """Tries the largest batches first: better now than after an hour."""
        for batch, pairs in self.feed.largest():
            try:
                halved = self.learner.rehearse(pairs)
            except TooLargeError as error:
                raise self._too_large(batch, error) from error
            if halved:
                self.monitor.say(
                    f"warning: the largest batches ({len(batch):,} pairs of up to "
                    f"{pairs.width:,} pieces) do not "
                    f"fit into memory, and are taken in {halved + 1} parts: slower, but the same "
                    "gradient; a lower training.batch_tokens needs less"
                )

    def _next(self, works: Iterator[Work]) -> Work:
        """What is learned from next; all that was learned is kept where it cannot be read."""
        try:
            with self.group.interruptible_if_alone():
                return next(works)
        except DataError:
            if self.state.update and not self.state.skipped_in_row:
                self.save()
                self.monitor.say(f"saved at update {self.state.update}: run again to go on")
            raise

    def _update(self, work: Work) -> None:
        """One update of the weights, skipped if loss or gradient is not finite."""
        state = self.state
        with self.group.interruptible_if_alone():
            try:
                seed = mixed(self.recipe.seed, DROPOUT, state.update, self.group.rank)
                gradient = self.learner.gradient(work.pairs, seed)
            except TooLargeError as error:
                raise self._too_large(work.own[error.batch], error) from error
        rate = self.rate()
        state.update, state.place = state.update + 1, work.place
        state.tokens += gradient.tokens
        state.validated = False
        if work.notes is not None:
            self.folder.journal.append({"kind": "buffer", "update": state.update, **work.notes})
        if gradient.halved and not state.halved:
            self.monitor.say(
                f"warning: out of memory at update {state.update}: batches that do not fit are "
                "halved and tried again; a lower training.batch_tokens needs less"
            )
        state.halved += gradient.halved
        ratios: dict[str, float] = {}
        if gradient.finite:
            state.skipped_in_row = 0
            moved = Movement(self.learner.model) if self._logged() else None
            self.learner.step(rate, state.update)
            ratios = moved.ratios() if moved else {}
        self._tell(gradient, work.pairs, rate, ratios)
        if not gradient.finite:
            self._skip(gradient, work.batches)

    def _skip(self, gradient: Gradient, batches: list[Ints]) -> None:
        """Counts an update without a step; after some in a row back, once, and then no further."""
        state = self.state
        state.skipped += 1
        state.skipped_in_row += 1
        lines = self.feed.lines(np.concatenate(batches))
        figures = {"loss": gradient.loss, "gradient_norm": gradient.norm}
        self.folder.journal.append(
            {"kind": "skipped", "update": state.update, **figures, **lines.record()}
        )
        self.monitor.say(
            f"warning: update {state.update} skipped: loss {gradient.loss:.3g}, "
            f"gradient norm {gradient.norm:.3g}"
        )
        if state.skipped_in_row < self.options.max_bad_updates:
            return
        if not state.rollbacks:
            self.go_back()
            return
        why = (
            f"{state.skipped_in_row} updates in a row had a loss or gradient that is not finite, "
            "as some had before training went back to half the learning rate; the last batch is "
            f"{lines.told()} ({self.folder.journal.path} has those of all skipped updates)"
        )
        raise TrainingError(
            self.stopped(
                why,
                "look at those lines; in a new run a lower training.learning_rate, a longer "
                "warm-up or a lower training.clip_norm may help",
            )
        )

    def _too_large(self, batch: Ints, error: TooLargeError) -> TrainingError:
        pair = batch[[error.row]]
        source, target = self.feed.sizes(int(pair[0]))
        line = self.feed.lines(pair).told()
        why = f"out of memory: even one pair does not fit, {line} ({source} and {target} pieces)"
        advice = "a lower training.max_pieces leaves such pairs out, a smaller model needs less"
        return TrainingError(self.stopped(why, advice))

    def _logged(self) -> bool:
        return self.state.update % LOG_EVERY == 0

    def _tell(
        self,
        gradient: Gradient,
        pairs: list[PaddedBatch],
        rate: float,
        ratios: dict[str, float],
    ) -> None:
        """Shows the update, and writes a record for every few."""
        nll = gradient.nll if gradient.finite else math.nan
        self._log.add(nll, gradient.tokens, pairs, self.tick())
        begun, seconds = self._begun
        done = self.progress() - begun
        spent = self.state.seconds - seconds
        left = spent * (1 - self.progress()) / done if done > 0 else math.inf
        step = Step(
            update=self.state.update,
            epoch=self.state.place.epoch + self.epoch_share(),
            progress=self.progress(),
            loss=self._log.loss,
            tokens_per_second=self._log.speed,
            learning_rate=rate,
            gradient_norm=gradient.norm,
            remaining=left,
            padding=self._log.padding,
            skipped=self.state.skipped,
            halved=self.state.halved,
            memory=gradient.memory,
            gpu_memory=gradient.gpu_memory,
            update_ratio=ratios,
            unit=self.feed.unit,
        )
        self.monitor.step(step)
        if self._logged():
            self.folder.journal.append(step.record())
            self._log = Interval()
