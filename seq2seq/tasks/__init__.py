"""What a model is trained for, and all that follows from it.

Training, fine-tuning, validation and the run's page know a task by ``Task`` alone, so another task
is one file here and a line in ``task_for``: ``translation`` and ``problem`` are there. What is
translation's own elsewhere: most tables of a recipe (also the choice between loss, BLEU and chrF in
``early_stopping``), the pairs of texts that ``data`` reads and stores, and the verbs and engines
that translate. In the order of a training:

1. ``task = task_for(recipe)``; ``task.prepare`` or ``task.open`` gives the data.
2. ``model = task.build_model(tokenizers)``, after the seed is set; ``loss = task.loss(model)``.
3. ``task.collate`` makes a ``PaddedBatch`` of some rows, in the thread that prefetches. Where
   memory is short the batch is cut by ``halves``.
4. ``total, shown = loss(batch.to(device))`` gives sums. They are added up over the
   batches and processes of an update and divided once, by the sum of ``batch.targets``.
5. Validation sums the same on all rows, and, if ``task.predicts``, calls ``task.predict`` for this
   process's rows and ``task.measure`` for the predictions of all processes.
   ``task.value`` says which validation is the best, ``task.solved`` whether there is no more to do.
6. The best weights are published with ``task.examples`` and what ``task.card`` says of them.
7. The page of the run has the curves of ``task.metrics`` and the sections of ``task.report``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, runtime_checkable

import torch
from pydantic import BaseModel
from torch import nn

from seq2seq.data import Progress
from seq2seq.data.batching import Ints
from seq2seq.data.dataset import Dataset, PreparedData, Ragged
from seq2seq.recipe import Recipe
from seq2seq.text.tokenizer import Tokenizers

Json = dict[str, Any]


class PaddedBatch(Protocol):
    """Rows that go through the model together, as tensors; ``len`` counts the rows."""

    def __len__(self) -> int: ...

    @property
    def targets(self) -> int:
        """Predictions that the loss sums over: what the sum is divided by."""

    @property
    def width(self) -> int:
        """Tokens of the longest row."""

    @property
    def tokens(self) -> int:
        """Real tokens."""

    @property
    def cells(self) -> int:
        """Places in the matrices, padding counted."""

    def halves(self) -> tuple[Self, Self]:
        """Cuts a batch of two rows or more in two, each as if it had been made alone."""

    def without_targets(self) -> Self:
        """The same rows with a loss and gradients of zero."""

    def to(self, device: torch.device) -> Self:
        """Moves all tensors to a device."""


@runtime_checkable
class Scheduled(Protocol):
    """A loss that changes over the training; ``Task.loss`` may return one."""

    def begin(self, update: int) -> None:
        """Is called before each update with its number, from 1."""


@dataclass(frozen=True)
class Metric:
    """A figure of the predictions: its key in ``metrics.jsonl``, its label, its curve's title.

    ``signature`` says what exactly was computed, for the record; empty: the key says it all.
    """

    key: str
    label: str
    title: str
    digits: int = 2  # after the point, where it is shown
    signature: str = ""


@dataclass(frozen=True)
class Words:
    """What a task's rows, their targets and the loss are called where people read of them."""

    row: str = "pair"
    target: str = "target token"
    loss: str = "nats a target token"
    perplexity: bool = True  # whether that is shown beside the loss
    step: str = "piece"  # of a row


@dataclass(frozen=True)
class Network:
    """A model with what is needed to predict with it; ``precision``: of its matrix products."""

    model: nn.Module
    tokenizers: Tokenizers
    precision: torch.dtype


class Validation(Protocol):
    """What ``Task.value`` looks at: the mean loss, and the metrics that were measured."""

    @property
    def loss(self) -> float:
        """The mean loss a target, in nats."""

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """Metrics by their keys; None where they were not asked for."""


@dataclass(frozen=True)
class ReportSection:
    """A section of a run's page: anchor ``name``, ``title`` in the list of sections, heading.

    ``template``, in Jinja, follows the heading and inserts ``values``, which are escaped.
    """

    name: str
    title: str
    heading: str
    template: str
    values: Json


@dataclass(frozen=True)
class TaskReport:
    """A task's part of a run's page: figures and notes in the headline, and sections."""

    figures: Sequence[tuple[str, float]] = ()
    notes: Sequence[str] = ()
    sections: Sequence[ReportSection] = field(default=())


class Task(Protocol):
    """See above; made of a recipe by ``task_for``."""

    examples_shape: ClassVar[type[BaseModel]]
    """What ``report`` relies on of the examples: files of another structure are refused."""

    @property
    def metrics(self) -> Sequence[Metric]:
        """The figures that ``measure`` may give."""

    @property
    def words(self) -> Words:
        """What things are called."""

    @property
    def predicts(self) -> bool:
        """Whether the recipe wants the validation set predicted."""

    @property
    def leaves_weights_unused(self) -> bool:
        """Whether the model has weights that get no gradient."""

    def prepare(self, folder: Path, *, progress: Progress | None = None) -> PreparedData:
        """Prepares the recipe's data in a new folder."""

    def open(self, folder: Path) -> PreparedData:
        """Opens a prepared folder."""

    def collate(self, source: Ragged, target: Ragged) -> PaddedBatch:
        """Makes a batch of the ids of some rows."""

    def build_model(self, tokenizers: Tokenizers) -> nn.Module:
        """A new model, with weights drawn from torch's random numbers."""

    def loss(self, model: Any, *, twice_differentiable: bool = False) -> nn.Module:
        """A module from a batch to two sums: one to be minimized, and one to be shown.

        The second is the negative log-likelihood, in nats, without any smoothing. Second
        derivatives of the first are needed only where they are asked for. The module then has two
        methods more: ``outputs(batch)``, the network's outputs (N, K) at the N targets, and
        ``sums(outputs, batch)``, both sums from them, the first convex in the outputs.
        """

    def predict(self, network: Network, dataset: Dataset, rows: Ints, batch_size: int) -> list[Any]:
        """Predicts rows of a data set, as plain values, so many rows at a time."""

    def measure(self, predictions: Sequence[Any], dataset: Dataset) -> dict[str, float]:
        """The metrics of the predictions for a data set's first rows, by their keys."""

    def value(self, found: Validation) -> float:
        """What decides which validation is best, larger being better; of equal ones, the loss."""

    def solved(self, found: Validation) -> bool | None:
        """Whether a validation finds that nothing is left to learn; None: that cannot be said."""

    def graphs(self, weights: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
        """Files published beside the weights, for use without torch, by their names."""

    def examples(
        self, network: Network, dataset: Dataset, predictions: Sequence[Any]
    ) -> Json | None:
        """What ``examples.json`` keeps of a validation for the page; None: nothing."""

    def remark(self, found: Validation) -> str:
        """What is said beside a validation's figures; mostly nothing."""

    def card(self, record: Json, examples: Json | None) -> Json:
        """What the model's card says of a validation: at least its record as "validation"."""

    def report(self, card: Json, examples: Json | None) -> TaskReport:
        """This task's part of a run's page; card and examples may be of any version."""


def labels_of(task: Task) -> dict[str, str]:
    """The names of a task's metrics for people, by their keys."""
    return {one.key: one.label for one in task.metrics}


def task_for(recipe: Recipe) -> Task:
    """The task of a recipe: translation, where ``data.kind`` does not say another."""
    if recipe.data.kind == "problem":
        from seq2seq.tasks.problem import ProblemTask

        return ProblemTask(recipe)
    from seq2seq.tasks.translation import TranslationTask

    return TranslationTask(recipe)


if TYPE_CHECKING:  # the type checker holds the tasks to the protocol
    from seq2seq.tasks.problem import ProblemTask
    from seq2seq.tasks.translation import TranslationTask

    _: tuple[type[Task], ...] = (TranslationTask, ProblemTask)
