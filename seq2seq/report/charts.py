"""Curves as SVG that is part of the page: its colours are the page's, by day and by night."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2seq.report.record import RunRecord
from seq2seq.tasks import Metric, Words
from seq2seq.training.monitoring.curves import Curve, curve, draw, loss_curves, metric_curves
from seq2seq.training.monitoring.gradients import gradient_curves

_INK, _RULE = "#010101", "#020202"
_SERIES = tuple(f"#0301{number:02d}" for number in range(1, 9))
_GRADIENTS = {
    "Gradient by the states: factor a step back": "factor",
    "Gradient by the state at a line's first step": "first",
    "Gradient by the state at a line's last step": "last",
}
"""What of the gradient through time is shown, by its key in a record."""
# What matplotlib writes for the colours above, and what the page reads.
_VARIABLES = {
    _INK: "var(--soft)",
    _RULE: "var(--rule)",
    **{colour: f"var(--s{number})" for number, colour in enumerate(_SERIES, start=1)},
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 9.5,
    "font.family": "DejaVu Sans",  # what matplotlib measures by; the page has the reader's own
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.use_mathtext": False,
    "axes.formatter.limits": (-3, 5),
    "grid.color": _RULE,
    "grid.linewidth": 0.5,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "path.simplify": True,
}


@dataclass(frozen=True)
class Chart:
    """A picture of some curves: what it shows, and SVG."""

    title: str
    svg: str


def charts(run: RunRecord, metrics: Sequence[Metric], words: Words | None = None) -> list[Chart]:
    """Draws a run's curves and its task's metrics; those that have points."""
    steps, checks = run.of_kind("train"), run.of_kind("validation")
    best, words = run.card.get("update"), words or Words()
    parts = dict.fromkeys(part for step in steps for part in step.get("update_ratio") or {})
    ratios = [curve(steps, "update_ratio", part, label=part) for part in parts]
    plans: list[tuple[str, bool, list[Curve]]] = [
        (f"Loss, {words.loss}", False, loss_curves(steps, checks)),
        *((one.title, False, metric_curves(checks, one.key)) for one in metrics),
        ("Learning rate", False, [curve(steps, "learning_rate")]),
        ("Gradient norm before clipping", True, [curve(steps, "gradient_norm")]),
        ("Update over weights, norms", True, ratios),
        (f"{words.target.capitalize()}s a second", False, [curve(steps, "tokens_per_second")]),
        ("Padding, share of the batches", False, [curve(steps, "padding")]),
        ("Memory at most, GiB", False, [
            curve(steps, "memory", label="process", scale=2**-30),
            curve(steps, "gpu_memory", label="GPU", scale=2**-30),
        ]),
        *(
            (title, True, gradient_curves(run.of_kind("gradients"), key, len(_SERIES)))
            for title, key in _GRADIENTS.items()
        ),
    ]  # fmt: skip
    drawn = []
    for title, logarithmic, curves in plans:
        if any(one.points.shape[1] for one in curves):
            drawn.append(Chart(title, _svg(title, curves, logarithmic, best)))
    return drawn


def _svg(title: str, curves: Sequence[Curve], logarithmic: bool, best: object) -> str:
    with mpl.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(4.7, 2.5), layout="constrained")
        axes = figure.subplots()
        shown = draw(axes, curves, _SERIES)
        _set_axes(axes, shown, logarithmic)
        for one, colour in zip(shown, _SERIES, strict=False):
            if one.dots and isinstance(best, int):
                at = one.points[:, one.points[0] == best]
                axes.plot(*at[:, -1:], "o", ms=7, mfc="none", color=colour)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    return _inlined(written.getvalue(), title)


def _set_axes(axes: Axes, curves: Sequence[Curve], logarithmic: bool) -> None:
    if logarithmic and all((one.points[1] > 0).all() for one in curves):
        axes.set_yscale("log")
        values = np.concatenate([one.points[1] for one in curves])
        axes.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:g}"))
        narrow = values.max() < 30 * values.min()  # few powers of ten: the marks between are named
        between = mpl.ticker.LogLocator(subs=(2, 5) if narrow else ())
        axes.yaxis.set_minor_locator(between)
        axes.yaxis.set_minor_formatter(mpl.ticker.StrMethodFormatter("{x:g}"))
    elif all((one.points[1] >= 0).all() for one in curves):
        axes.set_ylim(bottom=0)
    axes.set_xlabel("updates")
    axes.xaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True))


def _inlined(svg: str, title: str) -> str:
    """Removes what does not belong inside a page: prolog, size, names that other charts use too."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r' id="[a-z0-9._]*_\d+"', "", svg)
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(r" font-family: [^;\"]*;?", "", svg)
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d\d)\d+", r"\1", tag[0]), svg)
    svg = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg[^>]*?) height="[^"]*"', rf'\1 role="img" aria-label="{title}"', svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, variable)
    return svg
