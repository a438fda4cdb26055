"""The training loop.

Everything random in an update is a function of (seed, update), everything random in the order of
the data a function of (seed, epoch). So a run that was killed and resumed from its last checkpoint
goes through the same numbers, bit for bit, as one that never was.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from seq2seq.data.batching import BatchOrder, Bounds, Ints, PaddedPairs, Place, collate, sampled
from seq2seq.data.dataset import PreparedData
from seq2seq.data.prepare import prepare
from seq2seq.data.progress import Progress
from seq2seq.errors import ModelError, TrainingError
from seq2seq.inference.torch_engine import TorchEngine
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe import Recipe
from seq2seq.recipe.training import LastK, Plateau
from seq2seq.training.averaging import mean_of
from seq2seq.training.card import environment, model_card
from seq2seq.training.checkpoint import Checkpoint
from seq2seq.training.curves import plot_curves
from seq2seq.training.examples import EXAMPLES, write_examples
from seq2seq.training.learner import Gradient, Learner, mixed
from seq2seq.training.meters import Interval, Movement, gpu_memory, memory
from seq2seq.training.monitor import Monitor, Step, default_monitor
from seq2seq.training.precision import bound_primitive_cache
from seq2seq.training.run_folder import RunFolder
from seq2seq.training.schedules import learning_rate
from seq2seq.training.signals import StopRequest, stop_on_signals
from seq2seq.training.state import TrainingResult, TrainingState
from seq2seq.training.tensorboard import check_installed
from seq2seq.training.validation import Validated, validate
from seq2seq.training.watch import Page, Watch

__all__ = ["Trainer", "TrainingResult", "train"]

LOG_EVERY = 20  # updates a record of metrics.jsonl


def train(
    recipe: Recipe,
    run: Path,
    *,
    data: Path | None = None,
    threads: int | None = None,
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
    with RunFolder(run, recipe) as folder:
        prepared = _prepared(recipe, folder, data, progress)
        prepared.check_fits(recipe)
        folder.claim(prepared)
        monitor = monitor or default_monitor()
        try:
            trainer = Trainer(recipe, prepared, folder, monitor, page)
            trainer.resume()
            with stop_on_signals() as stop, trainer.session(stop):
                trainer.run(stop)
        finally:
            monitor.close()
        return trainer.result()


def _prepared(
    recipe: Recipe, folder: RunFolder, data: Path | None, progress: Progress | None
) -> PreparedData:
    """The data; a run that has prepared its own goes on with it, whatever became of the files."""
    own = folder.path / "data"
    if data is not None:
        return PreparedData.open(data)
    if folder.begun and own.is_dir():
        return PreparedData.open(own)
    return prepare(recipe, own, progress=progress)


class Trainer:
    """One training: everything that changes, and the steps that change it.

    Args:
        recipe: The recipe.
        prepared: The prepared data.
        folder: The run's folder.
        monitor: Told of progress.
        page: Makes the run's page; None: there is none.
    """

    def __init__(
        self,
        recipe: Recipe,
        prepared: PreparedData,
        folder: RunFolder,
        monitor: Monitor,
        page: Page | None = None,
    ) -> None:
        self.recipe, self.options = recipe, recipe.training
        self.prepared, self.folder, self.monitor = prepared, folder, monitor
        self.watch = Watch(folder.path, folder.journal, monitor.say, page)
        self.learner = Learner(recipe, prepared.tokenizers)
        bounds = Bounds(
            self.options.batch_tokens, self.options.batch_pairs, self.options.max_pieces
        )
        self.order = BatchOrder(prepared.train, bounds, recipe.seed)
        self.state = TrainingState()
        self._clock = time.monotonic()
        self._session = (0.0, 0.0)  # progress and seconds at the session's start
        self._log = Interval()

    # -- the loop ---------------------------------------------------------------------------

    def run(self, stop: StopRequest) -> None:
        """Trains until the recipe's end, early stopping, or a signal.

        Args:
            stop: Set by a signal.

        Raises:
            TrainingError: After too many updates in a row with numbers that are not finite.
        """
        if self.state.stopped:
            self.monitor.say(f"this run is finished: {self.state.stopped}")
            if not self._curves.is_file():  # killed right before they were drawn
                self._plot()
            return
        if long := self.order.left_out():
            self.monitor.say(
                f"{long:,} of {len(self.prepared.train):,} training pairs have more than "
                f"{self.options.max_pieces} pieces on a side (training.max_pieces): left out"
            )
        self._session = (self.progress(), self.state.seconds)
        self._clock = time.monotonic()
        updates = self._updates()
        while not (stop or self._ended()):
            batches, place = next(updates)
            self._update(batches, place)
            if self.state.skipped_in_row:
                continue  # the weights may be what is wrong: nothing is saved until one is good
            if self._validation_due():
                self._validate()
            elif self._checkpoint_due():
                self._save()
        if self.state.skipped_in_row:
            self._give_up()
        if self._ended():
            self._finish()
        else:
            self._save()
            self.monitor.say(f"{stop.by}: saved at update {self.state.update}; run again to go on")
        self._plot()

    @property
    def _curves(self) -> Path:
        return self.folder.path / "curves.png"

    def _plot(self) -> None:
        plot_curves(self.folder.journal.records(), self._curves, self.recipe.name)

    def _updates(self) -> Iterator[tuple[list[Ints], Place]]:
        """The batches of each update, and the place after it; no update spans two epochs."""
        batches: list[Ints] = []
        for indices, place in self.order.batches(self.state.place):
            batches.append(indices)
            if len(batches) == self.options.accumulate or place.pairs == 0:
                yield batches, place
                batches = []

    def _update(self, batches: list[Ints], place: Place) -> None:
        """One update of the weights, skipped if loss or gradient is not finite."""
        state = self.state
        pairs = [self._pairs(indices, part) for part, indices in enumerate(batches)]
        gradient = self.learner.gradient(pairs, mixed(self.recipe.seed, state.update))
        state.update, state.place = state.update + 1, place
        state.tokens += gradient.tokens
        state.validated = False
        rate = self._rate()
        if gradient.finite:
            state.skipped_in_row = 0
            moved = Movement(self.learner.model) if self._logged() else None
            self.learner.step(rate, state.update)
            ratios = moved.ratios() if moved else {}
        else:
            ratios = {}
            self._skip(gradient)
        self._tell(gradient, pairs, rate, ratios)

    def _pairs(self, indices: Ints, part: int) -> PaddedPairs:
        sampling = self.recipe.tokenizer.sampling
        if sampling is None:
            return collate(*self.prepared.train.ids(indices))
        seed = mixed(self.recipe.seed, self.state.update * self.options.accumulate + part)
        return collate(
            *sampled(
                self.prepared.train,
                indices,
                self.prepared.tokenizers,
                sampling.alpha,
                sampling.sides,
                seed,
            )
        )

    def _skip(self, gradient: Gradient) -> None:
        state = self.state
        state.skipped += 1
        state.skipped_in_row += 1
        self.monitor.say(
            f"warning: update {state.update} skipped: loss {gradient.loss:.3g}, "
            f"gradient norm {gradient.norm:.3g}"
        )
        if state.skipped_in_row >= self.options.max_bad_updates:
            self._give_up()

    def _give_up(self) -> NoReturn:
        last = self.folder.path / "last"
        kept = f"the last good checkpoint is {last}" if last.exists() else "nothing was saved"
        raise TrainingError(
            f"training stopped: {self.state.skipped_in_row} updates in a row up to update "
            f"{self.state.update} had a loss or gradient that is not finite; {kept}; a lower "
            "training.learning_rate, a longer warm-up or a lower training.clip_norm may help"
        )

    def _rate(self) -> float:
        return learning_rate(
            self.options.learning_rate,
            self.options.schedule,
            update=self.state.update,
            progress=self.progress(),
            reductions=self.state.reductions,
        )

    def progress(self) -> float:
        """The share of training that is done.

        Returns:
            0 to 1, by epochs or updates, whichever ends first.
        """
        place, shares = self.state.place, [0.0]
        if self.options.epochs is not None:
            shares.append((place.epoch + self._epoch_share()) / self.options.epochs)
        if self.options.updates is not None:
            shares.append(self.state.update / self.options.updates)
        return min(1.0, max(shares))

    def _epoch_share(self) -> float:
        return self.state.place.pairs / max(1, len(self.prepared.train))

    def _ended(self) -> bool:
        patience = self.options.early_stopping.patience
        return self.progress() >= 1.0 or (patience is not None and self.state.stale >= patience)

    def _logged(self) -> bool:
        return self.state.update % LOG_EVERY == 0

    def _tell(
        self,
        gradient: Gradient,
        pairs: list[PaddedPairs],
        rate: float,
        ratios: dict[str, float],
    ) -> None:
        """Shows the update, and writes a record for every few."""
        now = time.monotonic()
        self.state.seconds += now - self._clock
        nll = gradient.nll if gradient.finite else math.nan
        self._log.add(nll, gradient.tokens, pairs, now - self._clock)
        self._clock = now
        begun, seconds = self._session
        done = self.progress() - begun
        left = (self.state.seconds - seconds) * (1 - self.progress()) / done if done > 0 else 0.0
        step = Step(
            update=self.state.update,
            epoch=self.state.place.epoch + self._epoch_share(),
            progress=self.progress(),
            loss=self._log.loss,
            tokens_per_second=self._log.speed,
            learning_rate=rate,
            gradient_norm=gradient.norm,
            remaining=left,
            padding=self._log.padding,
            skipped=self.state.skipped,
            memory=memory(),
            gpu_memory=gpu_memory(self.learner.device),
            update_ratio=ratios,
        )
        self.monitor.step(step)
        if self._logged():
            self.folder.journal.append(step.record())
            self._log = Interval()

    # -- validating and saving --------------------------------------------------------------

    def _validation_due(self) -> bool:
        every = self.options.validation.every
        if self._ended():
            return True
        return self.state.update % every == 0 if every else self.state.place.pairs == 0

    def _checkpoint_due(self) -> bool:
        every = self.options.checkpoint_every
        return every is not None and self.state.update % every == 0

    def _validate(self) -> None:
        """Measures, remembers, saves, and makes the best weights the run's model."""
        result = self._measure(self.learner.judged)
        state = self.state
        best = self._is_best(result)
        state.stale = 0 if best else state.stale + 1
        self._reduce_on_plateau(best)
        state.validated = True
        record = self._record(result, best)
        self._save()
        if best:
            self._publish(self.learner.judged, record, result)
        self.watch.page(final=False)

    def _record(self, result: Validated, best: bool, **more: Any) -> dict[str, Any]:
        """Remembers, logs and shows what a validation found."""
        state = self.state
        if best:
            state.best = result.value(self.options.early_stopping.metric)
            state.best_loss, state.best_update = result.loss, state.update
        epoch = state.place.epoch + self._epoch_share()
        record = {
            "update": state.update,
            "epoch": epoch,
            "loss": result.loss if math.isfinite(result.loss) else None,
            "bleu": result.bleu,
            "seconds": state.seconds,
            **more,
        }
        state.history.append(record)
        self.folder.journal.append({"kind": "validation", **record})
        self.monitor.validated(state.update, epoch, result, best)
        return record

    def _is_best(self, result: Validated) -> bool:
        """By the recipe's metric; of equal ones (no BLEU yet) the lower loss is better."""
        state, value = self.state, result.value(self.options.early_stopping.metric)
        if not math.isfinite(result.loss):
            return False
        if state.best is None or state.best_loss is None or value != state.best:
            return state.best is None or value > state.best
        return result.loss < state.best_loss

    def _measure(self, model: TranslationModel) -> Validated:
        prepared, precision = self.prepared, self.learner.precision
        try:
            result = validate(model, prepared.val, prepared.tokenizers, self.recipe, precision)
        except ModelError as error:
            last = self.folder.path / "last"
            raise TrainingError(
                f"training stopped at update {self.state.update}: validation failed: {error}; "
                f"the last checkpoint is {last}; a lower training.learning_rate may help"
            ) from error
        now = time.monotonic()
        self.state.seconds += now - self._clock
        self._clock = now
        return result

    def _reduce_on_plateau(self, best: bool) -> None:
        schedule, state = self.options.schedule, self.state
        if not isinstance(schedule, Plateau):
            return
        state.plateau = 0 if best else state.plateau + 1
        if state.plateau > schedule.patience:
            state.plateau = 0
            state.reductions += 1

    def _save(self) -> None:
        checkpoint = Checkpoint(self.state, self.learner.groups(), self._environment())
        average = self.options.average
        keep_validated = average.count if isinstance(average, LastK) else 0
        self.folder.save(checkpoint, self.options.keep_checkpoints, keep_validated)

    def _publish(
        self, model: TranslationModel, record: dict[str, Any], found: Validated | None = None
    ) -> None:
        if found is not None and found.translations is not None:
            write_examples(
                self.folder.path / EXAMPLES,
                found.translations,
                TorchEngine(model, self.learner.precision),
                self.prepared.tokenizers,
                record["update"],
            )
        weights: dict[str, Tensor] = dict(model.named_parameters())
        self.folder.publish(weights, model_card(self.recipe, self.prepared, model, record))

    def _environment(self) -> dict[str, Any]:
        return environment(self.learner.device, self.learner.precision)

    def _finish(self) -> None:
        """Averages where the recipe says so, and closes the run."""
        if isinstance(self.options.average, LastK):
            self._publish_mean(self.options.average.count)
        reached_end = self.progress() >= 1.0
        patience = self.options.early_stopping.patience
        self.state.stopped = (
            "the recipe's end" if reached_end else f"{patience} validations without a better one"
        )
        self._save()

    def _publish_mean(self, count: int) -> None:
        updates = [record["update"] for record in self.state.history[-count:]]
        mean = mean_of(self.folder.validated_weights(updates))
        model = self.learner.with_weights(mean, self.folder.checkpoints)
        result = self._measure(model)
        told = ", ".join(map(str, updates))
        self.monitor.say(f"the mean of the weights at updates {told}:")
        best = self._is_best(result)
        record = self._record(result, best, mean_of_updates=updates)
        if best:
            self._publish(model, record, result)

    # -- resuming ---------------------------------------------------------------------------

    def resume(self) -> None:
        """Takes up the newest whole checkpoint, if there is one."""
        checkpoint = self.folder.latest(self.monitor.say)
        self.folder.journal.rewind(checkpoint.state.update if checkpoint else 0)
        if checkpoint is None:
            return
        self.state = checkpoint.state
        self.learner.restore(checkpoint.groups, self.folder.checkpoints)
        self.monitor.say(f"going on from update {self.state.update}")
        changed = {
            key: (old, self._environment().get(key))
            for key, old in checkpoint.environment.items()
            if old != self._environment().get(key)
        }
        if changed:
            told = ", ".join(f"{key} {old} -> {new}" for key, (old, new) in changed.items())
            self.monitor.say(f"warning: not bit for bit the same from here on: {told}")
        unpublished = self.folder.published() != self.state.update  # killed right before
        if self.state.validated and self.state.best_update == self.state.update and unpublished:
            self._publish(self.learner.judged, self.state.history[-1])

    def session(self, stop: StopRequest) -> AbstractContextManager[None]:
        """Records in the journal that a session begins, and how it ends.

        Args:
            stop: Set by a signal.

        Returns:
            A context for ``run``.
        """
        return self.watch.session(self.recipe, lambda: self.state, stop, self._environment())

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
            seconds=state.seconds,
            best=found[-1] if found else None,
        )
