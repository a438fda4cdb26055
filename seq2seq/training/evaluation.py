"""Validation: the loss of a data set, and the metrics of what is predicted for it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from seq2seq.data.batching import Bounds, in_length_order
from seq2seq.data.dataset import Dataset
from seq2seq.errors import is_out_of_memory
from seq2seq.recipe import Recipe
from seq2seq.tasks import Network, PaddedBatch, Task, Words, labels_of
from seq2seq.text.tokenizer import Tokenizers
from seq2seq.training.distributed import ProcessGroup

_LEAST_TOKENS = 4096  # of a batch: without gradients there is room for so many
_ROWS = 128  # predicted at a time

Found = TypeVar("Found")


@dataclass(frozen=True)
class Forgetting:
    """What became of the validation set of the run that a model is fine-tuned from."""

    now: Validated
    before: Mapping[str, Any]  # its record before the first update; empty: this is before it

    def line(self) -> str:
        """The figures in words, each with the one before fine-tuning."""
        figures = [f"loss {self._since('loss', 3)}{self.now.loss:.3f}"]
        for key, value in self.now.metrics.items():
            if value is not None:
                label = self.now.labels.get(key, key)
                figures.append(f"{label} {self._since(key, 2)}{value:.2f}")
        if len(figures) > 1:
            figures.append(f"{self.now.seconds:.1f} s")
        return f"old validation set: {'  '.join(figures)}"

    def _since(self, key: str, digits: int) -> str:
        before = self.before.get(key)
        return "" if before is None else f"{before:.{digits}f} -> "


@dataclass(frozen=True)
class Validated:
    """What a validation found."""

    loss: float  # mean over targets, such as the negative log-likelihood without smoothing
    metrics: Mapping[str, float | None] = field(default_factory=dict)  # None: not asked for
    seconds: float = 0.0
    predictions: Sequence[Any] | None = None  # what the metrics were computed of, row by row
    old: Forgetting | None = None  # of a fine-tuned model: the old validation set
    labels: Mapping[str, str] = field(default_factory=dict)  # the metrics' names for people
    digits: Mapping[str, int] = field(default_factory=dict)  # and how exactly they are shown
    solved: bool | None = None  # whether nothing is left to learn; None: that cannot be said
    remark: str = ""  # what is said beside the figures
    words: Words = field(default_factory=Words)

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return math.exp(min(self.loss, 700.0))

    def record(self) -> dict[str, Any]:
        """The figures as ``metrics.jsonl`` has them."""
        loss = self.loss if math.isfinite(self.loss) else None
        solved = {} if self.solved is None else {"solved": self.solved}
        metrics = {
            key: value if value is not None and math.isfinite(value) else None
            for key, value in self.metrics.items()
        }
        return {"loss": loss, **metrics, **solved, "seconds": self.seconds}

    def line(self) -> str:
        """The figures in words."""
        metrics = "".join(
            f"  {self.labels.get(key, key)} {value:.{self.digits.get(key, 2)}f}"
            for key, value in self.metrics.items()
            if value is not None
        )
        remark = f"  {self.remark}" if self.remark else ""
        if not self.words.perplexity:
            return f"loss {self.loss:.4g}{metrics}  {self.seconds:.1f} s{remark}"
        perplexity = f"perplexity {self.perplexity:,.4g}"
        return f"loss {self.loss:.3f}  {perplexity}{metrics}  {self.seconds:.1f} s{remark}"


@dataclass(frozen=True)
class Evaluator:
    """Measures models on data sets.

    The recipe says how large batches are, and how many rows are predicted. All processes of
    ``group`` share the work and get the same figures.
    """

    task: Task
    recipe: Recipe
    tokenizers: Tokenizers
    precision: torch.dtype
    group: ProcessGroup = field(default_factory=ProcessGroup)

    def network(self, model: nn.Module) -> Network:
        """A model with what is needed to predict with it."""
        return Network(model, self.tokenizers, self.precision)

    def evaluate(self, model: nn.Module, dataset: Dataset) -> Validated:
        """Measures a model on a data set; the figures are the same for all processes."""
        begun = time.monotonic()
        with self.group.interruptible_together():
            own_loss = self.loss(model, dataset)
            own = self._own_predictions(model, dataset) if self.task.predicts else None
        loss, count = self.group.all_gather(own_loss).sum(0).tolist()
        metrics: dict[str, float | None] = {one.key: None for one in self.task.metrics}
        predictions = None
        if own is not None:
            predictions = self._of_all_processes(own)
            metrics |= self.task.measure(predictions, dataset)
        found = Validated(
            loss / max(count, 1),
            metrics,
            time.monotonic() - begun,
            predictions,
            labels=labels_of(self.task),
            digits={one.key: one.digits for one in self.task.metrics},
            words=self.task.words,
        )
        return replace(found, solved=self.task.solved(found), remark=self.task.remark(found))

    @torch.no_grad()
    def loss(self, model: nn.Module, dataset: Dataset) -> tuple[float, int]:
        """The loss of this process's part of a data set: every ``world_size``-th batch.

        Returns the sum of the negative log-likelihood, in nats, and the number of targets.
        """
        model.eval()
        loss = self.task.loss(model)
        device = next(model.parameters()).device
        enabled = self.precision != torch.float32

        def sums(batch: PaddedBatch) -> tuple[float, int]:
            with torch.autocast(device.type, self.precision, enabled=enabled):
                _, shown = loss(batch.to(device))
            return float(shown), batch.targets

        total, count = 0.0, 0
        bounds = Bounds(max(self.recipe.training.batch_tokens, _LEAST_TOKENS))
        share = self.group.share
        for rows in islice(in_length_order(dataset, bounds), share.rank, None, share.world):
            batch = self.task.collate(*dataset.ids(rows))

            def of_parts(size: int, batch: PaddedBatch = batch) -> list[tuple[float, int]]:
                return [sums(part) for part in _parts(batch, size)]

            for nll, targets in with_less_memory(of_parts, len(batch)):
                total, count = total + nll, count + targets
        return total, count

    def predictions(self, model: nn.Module, dataset: Dataset) -> list[Any]:
        """Predicts as many rows of a data set as the recipe says, with all processes."""
        with self.group.interruptible_together():
            own = self._own_predictions(model, dataset)
        return self._of_all_processes(own)

    def _own_predictions(self, model: nn.Module, dataset: Dataset) -> list[Any]:
        """This process's predictions: of every ``world_size``-th row."""
        count = min(len(dataset), self.recipe.training.validation.lines or len(dataset))
        rows = np.arange(self.group.rank, count, self.group.world_size)
        network = self.network(model)
        return with_less_memory(lambda size: self.task.predict(network, dataset, rows, size), _ROWS)

    def _of_all_processes(self, own: list[Any]) -> list[Any]:
        """Gathers the predictions of all processes, in the order of the rows."""
        each = [json.loads(text) for text in self.group.all_gather_text(json.dumps(own))]
        together: list[Any] = [None] * sum(map(len, each))
        for rank, some in enumerate(each):
            together[rank :: self.group.world_size] = some
        return together


def with_less_memory(attempt: Callable[[int], Found], rows: int) -> Found:
    """Calls ``attempt`` with a number of rows, halved until memory suffices."""
    while True:
        try:
            return attempt(rows)
        except Exception as error:
            if not is_out_of_memory(error) or rows == 1:
                raise
        rows //= 2  # not in the except block, whose traceback holds tensors


def _parts(batch: PaddedBatch, rows: int) -> Iterator[PaddedBatch]:
    """Cuts a batch into parts of at most so many rows."""
    if len(batch) <= rows:
        yield batch
        return
    for half in batch.halves():
        yield from _parts(half, rows)
