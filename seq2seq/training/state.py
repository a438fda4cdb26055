"""Where a training stands: all that a checkpoint keeps besides tensors."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from seq2seq.data.batching import Place


@dataclass
class TrainingState:
    """Changed by the loop alone, saved with every checkpoint.

    Attributes:
        update: Updates tried so far; the random numbers of an update are a function of it.
        place: The next batch.
        tokens: Target tokens seen.
        seconds: Time spent in training, over all sessions.
        best: The best value of the early-stopping metric.
        best_loss: The validation loss there.
        best_update: The update it was at.
        stale: Validations since then.
        reductions: How often the plateau schedule cut the rate.
        plateau: Validations without improvement since the last cut.
        skipped: Updates skipped for numbers that were not finite.
        skipped_in_row: The same, since the last good one.
        rollbacks: How often training went back to an earlier checkpoint's weights; each time halves
            the learning rate.
        halved: Batches that did not fit into memory, and were taken in parts.
        validated: Whether this state was saved right after a validation.
        history: A record a validation.
        stopped: Why training ended; empty while it has not.
    """

    update: int = 0
    place: Place = field(default_factory=Place)
    tokens: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_loss: float | None = None
    best_update: int | None = None
    stale: int = 0
    reductions: int = 0
    plateau: int = 0
    skipped: int = 0
    skipped_in_row: int = 0
    rollbacks: int = 0
    halved: int = 0
    validated: bool = False
    history: list[dict[str, Any]] = field(default_factory=list)
    stopped: str = ""

    def to_json(self) -> dict[str, Any]:
        """As plain values.

        Returns:
            What ``from_json`` reads.
        """
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> TrainingState:
        """The state again.

        Args:
            values: From ``to_json``; what older versions did not know has its default.

        Returns:
            The state.

        Raises:
            ValueError: If values are missing, or are unknown to this version.
        """
        unknown = values.keys() - {f.name for f in fields(cls)}
        if missing := {"update", "place"} - values.keys():
            raise ValueError(f"the state lacks {', '.join(sorted(missing))}")
        if unknown:
            raise ValueError(f"the state has {', '.join(sorted(unknown))}, of another version")
        return cls(**{**values, "place": Place(**values["place"])})


@dataclass(frozen=True)
class TrainingResult:
    """How a training ended.

    Attributes:
        run: Its folder.
        finished: False if a signal ended it: the same command goes on.
        stopped: Why it ended.
        updates: Updates done, over all sessions.
        skipped: Updates skipped for numbers that were not finite.
        halved: Batches that did not fit into memory, and were taken in parts.
        rollbacks: How often training went back to an earlier checkpoint, at half the rate.
        seconds: Time spent, over all sessions.
        best: The best validation's record ("update", "loss", "bleu", ...); None if there was none.
        start: The record of the weights that fine-tuning began with; None where it did not.
    """

    run: Path
    finished: bool
    stopped: str
    updates: int
    skipped: int
    seconds: float
    best: dict[str, Any] | None
    halved: int = 0
    rollbacks: int = 0
    start: dict[str, Any] | None = None
