"""``scripts/sweep``: trainings in a queue, by named settings and seeds, and a table of them.

Each training is a process of its own. What it has reached is a row of ``rows.jsonl``, written when
it ends; the next call makes the rows that are missing, and goes on with runs that were stopped.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import statistics
import subprocess
import sys
import time
import tomllib
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from benchmarks.arguments import positive
from benchmarks.bleu import training_command
from benchmarks.equal_time import seconds_of_an_update
from benchmarks.figures import add_row, mean_text, rows_of, table, write_json, write_text
from benchmarks.machine import machine
from benchmarks.model import options
from benchmarks.peers import running, say, tail
from benchmarks.processes import handle_signals
from seq2seq.data.dataset import data_tables
from seq2seq.errors import Seq2SeqError
from seq2seq.processors import usable_processors
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe, recipe_to_toml
from seq2seq.report.record import RunRecord
from seq2seq.storage.layout import MANIFEST
from seq2seq.storage.lock import is_locked

ROWS = "rows.jsonl"
POLL = 0.2  # seconds


class Sweep(BaseModel):
    """What a file asks for.

    Attributes:
        recipe: A packaged recipe's name, or a file, relative to this one's folder.
        set: What is set in it for all, KEY=VALUE each; paths are relative to the current folder.
        seeds: How often each setting is trained, and from which seeds.
        minutes: How long each is trained, for as many updates as it makes in them by itself; none:
            the recipe says how long.
        settings: What each named setting sets besides.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    recipe: str
    set: list[str] = []
    seeds: list[int] = Field(default=[1], min_length=1)
    minutes: float | None = Field(default=None, gt=0, strict=False)
    settings: dict[str, list[str]] = Field(min_length=1)

    @field_validator("settings")
    @classmethod
    def _named(cls, settings: dict[str, list[str]]) -> dict[str, list[str]]:
        for name in settings:
            if not re.fullmatch(r"[\w][\w.+-]*", name):
                raise ValueError(f"{name!r} cannot be a folder's name: use letters, digits and -")
        return settings

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        if len({*seeds}) < len(seeds):
            raise ValueError("names a seed twice")
        return seeds


@dataclass(frozen=True)
class Training:
    """One of them.

    Attributes:
        name: The setting's.
        seed: Of weights and batches.
        recipe: The recipe, by its name or file.
        settings: All that is set in it.
        checked: The recipe with them.
        minutes: How long it takes; None: as long as the recipe says.
    """

    name: str
    seed: int
    recipe: str
    settings: tuple[str, ...]
    checked: Recipe = field(compare=False, repr=False)
    minutes: float | None = None

    @property
    def folder(self) -> str:
        """The name of its run's folder: with other settings, it is another run."""
        digest = _digest(recipe_to_toml(self.checked))
        return f"{self.name}-{self.seed}-{digest}"

    @property
    def data(self) -> str | None:
        """The name of its prepared folder, which others may share; None: it needs none."""
        if self.checked.data.kind is not None:
            return None
        return f"data-{_digest(json.dumps(data_tables(self.checked), sort_keys=True))}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def read_sweep(path: Path) -> list[Training]:
    """Reads a file, and checks all its recipes.

    Args:
        path: The file.

    Returns:
        The trainings, a setting's seeds apart: after a part of the queue, all settings have some.

    Raises:
        Seq2SeqError: If the file, or a recipe with one of its settings, cannot be used.
    """
    try:
        sweep = Sweep.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise Seq2SeqError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Seq2SeqError(f"{path}: cannot be read: it is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise Seq2SeqError(f"{path}: no TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise Seq2SeqError(
            f"{path}: {place}: {message} (there are recipe, set, seeds, minutes and [settings])"
        ) from None
    beside = path.parent / sweep.recipe
    recipe = str(beside) if beside.is_file() else sweep.recipe
    found = []
    for seed in sweep.seeds:
        for name, own in sweep.settings.items():
            settings = (*sweep.set, *own, f"seed={seed}")
            checked = load_recipe(recipe, settings)
            if sweep.minutes is not None and checked.data.kind is not None:
                raise Seq2SeqError(
                    f"{path}: minutes: is for pairs of texts, and {recipe} trains a problem: "
                    "set training.updates"
                )
            found.append(Training(name, seed, recipe, settings, checked, sweep.minutes))
    return found


class Job:
    """A training under way.

    Args:
        training: Which.
        work: The sweep's folder.
        threads: Processor threads.
    """

    def __init__(self, training: Training, work: Path, threads: int) -> None:
        self.training = training
        self.run = work / training.folder
        self.log = work / f"{training.folder}.log"
        data = None if training.data is None else work / training.data
        recipe, settings = training.recipe, training.settings
        self._command = training_command(recipe, settings, data, self.run, threads)
        self._threads = threads
        self._process: subprocess.Popen[bytes] | None = None
        self._stack = ExitStack()
        self._waits = False

    def poll(self) -> int | None:
        """Starts it as soon as that can be.

        Returns:
            Its exit code; None while it runs. A process that a killed call has left training there
            is waited for.
        """
        if self._process is not None:
            return self._process.poll()
        if not is_locked(self.run):
            say(f"{self.training.folder}: training, see {self.log} ...")
            started = running(self._command, self.log, self._threads, "a")
            self._process = self._stack.enter_context(started)
        elif not self._waits:
            self._waits = True
            say(f"{self.training.folder}: another process is training it, and is waited for")
        return None

    def close(self) -> None:
        """Ends its process, which saves first."""
        self._stack.close()

    def row(self) -> dict[str, Any] | None:
        """What the run has reached, once it has ended.

        Returns:
            Its row; None if no validation has found a finite loss, so that there is no model.
        """
        record = RunRecord.read(self.run)
        if not record.card:
            return None
        best = record.card["validation"]
        wanted = self.training.checked.training.early_stopping.metric
        metric = wanted if best.get(wanted) is not None else "loss"
        return {
            "folder": self.training.folder,
            "name": self.training.name,
            "seed": self.training.seed,
            "settings": list(self.training.settings),
            "metric": metric,
            "score": best[metric],
            "best": best,
            "updates": record.state["update"],
            "minutes": round(record.state["seconds"] / 60, 2),
            "parameters": record.card["parameters"],
        }


def prepare(trainings: Sequence[Training], work: Path) -> dict[str, str]:
    """Prepares each corpus once.

    Args:
        trainings: What needs it.
        work: The sweep's folder.

    Returns:
        What went wrong, by the names of prepared folders.
    """
    failed = {}
    for name, one in {one.data: one for one in trainings}.items():
        if name is None or (work / name / MANIFEST).is_file():
            continue
        log = work / f"{name}.log"
        say(f"{name}: preparing, see {log} ...")
        command = [sys.executable, "-m", "seq2seq", "prepare", one.recipe, *options(one.settings)]
        with running([*command, "-o", str(work / name)], log, usable_processors()) as process:
            if process.wait():
                failed[name] = tail(log)
    return failed


def at_equal_time(trainings: Sequence[Training], work: Path, threads: int) -> list[Training]:
    """Gives each setting as many updates as it makes in its minutes, without its validations.

    Args:
        trainings: What is trained, for how many minutes.
        work: The sweep's folder.
        threads: Processor threads of each.

    Returns:
        The trainings with these numbers; those whose corpus cannot be prepared as they are.
    """
    unprepared = prepare(trainings, work)
    firsts: dict[str, Training] = {}  # each setting's first seed
    for one in trainings:
        if one.data not in unprepared:
            firsts.setdefault(one.name, one)
    folders = {one.folder: (one, work / str(one.data)) for one in firsts.values()}
    seconds = seconds_of_an_update(folders, work, threads)

    def lasting(one: Training) -> Training:
        if one.name not in firsts or one.minutes is None:
            return one
        updates = max(1, round(60 * one.minutes / seconds[firsts[one.name].folder]))
        lasts = "training.epochs=none", f"training.updates={updates}"
        settings = (*one.settings, *lasts)
        return replace(one, settings=settings, checked=load_recipe(one.recipe, settings))

    return [lasting(one) for one in trainings]


@dataclass
class Results:
    """What there is so far.

    Attributes:
        trainings: All that were asked for.
        rows: What has ended well, in the order of the trainings.
        failed: What went wrong, by the folder's name.
    """

    trainings: Sequence[Training]
    rows: list[dict[str, Any]]
    failed: dict[str, str] = field(default_factory=dict)


def sweep(trainings: Sequence[Training], work: Path, jobs: int, threads: int) -> Iterator[Results]:
    """Makes the trainings whose rows are not there yet.

    Args:
        trainings: What is trained.
        work: The folder of runs and rows.
        jobs: How many at a time.
        threads: Of each.

    Yields:
        What there is, before the first training and after each.
    """
    work.mkdir(parents=True, exist_ok=True)
    if trainings[0].minutes is not None:
        trainings = at_equal_time(trainings, work, threads)
    known = {row["folder"]: row for row in rows_of(work / ROWS)}
    missing = [one for one in trainings if one.folder not in known]
    unprepared = prepare(missing, work)
    failed = {one.folder: unprepared[one.data] for one in missing if one.data in unprepared}
    for name, words in failed.items():
        say(f"{name}: its corpus cannot be prepared:\n{words}")

    def results() -> Results:
        return Results(trainings, [known[t.folder] for t in trainings if t.folder in known], failed)

    yield results()
    queue = deque(one for one in missing if one.folder not in failed)
    under_way: list[Job] = []
    try:
        while queue or under_way:
            while queue and len(under_way) < jobs:
                under_way.append(Job(queue.popleft(), work, threads))
            ended = [(job, code) for job in under_way if (code := job.poll()) is not None]
            for job, code in ended:
                under_way.remove(job)
                job.close()
                name = job.training.folder
                if row := None if code else job.row():
                    known[name] = row
                    add_row(work / ROWS, row)
                    say(f"{name}: {_line(row)}")
                else:
                    failed[name] = tail(job.log)
                    why = f"exit code {code}" if code else "no finite loss"
                    say(f"{name}: failed ({why}):\n{failed[name]}")
                yield results()
            if not ended:
                time.sleep(POLL)
    finally:
        for job in under_way:
            job.close()


def _line(row: dict[str, Any]) -> str:
    return (
        f"{row['metric']} {row['score']:.{_digits(row)}f} at update {row['best']['update']:,}, "
        f"{row['updates']:,} updates in {row['minutes']:.1f} min"
    )


def _digits(row: dict[str, Any]) -> int:
    return 2 if row["metric"] in ("bleu", "chrf") else 4


def summary(results: Results) -> list[dict[str, Any]]:
    """Sums up the seeds of each setting.

    Args:
        results: What there is.

    Returns:
        A table for each setting that has a row, in the order of the file.
    """
    found = []
    for name in dict.fromkeys(one.name for one in results.trainings):
        rows = [row for row in results.rows if row["name"] == name]
        if not rows:
            continue
        scores = [row["score"] for row in rows]
        found.append(
            {
                "name": name,
                "metric": rows[0]["metric"],
                "seeds": [row["seed"] for row in rows],
                "mean": statistics.mean(scores),
                "deviation": statistics.stdev(scores) if len(scores) > 1 else None,
                "low": min(scores),
                "high": max(scores),
                "best_update": statistics.mean(row["best"]["update"] for row in rows),
                "updates": statistics.mean(row["updates"] for row in rows),
                "minutes": statistics.mean(row["minutes"] for row in rows),
                "parameters": rows[0]["parameters"],
            }
        )
    return found


def report(results: Results, facts: dict[str, str]) -> str:
    """The results as Markdown.

    Args:
        results: What there is.
        facts: About the machine.

    Returns:
        A table of settings, and what is missing.
    """
    lines = []
    for one in summary(results):
        rows = [row for row in results.rows if row["name"] == one["name"]]
        lines.append(
            [
                one["name"],
                str(len(rows)),
                f"{one['metric']} {mean_text([r['score'] for r in rows], _digits(rows[0]))}",
                f"{one['best_update']:,.0f}",
                f"{one['updates']:,.0f}",
                mean_text([row["minutes"] for row in rows], 1),
                f"{one['parameters']:,}",
            ]
        )
    head = "setting", "seeds", "score", "best at update", "updates", "minutes", "parameters"
    parts = [
        "# Sweep",
        "; ".join(f"{name} {value}" for name, value in facts.items()) + ".",
        table(head, lines),
        "Scores on the validation set, of each run's best validation by its own metric. Mean over "
        "seeds ± standard deviation (lowest–highest); updates are means.",
    ]
    missing = len(results.trainings) - len(results.rows) - len(results.failed)
    if missing:
        parts.append(f"{missing} of {len(results.trainings)} trainings are not done yet.")
    parts += [f"{name} failed:\n\n{words}" for name, words in results.failed.items()]
    return "\n\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: Its words; None: those of this process.

    Returns:
        The exit status: 1 if a training failed.
    """
    parser = argparse.ArgumentParser(prog="scripts/sweep")
    parser.add_argument("file", type=Path)
    parser.add_argument("-o", "--output", type=Path, help="default: sweeps/NAME")
    parser.add_argument("--jobs", type=positive, default=usable_processors())
    parser.add_argument("--threads", type=positive, default=1)
    asked = parser.parse_args(arguments)
    work: Path = asked.output or Path("sweeps", asked.file.stem)
    try:
        trainings = read_sweep(asked.file)
        facts = machine(asked.threads)
        for results in sweep(trainings, work, asked.jobs, asked.threads):
            found = report(results, facts)
            write_text(work / "results.md", found)
            figures = {"machine": facts, "summary": summary(results), "rows": results.rows}
            write_json(work / "results.json", {**figures, "failed": results.failed})
    except (Seq2SeqError, OSError) as error:
        print(f"sweep: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped; the next call goes on with what is there.", file=sys.stderr)
        return 130
    print(found)
    return 1 if results.failed else 0


if __name__ == "__main__":
    handle_signals()
    sys.exit(main())
