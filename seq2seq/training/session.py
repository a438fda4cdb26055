"""A session: one process's part of a training, and all that changes in it.

How far training is, what a validation decides, what is saved and how it is taken up again are
here; ``loop.py`` has the updates between.
"""

from __future__ import annotations

import math
import time
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor, nn

from seq2seq.data.dataset import PairDataset, PreparedData
from seq2seq.errors import ModelError, TrainingError
from seq2seq.recipe import Recipe
from seq2seq.recipe.training import LastK, Plateau
from seq2seq.tasks import task_for
from seq2seq.training.averaging import mean_of
from seq2seq.training.batches.base import feed_for
from seq2seq.training.distributed.group import ProcessGroup
from seq2seq.training.evaluation import Evaluator, Validated
from seq2seq.training.finetuning.start import FineTuning
from seq2seq.training.monitoring.curves import plot_curves
from seq2seq.training.monitoring.monitor import Monitor
from seq2seq.training.monitoring.session_log import Page, Watch
from seq2seq.training.optim.schedules import learning_rate
from seq2seq.training.run.card import environment, model_card
from seq2seq.training.run.checkpoint import Checkpoint
from seq2seq.training.run.folder import RunFolder
from seq2seq.training.signals import StopRequest
from seq2seq.training.state import TrainingResult, TrainingState
from seq2seq.training.updater import Learner

CURVES = "curves.png"


class Session:
    """Where a training stands, and what keeps it.

    Args:
        recipe: The recipe.
        prepared: The prepared data.
        folder: The run's folder.
        monitor: Told of progress.
        page: Makes the run's page; None: there is none.
        tuning: Where the weights come from; None: from nothing.
        group: The processes that train together; None: this one alone.
    """

    def __init__(
        self,
        recipe: Recipe,
        prepared: PreparedData,
        folder: RunFolder,
        monitor: Monitor,
        page: Page | None = None,
        tuning: FineTuning | None = None,
        group: ProcessGroup | None = None,
    ) -> None:
        self.recipe, self.options = recipe, recipe.training
        self.group = group or ProcessGroup()
        self.prepared, self.folder, self.monitor = prepared, folder, monitor
        self.tuning = tuning
        page = page if self.group.rank == 0 else None
        self.watch = Watch(folder.path, folder.journal, monitor.say, page)
        self.learner = Learner(recipe, prepared.tokenizers, self.group)
        self.feed = feed_for(prepared, recipe, self.group.share)
        self.task = task_for(recipe)
        monitor.unit = self.feed.unit
        self.state = TrainingState()
        self.stop = StopRequest()
        self.clock = time.monotonic()
        folder.journal.say = monitor.say

    # -- where it stands --------------------------------------------------------------------

    def progress(self) -> float:
        """The share of training that is done.

        Returns:
            0 to 1, by epochs or updates, whichever ends first.
        """
        place, shares = self.state.place, [0.0]
        if self.options.epochs is not None:
            shares.append((place.epoch + self.epoch_share()) / self.options.epochs)
        if self.options.updates is not None:
            shares.append(self.state.update / self.options.updates)
        return min(1.0, max(shares))

    def epoch_share(self) -> float:
        """The share of the present epoch that is done.

        Returns:
            0 to 1.
        """
        return self.state.place.pairs / max(1, len(self.feed))

    def ended(self) -> bool:
        """Whether the recipe's end is reached, or early stopping's.

        Returns:
            Whether.
        """
        patience = self.options.early_stopping.patience
        return self.progress() >= 1.0 or (patience is not None and self.state.stale >= patience)

    def rate(self) -> float:
        """The learning rate of the next update; call it before the state moves on.

        Returns:
            It, halved as often as training has gone back.
        """
        rate = learning_rate(
            self.options.learning_rate,
            self.options.schedule,
            update=self.state.update + 1,
            progress=self.progress(),
            reductions=self.state.reductions,
        )
        return rate * 0.5**self.state.rollbacks

    def tick(self) -> float:
        """Counts the time since the last call as training.

        Returns:
            The seconds.
        """
        now = time.monotonic()
        passed, self.clock = now - self.clock, now
        self.state.seconds += passed
        return passed

    def milestone(self) -> None:
        """Validates or saves, where the recipe says so."""
        if self.state.skipped_in_row and not self.ended():
            return  # the weights may be what is wrong: nothing is saved until an update is good
        if self.validation_due():
            self._validate()
        elif self._checkpoint_due():
            self.save()

    def validation_due(self) -> bool:
        """Whether the weights are to be validated now; also where a signal kept them from it.

        Returns:
            Whether.
        """
        state, every = self.state, self.options.validation.every
        if state.validated:
            return False
        if not state.update:  # what others have trained is measured as it is
            return self.tuning is not None and not state.history
        if self.ended():
            return True
        return state.update % every == 0 if every else state.place.pairs == 0

    def _checkpoint_due(self) -> bool:
        every = self.options.checkpoint_every
        return every is not None and self.state.update % every == 0

    def _validate(self) -> None:
        """Measures, remembers, saves, and makes the best weights the run's model."""
        with self.group.interruptible_if_alone():
            result = self._measure(self.learner.judged)
        state = self.state
        best = self._is_best(result)
        state.stale = 0 if best else state.stale + 1
        self._reduce_on_plateau(best)
        state.validated = True
        record = self._record(result, best)
        self.save()
        if best:
            self._publish(self.learner.judged, record, result)
        self.watch.page(final=False)

    def _record(self, result: Validated, best: bool, **more: Any) -> dict[str, Any]:
        """Remembers, logs and shows what a validation found."""
        state = self.state
        if best:
            state.best = self.task.value(result)
            state.best_loss, state.best_update = result.loss, state.update
        epoch = state.place.epoch + self.epoch_share()
        record = {
            "update": state.update,
            "epoch": epoch,
            **result.record(),
            "seconds": state.seconds,
            **({"old": result.old.now.record()} if result.old else {}),
            **more,
        }
        state.history.append(record)
        self.folder.journal.append({"kind": "validation", **record})
        self.monitor.validated(state.update, epoch, result, best)
        return record

    def _is_best(self, result: Validated) -> bool:
        """By the recipe's metric; of equal ones (no BLEU yet) the lower loss is better."""
        state, value = self.state, self.task.value(result)
        if not math.isfinite(result.loss):
            return False
        if state.best is None or state.best_loss is None or value != state.best:
            return state.best is None or value > state.best
        return result.loss < state.best_loss

    def _measure(self, model: nn.Module) -> Validated:
        def measured(
            pairs: PairDataset, recipe: Recipe, group: ProcessGroup | None = None
        ) -> Validated:
            self.monitor.validating(len(pairs))
            return self._evaluator(recipe, group).evaluate(model, pairs)

        try:
            result = measured(self.prepared.val, self.recipe, self.group)
            if self.tuning is not None:  # the old set is the leader's alone; the others wait
                history = self.state.history
                with self.group.interruptible_together():
                    result = self.tuning.with_old(result, measured, self.recipe, history)
        except ModelError as error:
            why = f"validation failed: {error}"
            advice = "a lower training.learning_rate may help"
            raise TrainingError(self.stopped(why, advice)) from error
        self.tick()
        return result

    def _evaluator(self, recipe: Recipe, group: ProcessGroup | None = None) -> Evaluator:
        precision, tokenizers = self.learner.precision, self.prepared.tokenizers
        return Evaluator(self.task, recipe, tokenizers, precision, group or ProcessGroup())

    def stopped(self, why: str, advice: str) -> str:
        """Says where training fails.

        Args:
            why: What is wrong.
            advice: What may help.

        Returns:
            The message.
        """
        kept = self.folder.kept()
        return f"training stopped at update {self.state.update}: {why}; {kept}; {advice}"

    def _reduce_on_plateau(self, best: bool) -> None:
        schedule, state = self.options.schedule, self.state
        if not isinstance(schedule, Plateau):
            return
        state.plateau = 0 if best else state.plateau + 1
        if state.plateau > schedule.patience:
            state.plateau = 0
            state.reductions += 1

    def save(self) -> None:
        """Writes a checkpoint of what there is now."""
        checkpoint = Checkpoint(self.state, self.learner.groups(), self._environment())
        average = self.options.average
        keep_validated = average.count if isinstance(average, LastK) else 0
        self.folder.save(checkpoint, self.options.keep_checkpoints, keep_validated)

    def _publish(
        self, model: nn.Module, record: dict[str, Any], found: Validated | None = None
    ) -> None:
        if self.group.rank != 0:
            return
        predictions = None if found is None else found.predictions
        make = None
        if predictions is not None:
            network = self._evaluator(self.recipe).network(model)
            make = partial(self.task.examples, network, self.prepared.val, predictions)
        examples = self.watch.examples(make, record["update"])
        weights: dict[str, Tensor] = dict(model.named_parameters())
        about = self.task.card(record, examples)
        card = model_card(self.recipe, self.prepared, model, record, about, self._environment())
        self.folder.publish(weights, card | (self.tuning.card() if self.tuning else {}))

    def _environment(self) -> dict[str, Any]:
        return environment(self.learner.device, self.learner.precision, self.group.world_size)

    def plot(self) -> None:
        """Draws the curves; a picture is not worth a failed training."""
        if self.group.rank != 0:
            return
        curves = self.folder.path / CURVES
        try:
            records = self.folder.journal.records()
            plot_curves(records, curves, self.recipe.name, self.task.metrics)
        except Exception as error:
            self.monitor.say(f"warning: {curves} could not be drawn: {error}")

    def finish(self) -> None:
        """Averages where the recipe says so, and closes the run."""
        if isinstance(self.options.average, LastK):
            self._publish_mean(self.options.average.count)
        reached_end = self.progress() >= 1.0
        patience = self.options.early_stopping.patience
        self.state.stopped = (
            "the recipe's end" if reached_end else f"{patience} validations without a better one"
        )
        self.save()

    def _publish_mean(self, count: int) -> None:
        own = [record for record in self.state.history if "mean_of_updates" not in record]
        updates = [record["update"] for record in own if record["update"]][-count:]
        mean = {"model": mean_of(self.folder.validated_weights(updates))}
        shared = self.group.broadcast(Checkpoint(self.state, mean))
        assert shared is not None
        model = self.learner.with_weights(shared.groups["model"], self.folder.checkpoints)
        with self.group.interruptible_if_alone():
            result = self._measure(model)
        told = ", ".join(map(str, updates))
        self.monitor.say(f"the mean of the weights at updates {told}:")
        best = self._is_best(result)
        record = self._record(result, best, mean_of_updates=updates)
        if best:
            self._publish(model, record, result)

    def go_back(self) -> None:
        """Takes the weights of an earlier checkpoint, and half the learning rate from here on.

        The place in the data and the count of updates go on, so that what made the numbers go
        wrong is not met again at once, and a process killed right after this resumes after it.
        """
        state = self.state
        good = self.folder.good(state.update - state.skipped_in_row, self.monitor.say)
        checkpoint = self.group.broadcast(good)
        if checkpoint is None:
            self.learner, back = Learner(self.recipe, self.prepared.tokenizers, self.group), 0
        else:
            self.learner.restore(checkpoint.groups, self.folder.checkpoints)
            back = checkpoint.state.update
        told = f"{state.skipped_in_row} updates in a row were skipped"
        state.rollbacks += 1
        state.skipped_in_row = 0
        self.save()
        self.folder.journal.append({"kind": "rollback", "update": state.update, "to": back})
        self.monitor.say(
            f"warning: {told}: back to the weights of update {back}, with half the learning rate "
            "from here on"
        )

    # -- resuming ---------------------------------------------------------------------------

    def resume(self) -> None:
        """Takes up the newest whole checkpoint, if there is one.

        Raises:
            ModelError: If none can be read, or deterministic algorithms are asked for and the
                numbers cannot be the same.
        """
        checkpoint = self.group.broadcast(self.folder.latest(self.monitor.say))
        self.folder.journal.rewind(checkpoint.state.update if checkpoint else 0)
        if self.tuning is not None:
            self.tuning.tell(self.monitor.say)
        if checkpoint is None:
            if self.tuning is not None:
                self._start(self.tuning)
            return
        self.state = checkpoint.state
        self.learner.restore(checkpoint.groups, self.folder.checkpoints)
        if self.state.stopped and not self.ended():  # there is more to do by the recipe now
            self.state.stopped = ""
        if not self.state.stopped:
            self.monitor.say(f"going on from update {self.state.update}")
            if self.group.rank == 0:
                self._tell_changes()
                self._tell_environment(checkpoint.environment)
        unpublished = self.folder.published() != self.state.update  # killed right before
        if self.state.validated and self.state.best_update == self.state.update and unpublished:
            self._publish(self.learner.judged, self.state.history[-1])

    def _start(self, tuning: FineTuning) -> None:
        """Begins with another run's weights; from here on nothing of it is needed."""
        if self.group.rank == 0:
            tuning.start(self.learner, self.folder.journal, self.monitor.say)
        begun = self.group.broadcast(Checkpoint(self.state, self.learner.groups()))
        assert begun is not None
        self.learner.restore(begun.groups, self.folder.checkpoints)
        self.save()

    def _tell_changes(self) -> None:
        changed = self.folder.changed
        if not changed:
            return
        told = ", ".join(f"{key} {old} -> {new}" for key, (old, new) in changed.items())
        self.monitor.say(
            f"the recipe has changed: {told}; the next learning rate by its schedule is "
            f"{self.rate():.3g}"
        )

    def _tell_environment(self, then: dict[str, Any]) -> None:
        now = self._environment()
        changed = {key: (old, now.get(key)) for key, old in then.items() if old != now.get(key)}
        if not changed:
            return
        told = ", ".join(f"{key} {old} -> {new}" for key, (old, new) in changed.items())
        if now["deterministic"]:
            raise ModelError(
                f"{self.folder.path} cannot go on bit for bit: {told}; make them the same again "
                f"(--threads {then.get('threads')}), or leave out --deterministic"
            )
        self.monitor.say(f"warning: not bit for bit the same from here on: {told}")

    def recorded(self, stop: StopRequest) -> AbstractContextManager[None]:
        """Records in the journal that the session begins, and how it ends.

        Args:
            stop: Set by a signal.

        Returns:
            A context for ``run``.
        """
        self.stop = stop
        if self.group.rank != 0:
            return nullcontext()
        return self.watch.session(self.recipe, lambda: self.state, stop, self._environment())

    def note_changed(self, files: list[str]) -> None:
        """Tells and records that training goes on though its corpus has changed.

        Args:
            files: Those that are not what they were; none: nothing is said.
        """
        if files and not self.state.stopped:
            streamed = self.prepared.stored is None
            self.monitor.say(
                f"warning: changed since they were prepared: {', '.join(files)}; training goes on "
                f"with what {'they are now' if streamed else 'was prepared'}"
            )
            record = {"kind": "changed_data", "update": self.state.update, "files": files}
            self.folder.journal.append(record)

    def result(self) -> TrainingResult:
        """How the training stands.

        Returns:
            Its summary.
        """
        state = self.state
        found = [record for record in state.history if record["update"] == state.best_update]
        return TrainingResult(
            run=self.folder.path,
            finished=bool(state.stopped),
            stopped=state.stopped or "interrupted",
            updates=state.update,
            skipped=state.skipped,
            halved=state.halved,
            rollbacks=state.rollbacks,
            seconds=state.seconds,
            best=found[-1] if found else None,
            start=next((record for record in state.history if not record["update"]), None),
        )
