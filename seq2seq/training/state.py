"""Where a training stands, and what the recipe makes of it: how far, how fast, when what is due."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from pydantic import FiniteFloat

from seq2seq.data.batching import Place
from seq2seq.recipe.training import Plateau, Training
from seq2seq.training.optim import learning_rate


@dataclass
class TrainingState:
    """All that a checkpoint keeps besides tensors; the trainer and its parts change it."""

    update: int = 0  # tried so far; the random numbers of an update are a function of it
    place: Place = field(default_factory=Place)  # the next batch
    tokens: int = 0  # target tokens seen
    seconds: FiniteFloat = 0.0  # spent in training, over all sessions
    best: float | None = None  # value of the early-stopping metric, and its loss and update
    best_loss: float | None = None
    best_update: int | None = None
    stale: int = 0  # validations since the best
    reductions: int = 0  # how often the plateau schedule cut the rate
    plateau: int = 0  # validations without improvement since the last cut
    skipped: int = 0  # updates whose numbers were not finite
    skipped_in_row: int = 0  # since a good one
    rollbacks: int = 0  # times back to an earlier checkpoint's weights; each halves the rate
    halved: int = 0  # batches that did not fit into memory, and were taken in parts
    validated: bool = False  # whether this was saved right after a validation
    history: list[dict[str, Any]] = field(default_factory=list)  # a record a validation
    stopped: str = ""  # why training ended; empty while it has not

    def to_json(self) -> dict[str, Any]:
        """Plain values, which ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainingState:
        """The state again; what older versions did not know has its default.

        Raises ``ValueError`` if values are missing, or are unknown to this version.
        """
        unknown = values.keys() - {f.name for f in fields(cls)}
        if missing := {"update", "place"} - values.keys():
            raise ValueError(f"the state lacks {', '.join(sorted(missing))}")
        if unknown:
            raise ValueError(f"the state has {', '.join(sorted(unknown))}, of another version")
        return cls(**{**values, "place": Place(**values["place"])})


class Plan:
    """What the recipe's training table says of a state, where an epoch has so many pairs."""

    def __init__(self, options: Training, epoch_pairs: int) -> None:
        self.options, self._epoch_pairs = options, max(1, epoch_pairs)

    def epochs(self, state: TrainingState) -> float:
        """Epochs done, with the fraction of the present one."""
        return state.place.epoch + state.place.pairs / self._epoch_pairs

    def progress(self, state: TrainingState) -> float:
        """The share of training that is done, by epochs or updates, whichever ends first."""
        shares = [0.0]
        if self.options.epochs is not None:
            shares.append(self.epochs(state) / self.options.epochs)
        if self.options.updates is not None:
            shares.append(state.update / self.options.updates)
        return min(1.0, max(shares))

    def is_passed(self, state: TrainingState) -> bool:
        """Whether more was trained than the recipe asks for, as one that was longer did."""
        most, place = self.options, state.place
        epochs = place.epoch + (place.pairs > 0)
        return state.update > (most.updates or math.inf) or epochs > (most.epochs or math.inf)

    def reason_to_stop(self, state: TrainingState) -> str:
        """Why training is over; empty if it is not."""
        if self.progress(state) >= 1.0:
            return "the recipe's end"
        stopping = self.options.early_stopping
        if stopping.solved and state.history and state.history[-1].get("solved"):
            return "the problem is solved"
        patience = stopping.patience
        if patience is not None and state.stale >= patience:
            return f"{patience} validations without a better one"
        return ""

    def rate(self, state: TrainingState) -> float:
        """The learning rate of the next update, halved as often as training has gone back."""
        rate = learning_rate(
            self.options.learning_rate,
            self.options.schedule,
            update=state.update + 1,
            progress=self.progress(state),
            reductions=state.reductions,
        )
        return rate * 0.5**state.rollbacks

    def validation_due(self, state: TrainingState, *, fine_tuned: bool) -> bool:
        """Whether to validate the weights now; also where a signal interrupted the validation.

        In fine-tuning the first weights are another run's, and are measured before any update.
        """
        if state.validated:
            return False
        if not state.update:
            return fine_tuned and not state.history
        if self.reason_to_stop(state):
            return True
        every = self.options.validation.every
        return state.update % every == 0 if every else state.place.pairs == 0

    def checkpoint_due(self, state: TrainingState) -> bool:
        """Whether to save a checkpoint now, where nothing is validated."""
        every = self.options.checkpoint_every
        return every is not None and state.update % every == 0

    def is_best(self, state: TrainingState, loss: float, value: float) -> bool:
        """Whether a validation's value is the best; of equal ones (no BLEU yet) the lower loss."""
        if not math.isfinite(loss):
            return False
        if state.best is None or state.best_loss is None or value != state.best:
            return state.best is None or value > state.best
        return loss < state.best_loss

    def count_validation(self, state: TrainingState, *, best: bool) -> None:
        """Keeps the counts of early stopping and of the plateau schedule."""
        state.validated = True
        state.stale = 0 if best else state.stale + 1
        schedule = self.options.schedule
        if isinstance(schedule, Plateau):
            state.plateau = 0 if best else state.plateau + 1
            if state.plateau > schedule.patience:
                state.plateau = 0
                state.reductions += 1


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended; counts and seconds are over all its sessions."""

    run: Path
    finished: bool  # False if a signal ended it: the same command resumes it
    stopped: str  # why it ended
    updates: int
    skipped: int  # updates whose numbers were not finite
    seconds: float
    best: dict[str, Any] | None  # the best validation's record ("update", "loss", "bleu", ...)
    halved: int = 0  # batches that did not fit into memory, and were taken in parts
    rollbacks: int = 0  # times back to an earlier checkpoint, at half the learning rate
    start: dict[str, Any] | None = None  # the record of the weights that fine-tuning began with
    labels: Mapping[str, str] = field(default_factory=dict)  # the task's metrics in ``best``
    signal: str = ""  # "SIGINT" or "SIGTERM" where that ended it
    digits: Mapping[str, int] = field(default_factory=dict)  # how exactly metrics are shown
    problem: str = ""  # what it was trained for, where that is not translation

    @classmethod
    def of(
        cls, run: Path, state: TrainingState, labels: Mapping[str, str], signal: str = ""
    ) -> TrainingResult:
        """How a training stands, where ``labels`` are the names of metrics for people."""
        best = state.best_update, state.best_loss  # the mean of the last weights has its own loss
        found = [one for one in state.history if (one["update"], one["loss"]) == best]
        return cls(
            run=run,
            finished=bool(state.stopped),
            stopped=state.stopped or "interrupted",
            updates=state.update,
            skipped=state.skipped,
            halved=state.halved,
            rollbacks=state.rollbacks,
            seconds=state.seconds,
            best=found[-1] if found else None,
            start=next((record for record in state.history if not record["update"]), None),
            labels=labels,
            signal="" if state.stopped else signal,
        )
