"""Which way to learn solves which problem of which length: trainings, and a table of them.

A way is a name and settings of the recipe: a cell, first weights, an optimizer. Each training is
one row of ``rows.jsonl``, written as it ends; the next call goes on with those that are missing,
and with the one that was stopped.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.figures import Spread, add_row, rows_of, table
from benchmarks.peers import say
from seq2seq.api import train
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe
from seq2seq.training.monitoring import Silent

ROWS = "rows.jsonl"
WAYS = tuple((cell, f"model.encoder.cell={cell}") for cell in ("rnn", "gru", "lstm"))


@dataclass(frozen=True)
class Plan:
    """What is trained.

    Attributes:
        problems: Packaged recipes, by their names.
        ways: Each a name, then settings of the recipe; ``{T}`` in one stands for the length.
        lengths: T.
        seeds: How many trainings each.
        settings: Settings of all.
        work: The folder of runs and rows.
        threads: Of each training.
        give_up: Whether a way that has solved a problem with no seed is left alone with longer
            ones.
    """

    problems: Sequence[str]
    ways: Sequence[Sequence[str]]
    lengths: Sequence[int]
    seeds: int
    settings: Sequence[str]
    work: Path
    threads: int
    give_up: bool = False

    def trainings(self) -> Iterator[Training]:
        """The trainings, in their order.

        Yields:
            Each.
        """
        for problem, length, way in product(self.problems, sorted(self.lengths), self.ways):
            for seed in range(1, self.seeds + 1):
                own = [one.replace("{T}", str(length)) for one in way[1:]]
                yield Training(problem, length, way[0], seed, (*self.settings, *own))


@dataclass(frozen=True)
class Training:
    """One of them.

    Attributes:
        problem: The recipe's name.
        length: T.
        way: The name of the way.
        seed: Of the weights and of the order of sequences.
        settings: Of the way, and of all.
    """

    problem: str
    length: int
    way: str
    seed: int
    settings: tuple[str, ...]

    @property
    def folder(self) -> str:
        """The name of its run's folder."""
        return f"{Path(self.problem).stem}-{self.length}-{self.way}-{self.seed}"

    def recipe(self) -> Recipe:
        """The recipe of its run.

        Returns:
            The recipe, with a batch as large as the length asks for, where nothing else is said.
        """
        own = [f"data.length={self.length}", f"seed={self.seed}"]
        return load_recipe(self.problem, [*own, *self.settings])


def measure(plan: Plan) -> list[dict[str, Any]]:
    """Makes the trainings whose rows are not there yet.

    Args:
        plan: What is trained.

    Returns:
        The rows of all of them, in the order of the plan.
    """
    path = plan.work / ROWS
    path.parent.mkdir(parents=True, exist_ok=True)
    known = {_key(row): row for row in rows_of(path)}
    found, solved = [], set()
    for one in plan.trainings():
        shorter = [length for length in plan.lengths if length < one.length]
        if plan.give_up and shorter and (one.problem, one.way, max(shorter)) not in solved:
            continue
        key = _key(asdict(one))
        if key not in known:
            known[key] = _trained(one, plan)
            add_row(path, known[key])
            say(_line(known[key]))
        found.append(known[key])
        if known[key]["solved"]:
            solved.add((one.problem, one.way, one.length))
    return found


def _trained(one: Training, plan: Plan) -> dict[str, Any]:
    run = plan.work / one.folder
    begun = time.process_time()  # what else the machine does is not in it
    result = train(one.recipe(), run, threads=plan.threads, monitor=Silent())
    if not result.finished:
        raise KeyboardInterrupt  # a signal came: the next call resumes it
    best = result.best or {}
    shutil.rmtree(run)  # the row says what there is to know
    return {
        **asdict(one),
        "settings": list(one.settings),
        "solved": best.get("solved"),
        "best": {key: best.get(key) for key in ("update", "loss", *result.labels)},
        "updates": result.updates,
        "seconds": round(time.process_time() - begun, 1),
    }


def _key(row: dict[str, Any]) -> str:
    return json.dumps([row[key] for key in ("problem", "length", "way", "seed", "settings")])


def _line(row: dict[str, Any]) -> str:
    best = ", ".join(
        f"{key} {value:.4g}" for key, value in row["best"].items() if value is not None
    )
    return (
        f"{row['problem']} T = {row['length']} {row['way']} seed {row['seed']}: "
        f"{'solved' if row['solved'] else 'not solved'} ({best}); {row['seconds']:.0f} s"
    )


def report(rows: Sequence[dict[str, Any]], facts: dict[str, str]) -> str:
    """A table for each problem: ways by lengths.

    Args:
        rows: What ``measure`` gave.
        facts: About the machine.

    Returns:
        Markdown.
    """
    parts = ["# Problems", "; ".join(f"{name} {value}" for name, value in facts.items()) + "."]
    for problem in dict.fromkeys(row["problem"] for row in rows):
        ours = [row for row in rows if row["problem"] == problem]
        lengths = list(dict.fromkeys(row["length"] for row in ours))
        lines = [
            [way, *(_cell(ours, way, length) for length in lengths)]
            for way in dict.fromkeys(row["way"] for row in ours)
        ]
        parts += [f"## {problem}", table(["way", *(f"T = {t}" for t in lengths)], lines)]
    parts.append(
        "How many seeds solved it; the best loss, and seconds of a processor for all of the "
        "training, each as its median (lowest–highest). –: not tried, as no seed solved a shorter "
        "one."
    )
    return "\n\n".join(parts) + "\n"


def _cell(every: Sequence[dict[str, Any]], way: str, length: int) -> str:
    rows = [row for row in every if (row["way"], row["length"]) == (way, length)]
    if not rows:
        return "–"
    losses = [row["best"]["loss"] for row in rows if row["best"]["loss"] is not None]
    loss = Spread.of(losses).text(4) if losses else "none"
    solved = sum(bool(row["solved"]) for row in rows)
    seconds = Spread.of(row["seconds"] for row in rows).text()
    return f"{solved} of {len(rows)}; loss {loss}; {seconds} s"
