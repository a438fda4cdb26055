"""Pictures of what was seen: PNG, SVG, or a web page that fetches nothing.

Squares are drawn in greys, and lines differ by their dashes and marks beside their colours, so that
a black and white print says the same.

Shapes: H units, T steps.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from html import escape
from itertools import cycle
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seq2seq.errors import Seq2SeqError
from seq2seq.inspection.connectivity import Connectivity
from seq2seq.inspection.gates import CellGates
from seq2seq.inspection.gradients import StateGradients
from seq2seq.storage.atomic import output_file, write_errors
from seq2seq.storage.settings import place_for_matplotlib

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = (".png", ".svg", ".html")
_STYLES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 3)))
_MARKS = "osD^vxP*"
_INKS = ("black", "#b2182b", "#2166ac", "#1b7837", "#762a83", "#8c510a")
_INCH = 0.24  # a piece, wide enough for its letters
_NAMED = 80  # pieces of a side that have their names; of more, every second, third ...
_LARGEST = 120.0  # inches; matplotlib's pictures end at 2**16 dots
_LEGEND = 75  # letters of a line there
_DECADES = 1e-4  # of the largest connectivity; what is less is white

Row = Sequence[str]


def check_name(path: Path) -> None:
    """Checks, before anything is measured, that a picture of this name can be written."""
    if path.suffix.lower() not in KINDS:
        raise Seq2SeqError(f"{path}: a picture's name must end in {', '.join(KINDS)}")
    if not path.parent.is_dir():
        raise Seq2SeqError(f"{path}: there is no folder {path.parent} to write it in")
    if path.is_dir():
        raise Seq2SeqError(f"{path}: a folder, where a file is to be written")


def write_picture(path: Path, figure: Figure, title: str, table: Sequence[Row]) -> None:
    """Writes a picture, whole or not at all, by what its name ends with.

    ``title`` and ``table``, a head and rows, stand on a page beside it.
    """
    import matplotlib as mpl

    # A script that the font lacks is drawn as boxes; the picture says the rest all the same.
    with warnings.catch_warnings(), mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": title}):
        warnings.filterwarnings("ignore", message=r"Glyph .* missing", category=UserWarning)
        if path.suffix.lower() == ".png":
            content = _saved(figure, "png")
        else:
            svg = _saved(figure, "svg")
            content = svg if path.suffix.lower() == ".svg" else _page(svg, title, table)
    with output_file(path) as stream, write_errors(path):
        stream.write(content)


def _saved(figure: Figure, kind: str) -> bytes:
    written = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(written, format=kind, dpi=110, metadata=metadata)
    return written.getvalue()


_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
body {{ margin: 2rem auto; max-width: 80rem; padding: 0 1rem; font: 15px/1.5 system-ui, sans-serif; }}
.wide {{ overflow-x: auto; }}
svg {{ height: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .2rem .9rem .2rem 0; text-align: left; }}
thead th {{ border-bottom: 1px solid; }}
</style>
</head>
<body>
<h1>{title}</h1>
"""  # noqa: E501


def _page(svg: bytes, title: str, table: Sequence[Row]) -> bytes:
    text = svg.decode()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    head, *rows = (
        "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row)
        for row, tag in zip(table, ("th", *["td"] * len(table)), strict=False)
    )
    body = "".join(f"<tr>{row}</tr>\n" for row in rows)
    page = (
        f'{_HEAD.format(title=escape(title))}<div class="wide">{text}</div>\n'
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>'
        "</div>\n</body>\n</html>\n"
    )
    return page.encode()


def _figure(width: float, height: float) -> Figure:
    place_for_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = min(width, _LARGEST), min(height, _LARGEST)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)  # not pyplot's, which a notebook has set up for itself
    return figure


# ---------------------------------------------------------------------------------------------
# Gradients


def gradients_figure(models: Sequence[tuple[str, Sequence[StateGradients]]]) -> Figure:
    """Draws several models' gradients: a panel a stack and a part of the state, a line a cell.

    A model has a colour and a mark, each line of a panel a kind of dashes.
    """
    seen = [one for _, found in models for one in found]
    stacks = list(dict.fromkeys(one.place.stack for one in seen))
    parts = list(dict.fromkeys(one.part for one in seen))
    lines = sum(one.part == parts[0] for one in seen)
    figure = _figure(6.2 * len(parts), (3.2 + 0.25 * lines) * len(stacks))
    grid = figure.subplots(len(stacks), len(parts), squeeze=False, sharex="row")
    for stack, row in zip(stacks, grid, strict=True):
        for part, axes in zip(parts, row, strict=True):
            _draw_gradients(axes, models, stack, part)
    return figure


def _draw_gradients(
    axes: Axes,
    models: Sequence[tuple[str, Sequence[StateGradients]]],
    stack: str,
    part: str,
) -> None:
    dashes = cycle(_STYLES)
    for (name, found), ink, mark in zip(models, cycle(_INKS), cycle(_MARKS), strict=False):
        here = [one for one in found if (one.place.stack, one.part) == (stack, part)]
        for one, style in zip(here, dashes, strict=False):
            within = one.place.label.removeprefix(stack)
            factor = "no gradient" if one.factor is None else f"{one.factor:.4g} a step back"
            axes.plot(
                np.arange(1 - len(one.norms_T), 1),
                np.where(one.norms_T > 0, one.norms_T, np.nan),
                color=ink,
                linestyle=style,
                marker=mark,
                markevery=max(1, len(one.norms_T) // 8),
                markersize=4,
                linewidth=1.3,
                # A leading _ would hide it.
                label=" " + fill(f"{_plain(name)}{within}: {factor}", _LEGEND),
            )
    axes.set_yscale("log")
    axes.set_title(f"{stack}: |d loss / d {part}|", fontsize=10)
    axes.set_xlabel("steps before the last")
    axes.grid(alpha=0.3)
    if axes.lines:
        below: Any = {"loc": "upper left", "bbox_to_anchor": (0.0, -0.16)}
        axes.legend(fontsize=7.5, handlelength=4, frameon=False, **below)


# ---------------------------------------------------------------------------------------------
# Gates and connectivity


def gates_figure(cells: Sequence[CellGates]) -> Figure:
    """Draws a row a cell: its gates' means and its memory as lines, then each gate's units.

    Units are sorted by how far they are open on average, the most open at the top.
    """
    columns = 1 + max(len(one.gates) for one in cells)
    pieces = max(len(one.pieces) for one in cells)
    figure = _figure(columns * (1.6 + _inches(pieces)), 3.4 * len(cells))
    grid = figure.subplots(len(cells), columns, squeeze=False)
    shown: Any = None
    for one, row in zip(cells, grid, strict=True):
        _draw_means(row[0], one)
        for axes in row[1 + len(one.gates) :]:
            axes.set_visible(False)
        for (name, open_TH), axes in zip(one.gates.items(), row[1:], strict=False):
            order = np.argsort(-open_TH.mean(axis=0))
            shown = axes.imshow(
                open_TH.T[order], cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto",
                interpolation="nearest",
            )  # fmt: skip
            axes.set_title(f"{name} gate", fontsize=10)
            axes.set_ylabel("units")
            _name_columns(axes, one.pieces)
    figure.colorbar(shown, ax=grid[:, -1].tolist(), label="0 shut, 1 open")
    return figure


def _draw_means(axes: Axes, one: CellGates) -> None:
    lines: dict[str, NDArray[np.float64]] = {
        **{f"{name}, mean": open_TH.mean(axis=1) for name, open_TH in one.gates.items()},
        f"{one.part}, root mean square": one.size,
    }
    if one.saturated is not None:
        lines[f"{one.part} saturated"] = one.saturated
    looks = zip(cycle(_STYLES), cycle(_MARKS), cycle(_INKS), strict=False)
    for (label, values), (style, mark, ink) in zip(lines.items(), looks, strict=False):
        axes.plot(
            values, color=ink, linestyle=style, marker=mark, markersize=4, linewidth=1.2,
            label=label,
        )  # fmt: skip
    axes.set_title(one.place.label, fontsize=10)
    axes.set_ylim(bottom=0.0)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, handlelength=4, framealpha=0.8)
    _name_columns(axes, one.pieces)


def connectivity_figure(blocks: Sequence[Connectivity]) -> Figure:
    """Draws a panel a pair of sides; the darker a square, the more its row depends on its column.

    The scale is logarithmic, from the smallest number to the largest, at most four powers of ten.
    """
    from matplotlib.colors import LogNorm

    widths = [1.4 + _inches(len(one.columns)) for one in blocks]
    height = 1.8 + _inches(max(len(one.rows) for one in blocks))
    figure = _figure(sum(widths) + 1.0, height)
    row = figure.subplots(1, len(blocks), squeeze=False, width_ratios=widths)[0]
    for one, axes in zip(blocks, row, strict=True):
        most = float(one.norms.max()) or 1.0
        least = float(one.norms[one.norms > 0].min(initial=most / 10))
        least = max(least, most * _DECADES)
        shown = axes.imshow(
            np.maximum(one.norms, least), cmap="Greys", norm=LogNorm(least, most, clip=True),
            aspect="auto", interpolation="nearest",
        )  # fmt: skip
        axes.set_title(f"d {one.outputs} / d {one.inputs}", fontsize=10)
        axes.set_yticks(*_names(one.rows), fontsize=8)
        _name_columns(axes, one.columns)
        axes.set_xlabel(one.inputs)
        axes.set_ylabel(one.outputs)
        figure.colorbar(shown, ax=axes, shrink=0.7, label="norm of the derivative")
    return figure


def _name_columns(axes: Axes, pieces: Sequence[str]) -> None:
    axes.set_xticks(*_names(pieces), rotation=90, fontsize=8)


def _inches(pieces: int) -> float:
    """The room for some pieces."""
    return _INCH * min(pieces, _NAMED)


def _names(pieces: Sequence[str]) -> tuple[range, list[str]]:
    """The places of the pieces that have their names, and those."""
    places = range(0, len(pieces), -(-len(pieces) // _NAMED) or 1)
    return places, [_plain(pieces[place]) for place in places]


def _plain(text: str) -> str:
    """A text as it is read; dollars are letters, not mathematics."""
    return text.replace("$", r"\$")
