"""A training from its first update to its end, top to bottom.

Everything random in an update is a function of (seed, update), everything random in the order of
the data a function of (seed, epoch). So a run that was killed and resumed from its last checkpoint
goes through the same numbers, bit for bit, as one that never was.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from seq2seq.data.batching import Ints
from seq2seq.data.dataset import PreparedData
from seq2seq.errors import DataError, ModelError, TrainingError, is_out_of_memory
from seq2seq.recipe import Recipe
from seq2seq.recipe.training import HessianFree, LastK, Ridge
from seq2seq.storage.layout import CHECKPOINTS, DATA, LAST, METRICS
from seq2seq.training.batches import Batches, UpdateBatches
from seq2seq.training.distributed import ProcessGroup
from seq2seq.training.evaluation import Evaluator, Forgetting, Validated
from seq2seq.training.finetuning import FineTuning
from seq2seq.training.forecast import Forecast
from seq2seq.training.monitoring import Monitor
from seq2seq.training.monitoring.gradients import GradientSamples
from seq2seq.training.monitoring.metrics import Figures
from seq2seq.training.optim import LossAndGradient
from seq2seq.training.precision import give_back_memory
from seq2seq.training.run.checkpoint import Checkpoint
from seq2seq.training.run.writer import RunWriter
from seq2seq.training.signals import Interrupted, StopRequest
from seq2seq.training.state import Plan, TrainingState
from seq2seq.training.updater import TooLargeError, Updater

RESUME = "run the same command again to resume"
_LESS = "a lower training.batch_tokens or a smaller model needs less"
LOG_EVERY = 20  # updates a record of metrics.jsonl
TIDY_EVERY = 100  # updates; it takes a fifth of a second


@dataclass(eq=False)
class Trainer:
    """Trains a model, in one of the processes that train together.

    All processes go through the same steps and take the same decisions; only rank 0 has a ``run``,
    and writes anything. ``path`` is the run's folder, for messages; ``tuning`` says where the first
    weights come from, None: from nothing.
    """

    recipe: Recipe
    prepared: PreparedData
    path: Path
    run: RunWriter | None
    updater: Updater
    batches: Batches
    evaluator: Evaluator
    monitor: Monitor
    group: ProcessGroup
    tuning: FineTuning | None = None

    def __post_init__(self) -> None:
        self.options = self.recipe.training
        self.plan = Plan(self.options, len(self.batches))
        self.state = TrainingState()
        learns = not isinstance(self.options.method, Ridge)
        every = self.options.gradients_every if learns else None
        self._gradients = GradientSamples(every, self.monitor.say)

    # -- from the start to the end ----------------------------------------------------------

    def train(self, stop: StopRequest) -> None:
        """Trains until the recipe's end, early stopping, or a signal.

        Raises ``TrainingError`` if the numbers stay wrong, or memory does not suffice.
        """
        if self.state.stopped:
            longer = ""
            if self.plan.is_passed(self.state):
                longer = f"; it has {self.state.update:,} updates, more than the recipe asks for"
            self.monitor.say(f"this run has already finished: {self.state.stopped}{longer}")
            if self.run is not None:
                self.run.plot(if_missing=True)  # the last session was killed right before
                self.run.log.page_if_missing()
            return
        words = self.evaluator.task.words
        self._figures = Figures(self.plan, self.state, self.batches.unit, words)
        try:
            self._train(stop)
        except Interrupted:
            pass  # the next session does again what was abandoned
        except Exception as error:
            if is_out_of_memory(error):
                raise TrainingError(self._failure("out of memory", _LESS)) from error
            raise
        if not self.state.stopped:
            self._figures.count_time()
            self._save()
            self.monitor.say(f"{stop.by}: saved at update {self.state.update}; {RESUME}")
        if self.run is not None:
            self.run.plot()

    def _train(self, stop: StopRequest) -> None:
        self._tell_plan()
        if long := self.batches.left_out():
            self.monitor.say(
                f"{long:,} of {len(self.batches):,} training pairs have more than "
                f"{self.options.max_pieces} pieces on a side (training.max_pieces): left out"
            )
        if note := self.group.describe(torch.get_num_threads()):
            self.monitor.say(note)
        with self.group.interruptible_together():
            self._rehearse()
        if self._validation_due():  # a signal interrupted the last session in it
            self._validate_or_save()
        updates = self.batches.updates(self.state.place)
        with closing(updates):
            while not (stop or self.plan.reason_to_stop(self.state)):
                self._update(self._next(updates))
                if self.state.update % TIDY_EVERY == 0:
                    give_back_memory()
                self._validate_or_save()
                self._figures.count_time()  # it is no part of the next update's speed
        if self.plan.reason_to_stop(self.state):
            if isinstance(self.options.average, LastK):
                self._try_mean(self.options.average.count)
            self.state.stopped = self.plan.reason_to_stop(self.state)
            self._save()

    def _tell_plan(self) -> None:
        """Says and records what is going to happen, at a run's beginning and where it changed."""
        if self.run is None or (self.state.update and not self.run.folder.changed):
            return
        if not self.state.update and self.prepared.folder == self.path / DATA:
            for line in self.prepared.report.drops():  # `prepare` would have shown them
                self.monitor.say(line)
        weights = sum(one.numel() for one in self.updater.model.parameters())
        per_epoch = self.batches.per_epoch()
        forecast = Forecast.of(self.recipe, self.prepared, per_epoch, weights)
        for line in forecast.lines(self.recipe, self.evaluator.task.words):
            self.monitor.say(line)
        ours = forecast.warnings(self.recipe, fine_tuned=self.tuning is not None)
        for problem in chain(self.prepared.report.warnings(), ours):
            self.monitor.say(f"warning: {problem}")
        self._record(kind="plan", update=self.state.update, **forecast.record())

    def _rehearse(self) -> None:
        """Tries the largest batches, so that memory runs out now and not after an hour."""
        words = self.updater.task.words
        for batch, pairs in self.batches.largest():
            try:
                halved = self.updater.rehearse(pairs)
            except TooLargeError as error:
                raise self._too_large(batch, error) from error
            if halved:
                self.monitor.say(
                    f"warning: the largest batches ({len(batch):,} {words.row}s of up to "
                    f"{pairs.width:,} {words.step}s) do not "
                    f"fit into memory, and are taken in {halved + 1} parts: slower, but the same "
                    "gradient; a lower training.batch_tokens needs less"
                )

    def _next(self, updates: Iterator[UpdateBatches]) -> UpdateBatches:
        """The next batches; where they cannot be read, all that was learned is saved."""
        try:
            with self.group.interruptible_if_alone():
                return next(updates)
        except DataError:
            if self.state.update and not self.state.skipped_in_row:
                self._save()
                self.monitor.say(f"saved at update {self.state.update}; {RESUME}")
            raise

    # -- an update --------------------------------------------------------------------------

    def _update(self, work: UpdateBatches) -> None:
        """One update of the weights, skipped if loss or gradient is not finite."""
        state = self.state
        rate, number = self.plan.rate(state), state.update + 1
        measured = number % LOG_EVERY == 0
        try:
            update = self.updater.update(work.batches, number, rate, measured=measured)
        except TooLargeError as error:
            raise self._too_large(work.own_indices[error.batch], error) from error
        found = update.found
        state.update, state.place = number, work.place
        state.tokens += found.tokens
        state.validated = False
        if work.notes is not None:
            self._record(kind="buffer", update=number, **work.notes)
        if found.halved and not state.halved:
            self.monitor.say(
                f"warning: out of memory at update {number}: batches that do not fit are "
                "halved and tried again; a lower training.batch_tokens needs less"
            )
        state.halved += found.halved
        if found.finite:
            state.skipped_in_row = 0
        shown = rate if self.options.has_learning_rate else None
        step = self._figures.step(update, work.batches, shown)
        self.monitor.step(step)
        if measured:
            self._record(**step.record())
            self._figures.begin_interval()
        if not found.finite:
            self._count_skipped(found, work.all_indices)
        elif self.run is not None and self._gradients.due(number):
            loss, model = self.updater.own_loss, self.updater.model
            if seen := self._gradients.sample(loss, model, work.batches[0]):
                self._record(kind="gradients", update=number, **seen)

    def _count_skipped(self, found: LossAndGradient, batches: list[Ints]) -> None:
        """Counts a skipped update; after too many in a row training goes back, then fails."""
        state = self.state
        state.skipped += 1
        state.skipped_in_row += 1
        lines = self.batches.provenance(np.concatenate(batches))
        figures = {"loss": found.loss, "gradient_norm": found.norm}
        curved = ""
        if found.curvature is not None:
            figures["curvature"] = found.curvature
            curved = f", curvature {found.curvature:.3g}"
        self._record(kind="skipped", update=state.update, **figures, **lines.record())
        self.monitor.say(
            f"warning: update {state.update} skipped: loss {found.loss:.3g}, "
            f"gradient norm {found.norm:.3g}{curved}"
        )
        if state.skipped_in_row < self.options.max_bad_updates:
            return
        if not state.rollbacks:
            self._go_back()
            return
        rows = ("sequence", "the problem") if self.recipe.data.kind is not None else ()
        why = (
            f"{state.skipped_in_row} updates in a row had a loss or gradient that is not finite, "
            f"as some had before training went back{self._slower}; the last batch is "
            f"{lines.in_words(*rows)} ({self.path / METRICS} has those of all skipped updates)"
        )
        advice = (
            "a lower training.learning_rate, a longer warm-up or a lower training.clip_norm may "
            "help"
        )
        if isinstance(self.options.optimizer, HessianFree):
            advice = "more training.optimizer.damping, or other first weights, may help"
        look = "" if rows else "look at those lines; "
        raise TrainingError(self._failure(why, f"{look}in a new run {advice}"))

    @property
    def _slower(self) -> str:
        """What a training that goes back does otherwise from there on."""
        return " to half the learning rate" if self.options.has_learning_rate else ""

    def _go_back(self) -> None:
        """Takes the weights of an earlier checkpoint, and half the learning rate from here on.

        The place in the data and the count of updates go on, so that what made the numbers go
        wrong is not met again at once, and a process killed right after this resumes after it.
        """
        state = self.state
        good = None
        if self.run is not None:
            good = self.run.folder.good(state.update - state.skipped_in_row, self.monitor.say)
        checkpoint = self.group.broadcast(good)
        if checkpoint is None:
            self.updater = Updater(self.recipe, self.prepared.tokenizers, self.group)
            back = 0
        else:
            self.updater.restore(checkpoint.groups, self.path / CHECKPOINTS)
            back = checkpoint.state.update
        skipped = state.skipped_in_row
        state.rollbacks += 1
        state.skipped_in_row = 0
        self._save()
        self._record(kind="rollback", update=state.update, to=back)
        self.monitor.say(
            f"warning: {skipped} updates in a row were skipped: back to the weights of update "
            f"{back}" + (", with half the learning rate from here on" if self._slower else "")
        )

    # -- validations and checkpoints --------------------------------------------------------

    def _validation_due(self) -> bool:
        return self.plan.validation_due(self.state, fine_tuned=self.tuning is not None)

    def _validate_or_save(self) -> None:
        """Validates or saves, where the recipe says so."""
        if self.state.skipped_in_row and not self.plan.reason_to_stop(self.state):
            return  # the weights may be what is wrong: nothing is saved until an update is good
        if self._validation_due():
            self._validate()
        elif self.plan.checkpoint_due(self.state):
            self._save()

    def _validate(self) -> None:
        """Measures, remembers, saves, and makes the best weights the run's model."""
        result = self._measure(self.updater.evaluated)
        best = self._is_best(result)
        self.plan.count_validation(self.state, best=best)
        record = self._remember(result, best)
        self._save()
        if best:
            self._publish(self.updater.evaluated, record, result)
        if self.run is not None:
            self.run.log.page(final=False)

    def _is_best(self, result: Validated) -> bool:
        return self.plan.is_best(self.state, result.loss, self.evaluator.task.value(result))

    def _measure(self, model: nn.Module) -> Validated:
        try:
            with self.group.interruptible_if_alone():
                result = self._evaluate(model)
        except ModelError as error:
            raise TrainingError(self._failure(f"validation failed: {error}")) from error
        self._figures.count_time()
        return result

    def _evaluate(self, model: nn.Module) -> Validated:
        """Measures the validation set; in fine-tuning, the earlier run's too."""
        self.monitor.validating(len(self.prepared.val))
        result = self.evaluator.evaluate(model, self.prepared.val)
        if self.tuning is None or self.tuning.old is None:
            return result
        self.monitor.validating(len(self.tuning.old.pairs))
        found = self.tuning.old.evaluate(self.evaluator, model)
        history = self.state.history
        first = (history[0].get("old") if history else None) or {}
        return replace(result, old=Forgetting(found, first))

    def _remember(self, result: Validated, best: bool, **more: Any) -> dict[str, Any]:
        """Keeps, logs and shows what a validation found."""
        state = self.state
        if best:
            state.best = self.evaluator.task.value(result)
            state.best_loss, state.best_update = result.loss, state.update
        epoch = self.plan.epochs(state)
        record = {
            "update": state.update,
            "epoch": epoch,
            **result.record(),
            "seconds": state.seconds,
            **({"old": result.old.now.record()} if result.old else {}),
            **more,
        }
        state.history.append(record)
        self._record(kind="validation", **record)
        self.monitor.validated(state.update, epoch, result, best)
        return record

    def _try_mean(self, count: int) -> None:
        """Publishes the mean of the last validated weights, if it is better than the best."""
        found = None if self.run is None else self.run.mean_of_validated(self.state, count)
        checkpoint = self.group.broadcast(found)
        if checkpoint is None:
            self.monitor.say(
                "warning: no checkpoint of a validation is left, so no mean of weights is made"
            )
            return
        updates = checkpoint.environment["updates"]
        model = self.updater.with_weights(checkpoint.groups["model"], self.path / CHECKPOINTS)
        result = self._measure(model)
        self.monitor.say(f"the mean of the weights at updates {', '.join(map(str, updates))}:")
        best = self._is_best(result)
        record = self._remember(result, best, mean_of_updates=updates)
        if best:
            self._publish(model, record, result)

    def _save(self) -> None:
        """Writes a checkpoint of what there is now."""
        if self.run is not None:
            self.run.save(self.state, self.updater)

    def _publish(self, model: nn.Module, record: dict[str, Any], result: Validated) -> None:
        """Makes weights the run's model."""
        if self.run is not None:
            self.run.publish(model, record, result)

    # -- resuming ---------------------------------------------------------------------------

    def resume(self) -> None:
        """Takes up the newest whole checkpoint, or begins with the source model's weights."""
        latest = None
        if self.run is not None:
            latest = self.run.folder.latest(self.monitor.say)
            self.run.journal.rewind(latest.state.update if latest else 0)
        checkpoint = self.group.broadcast(latest)
        if self.tuning is not None:
            self.tuning.show_notes(self.monitor.say)
        if checkpoint is None:
            if self.tuning is not None:
                self._begin_with(self.tuning)
            return
        self.state = checkpoint.state
        self.updater.restore(checkpoint.groups, self.path / CHECKPOINTS)
        if self.state.stopped and not self.plan.reason_to_stop(self.state):
            self.state.stopped = ""  # the recipe asks for more now
        if self.run is None:
            return
        if not self.state.stopped:
            self.monitor.say(f"resuming from update {self.state.update}")
            self.run.show_changes(self.plan.rate(self.state))
            self.run.check_environment(checkpoint.environment)
        self.run.publish_if_missing(self.state, self.updater.evaluated)

    def _begin_with(self, tuning: FineTuning) -> None:
        """Begins with another run's weights, which are not needed any more after this."""
        if self.run is not None:
            tuning.start(self.updater, self.run.journal, self.monitor.say)
        begun = self.group.broadcast(Checkpoint(self.state, self.updater.tensors()))
        assert begun is not None
        self.updater.restore(begun.groups, self.path / CHECKPOINTS)
        self._save()

    # -- what is shown and recorded ---------------------------------------------------------

    def _record(self, **record: Any) -> None:
        """Adds a record to the run's journal."""
        if self.run is not None:
            self.run.journal.append(record)

    def _too_large(self, batch: Ints, error: TooLargeError) -> TrainingError:
        pair = batch[[error.row]]
        source, target = self.batches.sizes(int(pair[0]))
        line = self.batches.provenance(pair).in_words()
        why = f"out of memory: even one pair does not fit, {line} ({source} and {target} pieces)"
        advice = "a lower training.max_pieces leaves such pairs out, a smaller model needs less"
        return TrainingError(self._failure(why, advice))

    def _failure(self, why: str, advice: str = "") -> str:
        """The message of a training that fails; some errors bring their own advice."""
        if self.run is not None:
            saved = self.run.folder.what_is_saved()
        else:
            saved = f"the last checkpoint, if there is one, is {self.path / LAST}"
        return f"training stopped at update {self.state.update}: {why}; {saved}" + (
            f"; {advice}" if advice else ""
        )
