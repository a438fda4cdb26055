"""Curves as SVG that is part of the page: its colours are the page's, by day and by night."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from seq2seq.report.record import Json, RunRecord
from seq2seq.training.monitoring.metrics import PARTS

_POINTS = 300  # a curve has no more; a screen shows no more
_INK, _RULE = "#010101", "#020202"
_SERIES = tuple(f"#0301{number:02d}" for number in range(1, 9))
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
    """A picture of some curves.

    Attributes:
        title: What it shows, in words.
        svg: The picture.
    """

    title: str
    svg: str


@dataclass(frozen=True)
class Curve:
    """A curve.

    Attributes:
        label: Its name, where a chart has more than one.
        points: Updates and values, two rows.
        dots: Whether each point is one to be seen.
    """

    label: str
    points: np.ndarray
    dots: bool = False


def charts(run: RunRecord) -> list[Chart]:
    """Draws a run's curves.

    Args:
        run: The run.

    Returns:
        Those that there is anything to draw of.
    """
    steps, checks = run.of_kind("train"), run.of_kind("validation")
    best = run.card.get("update")
    ratios = [_curve(steps, "update_ratio", part, label=part) for part in ("all", *PARTS)]
    plans = [
        ("Loss, nats a target token", False, [
            _curve(steps, "loss", label="training"),
            _curve(checks, "loss", label="validation", dots=True),
            _curve(checks, "old", "loss", label="old validation set", dots=True),
        ]),
        ("BLEU of the validation set, greedy", False, [
            _curve(checks, "bleu", label="validation", dots=True),
            _curve(checks, "old", "bleu", label="old validation set", dots=True),
        ]),
        ("Learning rate", False, [_curve(steps, "learning_rate")]),
        ("Gradient norm before clipping", True, [_curve(steps, "gradient_norm")]),
        ("Update over weights, norms", True, ratios),
        ("Target tokens a second", False, [_curve(steps, "tokens_per_second")]),
        ("Padding, share of the batches", False, [_curve(steps, "padding")]),
        ("Memory at most, GiB", False, [
            _curve(steps, "memory", label="process", scale=2**-30),
            _curve(steps, "gpu_memory", label="GPU", scale=2**-30),
        ]),
    ]  # fmt: skip
    drawn = []
    for title, logarithmic, curves in plans:
        there = [curve for curve in curves if curve.points.shape[1]]
        if there:
            drawn.append(Chart(title, _svg(title, there, logarithmic, best)))
    return drawn


def _curve(
    records: Sequence[Json], *keys: str, label: str = "", scale: float = 1.0, dots: bool = False
) -> Curve:
    points = []
    for record in records:
        value: object = record
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int | float) and math.isfinite(value):
            points.append((record.get("update", 0), value * scale))
    return Curve(label, thinned(np.array(points, dtype=float).reshape(-1, 2).T), dots)


def thinned(points: np.ndarray) -> np.ndarray:
    """Takes means of neighbouring points where there are more than can be seen.

    Args:
        points: Two rows.

    Returns:
        The same with at most some hundreds of columns; the last one is always kept.
    """
    count = points.shape[1]
    if count <= _POINTS:
        return points
    edges = np.linspace(0, count - 1, _POINTS).astype(int)  # the last point is one by itself
    sums = np.add.reduceat(points, edges, axis=1)
    return np.asarray(sums / np.diff([*edges, count]))


def _svg(title: str, curves: Sequence[Curve], logarithmic: bool, best: object) -> str:
    with mpl.rc_context({**_STYLE, "svg.hashsalt": title}):
        figure = Figure(figsize=(4.7, 2.5), layout="constrained")
        axes = figure.subplots()
        _draw(axes, curves, logarithmic)
        for curve, colour in zip(curves, _SERIES, strict=False):
            if curve.dots and isinstance(best, int):
                at = curve.points[:, curve.points[0] == best]
                axes.plot(*at[:, -1:], "o", ms=7, mfc="none", color=colour)
        written = io.StringIO()
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    return _inlined(written.getvalue(), title)


def _draw(axes: Axes, curves: Sequence[Curve], logarithmic: bool) -> None:
    for curve, colour in zip(curves, _SERIES, strict=False):
        mark: Any = (
            {"marker": "o", "markersize": 2.5} if curve.dots or curve.points.shape[1] < 3 else {}
        )
        axes.plot(*curve.points, color=colour, label=curve.label, **mark)
    if logarithmic and all((curve.points[1] > 0).all() for curve in curves):
        axes.set_yscale("log")
        values = np.concatenate([curve.points[1] for curve in curves])
        axes.yaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:g}"))
        narrow = values.max() < 30 * values.min()  # few powers of ten: the marks between are named
        between = mpl.ticker.LogLocator(subs=(2, 5) if narrow else ())
        axes.yaxis.set_minor_locator(between)
        axes.yaxis.set_minor_formatter(mpl.ticker.StrMethodFormatter("{x:g}"))
    elif all((curve.points[1] >= 0).all() for curve in curves):
        axes.set_ylim(bottom=0)
    axes.set_xlabel("updates")
    axes.xaxis.set_major_formatter(mpl.ticker.StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(5, integer=True))
    if len(curves) > 1:
        axes.legend(ncols=2 if len(curves) > 4 else 1)


def _inlined(svg: str, title: str) -> str:
    """Takes away what a file needs and a page must not have: prolog, size, names used twice."""
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
