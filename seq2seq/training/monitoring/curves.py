"""The curves of a training, taken from ``metrics.jsonl``; ``curves.png`` and the page draw them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seq2seq.storage.atomic import write_bytes
from seq2seq.storage.settings import place_for_matplotlib
from seq2seq.tasks import Metric, Words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_POINTS = 300  # a curve has no more; a screen shows no more
_OLD = "old validation set"


@dataclass(frozen=True)
class Curve:
    """A curve: its label, updates and values in two rows, and how it is drawn.

    Its points are to be seen or not, its line is whole or has dashes.
    """

    label: str
    points: NDArray[np.float64]
    dots: bool = False
    style: str = "-"


def curve(
    records: Sequence[dict[str, Any]],
    *keys: str,
    label: str = "",
    scale: float = 1.0,
    dots: bool = False,
    style: str = "-",
) -> Curve:
    """The curve of a figure, found in each record by nested keys; it may have no points."""
    points = []
    for record in records:
        value: object = record
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if isinstance(value, int | float) and math.isfinite(value):
            points.append((record.get("update", 0), value * scale))
    return Curve(label, thinned(np.array(points, dtype=float).reshape(-1, 2).T), dots, style)


def loss_curves(
    steps: Sequence[dict[str, Any]], validations: Sequence[dict[str, Any]]
) -> list[Curve]:
    """The loss of training and of both validation sets."""
    return [curve(steps, "loss", label="training"), *metric_curves(validations, "loss")]


def metric_curves(validations: Sequence[dict[str, Any]], key: str) -> list[Curve]:
    """A figure of both validation sets."""
    return [
        curve(validations, key, label="validation", dots=True),
        curve(validations, "old", key, label=_OLD, dots=True),
    ]


def thinned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Takes means of neighbouring points where there are more than can be seen; keeps the last."""
    count = points.shape[1]
    if count <= _POINTS:
        return points
    edges = np.linspace(0, count - 1, _POINTS).astype(int)  # the last point is one by itself
    sums = np.add.reduceat(points, edges, axis=1)
    return np.asarray(sums / np.diff([*edges, count]))


def draw(axes: Axes, curves: Sequence[Curve], colours: Sequence[str]) -> list[Curve]:
    """Draws the curves that have points, with a legend for several, and returns them."""
    shown = [one for one in curves if one.points.shape[1]]
    for one, colour in zip(shown, colours, strict=False):
        seen = one.dots or one.points.shape[1] < 3
        mark: Any = {"marker": "o", "markersize": 2.5} if seen else {}
        axes.plot(*one.points, color=colour, linestyle=one.style, label=one.label, **mark)
    if len(shown) > 1:
        axes.legend(ncols=2 if len(shown) > 4 else 1)
    return shown


def plot_curves(
    records: Sequence[dict[str, Any]],
    path: Path,
    title: str,
    metrics: Sequence[Metric],
    loss: str = Words.loss,
) -> None:
    """Draws loss, metrics and learning rate of a journal's records into a .png."""
    place_for_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    steps = [record for record in records if record.get("kind") == "train"]
    checks = [record for record in records if record.get("kind") == "validation"]
    rates = curve(steps, "learning_rate")
    plans = [
        (loss, loss_curves(steps, checks)),
        *((one.label, metric_curves(checks, one.key)) for one in metrics),
        *([("learning rate", [rates])] if rates.points.shape[1] else []),
    ]
    figure = Figure(figsize=(9, 4.5 + 2 * len(metrics)), layout="constrained")
    FigureCanvasAgg(figure)  # not pyplot's, which a notebook has set up for itself
    heights = [3.0, *(2.0 for _ in metrics), 1.0][: len(plans)]
    rows = figure.subplots(len(plans), sharex=True, height_ratios=heights, squeeze=False)[:, 0]
    for axes, (label, curves) in zip(rows, plans, strict=True):
        draw(axes, curves, [f"C{number}" for number in range(len(curves))])
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    rows[0].set_title(title)
    rows[-1].set_xlabel("updates")
    written = io.BytesIO()
    figure.savefig(written, dpi=120, format="png")
    write_bytes(path, written.getvalue())
