"""``scripts/bench cells``: recurrent cells beside each other, in models of the same sizes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks.bleu import Reached, reached_by, training_command
from benchmarks.model import RECIPE
from benchmarks.peers import running, say, tail
from benchmarks.processes import WorkerError
from benchmarks.steps import bare_step
from benchmarks.text import Text
from benchmarks.trial import Trial
from seq2seq.inference.engines.onnx import OnnxEngine, open_session
from seq2seq.inference.engines.onnx.network import OnnxNetwork
from seq2seq.metrics import bleu
from seq2seq.models.translation import TranslationModel
from seq2seq.models.weights import tensors_of

TABLES = {
    "rnn": '{kind="rnn"}',
    "irnn": '{kind="rnn", activation="relu"}',
    "gru": '{kind="gru"}',
    "gru-before": '{kind="gru", reset="before"}',
    "lstm": '{kind="lstm"}',
    "lstm-chrono": '{kind="lstm", chrono=50}',
    "lstm-coupled": '{kind="lstm", coupled=true}',
    "lstm-peephole": '{kind="lstm", peephole=true}',
    "lstm-norm": '{kind="lstm", layer_norm=true}',
    **{
        kind: f'{{kind="{kind}"}}'
        for kind in ("mgu", "transition", "sru", "ssru", "mingru", "minlstm", "echo")
    },
}
"""What each name of the command line sets as the cell of both halves."""

MODELS = {"attention": "general", "bare": "none"}
SENTENCES, BEAM, WIDTH = 32, 5, 20  # what is decoded


@dataclass
class Row:
    """A cell in a model, and what was measured of it.

    Attributes:
        cell: Its name.
        model: "attention" or "bare".
        parameters: How many are learned.
        training: Target tokens a second, by turn.
        update: Seconds of an update, by turn.
        decoding: Tokens a second of all hypotheses' sentences, by turn.
        timed: What each seed has reached in the time asked for.
        passed: What each seed has reached in the epochs asked for.
        by_length: BLEU of sources by their length, short, middle, long, by seed; after the epochs,
            or else after the time.
    """

    cell: str
    model: str
    parameters: int = 0
    training: list[float] = field(default_factory=list)
    update: list[float] = field(default_factory=list)
    decoding: list[float] = field(default_factory=list)
    timed: list[Reached] = field(default_factory=list)
    passed: list[Reached] = field(default_factory=list)
    by_length: list[list[float]] = field(default_factory=list)

    @property
    def settings(self) -> list[str]:
        """What it sets in the recipe."""
        table = TABLES[self.cell]
        return [
            *(f"model.{side}.cell={table}" for side in ("encoder", "decoder")),
            f"model.decoder.attention={MODELS[self.model]}",
            *(["model.recurrent_init=identity"] if self.cell == "irnn" else []),
        ]


@dataclass
class Figures:
    """All that was measured.

    Attributes:
        rows: By cell and model.
        turns: How many turns counted.
        updates: Updates of a turn.
        lengths: Words of the validation set's sources that part short, middle and long ones.
        problems: What could not be measured, and why.
    """

    rows: list[Row]
    turns: int
    updates: int
    lengths: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        text: The text.
        data: Prepared from it.
        work: Where runs and logs go.
        threads: Processor threads.
        turns: Turns that count.
        updates: Updates of a turn.
        settings: What is set in the recipe.
        seconds: Of training each, for as many updates as it makes in them by its median speed, so
            that what else the machine does then changes nothing; None: for speed alone.
        epochs: For how many epochs each is trained; None: for speed alone.
        seeds: How many trainings each.
    """

    text: Text
    data: Path
    work: Path
    threads: int
    turns: int
    updates: int
    settings: tuple[str, ...] = ()
    seconds: float | None = None
    epochs: int | None = None
    seeds: int = 1


def rows(cells: Sequence[str], models: Sequence[str]) -> list[Row]:
    """All rows of the table.

    Args:
        cells: Names of ``TABLES``.
        models: Names of ``MODELS``.

    Returns:
        Nothing measured yet.
    """
    return [Row(cell, model) for model in models for cell in cells]


def measure(plan: Plan, figures: Figures) -> None:
    """Measures speeds, then what is reached; the figures go into the rows.

    Args:
        plan: What.
        figures: The rows.
    """
    torch.set_num_threads(plan.threads)
    _speeds(plan, figures)
    plan.work.mkdir(parents=True, exist_ok=True)
    for row in figures.rows:
        try:
            _reached(plan, row, figures)
        except WorkerError as problem:
            figures.problems.append(str(problem))
            say(f"left out: {problem}")


def _speeds(plan: Plan, figures: Figures) -> None:
    """Rows take turns, so that a machine that drifts drifts for all.

    Each is built anew for its turn: all of them together would take gigabytes.
    """
    for turn in range(1, plan.turns + 1):
        for row in figures.rows:
            trial = Trial(plan.data, [*plan.settings, *row.settings])
            row.parameters = trial.facts()["parameters"]
            trial.turn(1)  # the warm-up
            found = trial.turn(plan.updates)
            row.training.append(found["tokens"] / found["seconds"])
            row.update.append(found["seconds"] / plan.updates)
            engine = decoder(trial.updater.model, plan.threads)
            row.decoding.append(SENTENCES / bare_step(engine, SENTENCES, BEAM, WIDTH))
        say(f"speed, turn {turn} of {plan.turns}")


def decoder(model: TranslationModel, threads: int) -> OnnxEngine:
    """The engine that translates with a model.

    Args:
        model: The model.
        threads: Processor threads.

    Returns:
        Its graphs, opened.
    """
    weights = {name: one.float().numpy() for name, one in tensors_of(model).items()}
    network = OnnxNetwork(model.options, weights)
    graphs = network.encoder("float32"), network.step("float32")
    sessions = [open_session(graph.SerializeToString(), threads) for graph in graphs]
    return OnnxEngine(*sessions, model.options, len(weights["output.bias"]))


def _reached(plan: Plan, row: Row, figures: Figures) -> None:
    for seed in range(1, plan.seeds + 1):
        name = f"{row.cell}-{row.model}-{seed}"
        if plan.seconds is not None:
            updates = max(1, round(plan.seconds / median(row.update)))
            lasts = f"training.updates={updates}", f"training.epochs={updates}"
            reached, by_length = _trained(plan, row, figures, f"{name}-time", seed, lasts)
            row.timed.append(reached)
        if plan.epochs is not None:
            lasts = (f"training.epochs={plan.epochs}",)
            reached, by_length = _trained(plan, row, figures, f"{name}-epochs", seed, lasts)
            row.passed.append(reached)
        if plan.seconds is not None or plan.epochs is not None:
            row.by_length.append(by_length)


def _trained(
    plan: Plan, row: Row, figures: Figures, name: str, seed: int, lasts: Sequence[str]
) -> tuple[Reached, list[float]]:
    """Trains, and tells BLEU of all and by the sources' length."""
    settings = [*plan.text.settings, *plan.settings, *row.settings, f"seed={seed}", *lasts]
    run = plan.work / name
    shutil.rmtree(run, ignore_errors=True)
    command = training_command(str(RECIPE), settings, plan.data, run, plan.threads)
    begun, log = time.perf_counter(), run.with_name(f"{name}.log")
    say(f"{name}: training, see {log} ...")
    with running(command, log, plan.threads) as process:
        if process.wait():
            raise WorkerError(f"{name}: training failed:\n{tail(log)}")
    seconds = time.perf_counter() - begun
    reached, found = reached_by(name, run, seconds, plan.text, plan.threads)
    say(f"{name}: BLEU {reached.bleu:.2f} after {seconds / 60:.1f} min")
    return reached, _by_length(plan, figures, found)


def _by_length(plan: Plan, figures: Figures, found: list[str]) -> list[float]:
    sources, references = plan.text.val.lines()
    words = np.array([len(line.split()) for line in sources])
    figures.lengths = [int(one) for one in np.quantile(words, (1 / 3, 2 / 3))]
    part_of = np.searchsorted(figures.lengths, words, side="left")
    return [
        bleu([found[i] for i in places], [references[i] for i in places]) if len(places) else 0.0
        for places in (np.flatnonzero(part_of == part) for part in range(3))
    ]
