"""Attention as a picture: how each piece of a translation weighed those of the source."""

from __future__ import annotations

import warnings
from pathlib import Path

from seq2seq.errors import MissingExtraError, Seq2SeqError
from seq2seq.inference.alignment import SPACE
from seq2seq.inference.results import ScoredTranslation
from seq2seq.storage.atomic import output_file, write_errors

_END = "</s>"
_INCH = 0.28  # a piece, wide enough for its letters
_LARGEST = 120.0  # inches; matplotlib's pictures end at 2**16 dots


def check_pictures() -> None:
    """Checks that pictures can be drawn."""
    try:
        import matplotlib  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "matplotlib":
            raise
        raise MissingExtraError("drawing attention", "train", "matplotlib") from None


def draw_attention(one: ScoredTranslation, path: Path) -> None:
    """Draws a translation's attention: the source from left to right, the translation downwards.

    Args:
        one: The translation, with its tokens and attention.
        path: The picture, a .png; written whole or not at all.

    Raises:
        Seq2SeqError: If there is no attention to draw, or the picture cannot be written.
    """
    if one.attention is None:
        raise Seq2SeqError("there is no attention to draw: the model has none")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    source = [*map(_label, one.source_tokens), _END]
    target = [*map(_label, one.tokens), _END]
    width, height = (min(2.0 + _INCH * len(labels), _LARGEST) for labels in (source, target))
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    shown = axes.imshow(one.attention, cmap="Greys", vmin=0.0, vmax=1.0, aspect="auto")
    axes.set_xticks(range(len(source)), source, rotation=90)
    axes.set_yticks(range(len(target)), target)
    axes.xaxis.tick_top()
    axes.set_xticks([n - 0.5 for n in range(1, len(source))], minor=True)
    axes.set_yticks([n - 0.5 for n in range(1, len(target))], minor=True)
    axes.grid(which="minor", color="0.9", linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    figure.colorbar(shown, ax=axes, shrink=0.6)
    # A script that the font lacks is drawn as boxes; the picture says the rest all the same.
    with warnings.catch_warnings(), output_file(path) as stream, write_errors(path):
        warnings.filterwarnings("ignore", message=r"Glyph .* missing", category=UserWarning)
        figure.savefig(stream, dpi=100, format="png")


def _label(piece: str) -> str:
    """A piece as it is read; dollars are letters, not mathematics."""
    return piece.replace(SPACE, "_").replace("$", r"\$")
