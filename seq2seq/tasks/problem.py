"""A standard problem: sequences drawn as they are needed, a recurrent network, a linear readout."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import BaseModel
from torch import nn

from seq2seq.data import Progress
from seq2seq.data.arrow import Dataset, Ragged
from seq2seq.data.batching import Ints
from seq2seq.data.dataset import PreparedData
from seq2seq.data.problems import problem_of
from seq2seq.data.problems.batch import ProblemBatch
from seq2seq.data.problems.dataset import SEED, problem_data
from seq2seq.models.problem import ProblemLosses, ProblemModel
from seq2seq.nn.cells import check_first_values
from seq2seq.recipe import Recipe
from seq2seq.recipe.training import Ridge
from seq2seq.tasks import (
    Json,
    Metric,
    Network,
    ReportSection,
    TaskReport,
    Validation,
    Words,
)
from seq2seq.text.tokenizer import Tokenizers


class _NoExamples(BaseModel):
    """A problem's run keeps none."""


class ProblemTask:
    """See ``Task``."""

    examples_shape: ClassVar[type[BaseModel]] = _NoExamples

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.problem = problem_of(recipe.data)
        self.seed = SEED if recipe.data.seed is None else recipe.data.seed

    @property
    def metrics(self) -> Sequence[Metric]:
        return tuple(Metric(*one) for one in self.problem.figures)

    @property
    def words(self) -> Words:
        loss = "squared error" if self.problem.numbers else "nats"
        return Words("sequence", "target", f"{loss} a target", perplexity=False, step="step")

    # -- data and model ---------------------------------------------------------------------

    def prepare(self, folder: Path, *, progress: Progress | None = None) -> PreparedData:
        return problem_data(self.recipe, folder)

    def open(self, folder: Path) -> PreparedData:
        return problem_data(self.recipe, folder)

    def collate(self, source: Ragged, target: Ragged) -> ProblemBatch:
        """Draws the sequences whose numbers stand in the place of ids."""
        return ProblemBatch.of(self.problem.draw(self.seed, source.values))

    def build_model(self, tokenizers: Tokenizers) -> ProblemModel:
        method = self.recipe.training.method
        model = ProblemModel(
            self.recipe.model,
            self.problem.inputs,
            self.problem.outputs,
            reads_inputs=isinstance(method, Ridge) and method.inputs,
            window=self.recipe.training.bptt_window,
        )
        check_first_values(model)
        return model

    @property
    def leaves_weights_unused(self) -> bool:
        return False

    def loss(self, model: ProblemModel, *, twice_differentiable: bool = False) -> nn.Module:
        """See ``ProblemLosses``, which has all derivatives."""
        return ProblemLosses(model, numbers=self.problem.numbers)

    # -- validation -------------------------------------------------------------------------

    @property
    def predicts(self) -> bool:
        return True

    def predict(
        self, network: Network, dataset: Dataset, rows: Ints, batch_size: int
    ) -> list[list[float]]:
        """The statistics of each sequence: see ``Problem.statistics``."""
        found: list[list[float]] = []
        for begin in range(0, len(rows), batch_size):
            found += self._statistics(network, dataset, rows[begin : begin + batch_size])
        return found

    @torch.no_grad()
    def _statistics(self, network: Network, dataset: Dataset, rows: Ints) -> list[list[float]]:
        model, precision = network.model.eval(), network.precision
        device = next(model.parameters()).device
        batch = self.collate(*dataset.ids(rows))
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            outputs = model(batch.to(device))
        outputs_BCK = outputs.float().cpu().unflatten(0, batch.targets_BC.shape[:2]).numpy()
        statistics_BS = self.problem.statistics(outputs_BCK, batch.targets_BC.numpy())
        listed: list[list[float]] = statistics_BS.tolist()
        return listed

    def measure(self, predictions: Sequence[Any], dataset: Dataset) -> dict[str, float]:
        return self.problem.measure(np.array(predictions, dtype=np.float64).sum(0))

    def value(self, found: Validation) -> float:
        """The negated share of wrong sequences, where there are such, or the negated loss."""
        wrong = found.metrics.get("wrong")
        if wrong is not None:
            return -wrong
        return -found.loss if math.isfinite(found.loss) else -math.inf

    def solved(self, found: Validation) -> bool | None:
        return self.problem.is_solved(found.metrics)

    # -- what people see --------------------------------------------------------------------

    def graphs(self, weights: Mapping[str, torch.Tensor]) -> dict[str, bytes]:
        """None: nothing but PyTorch runs such a model."""
        return {}

    def examples(
        self, network: Network, dataset: Dataset, predictions: Sequence[Any]
    ) -> Json | None:
        return None

    def remark(self, found: Validation) -> str:
        """How the figures are to be judged."""
        yardstick = f"baseline {self.problem.baseline}"
        if not self.problem.criterion:
            return f"({yardstick})"
        solved = "solved" if self.solved(found) else "not solved"
        return f"{solved} ({yardstick}; solved: {self.problem.criterion})"

    def card(self, record: Json, examples: Json | None) -> Json:
        """The validation, and what its figures are to be judged by."""
        data, problem = self.recipe.data, self.problem
        about = {"name": data.problem, "length": data.length, "baseline": problem.baseline}
        return {"validation": record, "problem": {**about, "criterion": problem.criterion}}

    def report(self, card: Json, examples: Json | None) -> TaskReport:
        """What the problem is, and how well it is solved."""
        template = files("seq2seq.tasks") / "templates/problem.html.j2"
        text = template.read_text(encoding="utf-8")
        values: Json = {"rows": list(self._rows(card.get("validation") or {}))}
        heading = f"The problem: {self.recipe.data.problem}"
        return TaskReport(sections=[ReportSection("problem", "Problem", heading, text, values)])

    def _rows(self, best: Json) -> Iterator[tuple[str, str]]:
        """Names and values of a table."""
        problem = self.problem
        yield "what", (type(problem).__doc__ or "").partition("\n")[0]
        yield "length", f"T = {problem.length:,}, {problem.steps:,} steps a sequence"
        yield "baseline", problem.baseline
        if problem.criterion:
            yield "solved", problem.criterion
        for one in self.metrics:
            if isinstance(best.get(one.key), int | float):
                yield f"best: {one.label}", f"{best[one.key]:.{one.digits}f}"
        if problem.criterion and best:
            yield "is it solved?", "yes" if best.get("solved") else "no"
