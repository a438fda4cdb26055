"""The page itself: what stands in the template's places."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from seq2seq import __version__
from seq2seq.recipe.files import recipe_to_toml
from seq2seq.report.charts import charts
from seq2seq.report.record import RunRecord
from seq2seq.report.text import redacted, shared_recipe, visible
from seq2seq.report.timeline import events, sessions, standing
from seq2seq.tasks import Json, task_for
from seq2seq.training.monitoring import clock

_ROWS = 40  # validations shown; of a long run the last ones, and the best


def render(run: RunRecord) -> str:
    """Makes a run's page: HTML that fetches nothing, a function of the run's files alone."""
    state, why = standing(run)
    task = task_for(run.recipe)
    steps = run.of_kind("train")
    return (
        _templates()
        .get_template("run.html.j2")
        .render(
            run=run,
            folder=run.path.resolve().name,
            state=state,
            why=why,
            last=steps[-1] if steps else {},
            best=run.card.get("validation") or {},
            start=next((one for one in run.of_kind("validation") if not one.get("update")), {}),
            counts=_counts(run),
            task=task.report(run.card, run.examples),
            metrics=task.metrics,
            words=task.words,
            charts=charts(run, task.metrics, task.words),
            validations=_validations(run),
            events=events(run),
            sessions=sessions(run),
            environment=_environment(run),
            recipe=shared_recipe(recipe_to_toml(run.recipe)),
            version=__version__,
        )
    )


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("seq2seq.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(
        visible=lambda value: visible(str(value)),
        number=_number,
        count=lambda value: f"{value:,}" if isinstance(value, int) else "–",
        share=lambda value: f"{value:.3%}",
        mib=lambda value: f"{value / 2**20:,.0f} MiB",
        clock=lambda value: clock(value) if isinstance(value, int | float) else "–",
        perplexity=lambda loss: _number(math.exp(loss)) if isinstance(loss, float) else "–",
        when=lambda stamp: str(stamp).replace("T", " ").replace("+00:00", " UTC"),
        marked=marked,
        filled=lambda template, values: Markup(templates.from_string(template).render(values)),
    )
    return templates


def _number(value: Any, digits: int = 2) -> str:
    return f"{value:,.{digits}f}" if isinstance(value, int | float) else "–"


def marked(hypothesis: str, reference: str) -> Markup:
    """Marks the words of a hypothesis that the reference has not, in this order; escaped HTML."""
    ours, theirs = hypothesis.split(" "), reference.split(" ")
    pieces: list[Markup] = []
    for what, begin, end, _, _ in difflib.SequenceMatcher(
        None, ours, theirs, autojunk=False
    ).get_opcodes():
        if words := visible(" ".join(ours[begin:end])):
            shown = Markup("{}") if what == "equal" else Markup("<mark>{}</mark>")
            pieces.append(shown.format(words))
    return Markup(" ").join(pieces)


def _counts(run: RunRecord) -> list[tuple[str, int]]:
    """What went wrong and was mended, each with its count."""
    named = {
        "skipped": "updates skipped: loss or gradient was not a finite number",
        "rollbacks": "times back to an earlier checkpoint, at half the learning rate",
        "halved": "batches taken in parts: they did not fit into memory",
    }
    found = {key: run.state.get(key, 0) for key in named}
    return [(named[key], count) for key, count in found.items() if count]


def _validations(run: RunRecord) -> Sequence[Json]:
    """The records of the last validations and of the best one."""
    records, best = run.of_kind("validation"), run.card.get("validation") or {}
    shown = []
    for number, record in enumerate(records):
        is_best = record.get("update") == best.get("update") and record.get(
            "mean_of_updates"
        ) == best.get("mean_of_updates")
        if is_best or number >= len(records) - _ROWS:
            shown.append({**record, "best": is_best})
    return shown


def _environment(run: RunRecord) -> list[tuple[str, str]]:
    """Versions and machine, of the last session where it is known."""
    last = sessions(run)[-1].environment if sessions(run) else {}
    found = {**run.environment, **last}
    memory = found.pop("memory", None)
    rows = [(key.replace("_", " "), redacted(str(value))) for key, value in found.items()]
    if isinstance(memory, int):
        rows.append(("memory", f"{memory / 2**30:,.1f} GiB"))
    return rows
