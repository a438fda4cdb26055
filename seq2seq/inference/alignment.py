"""Which words of the source a translation's words come from, read from the attention over pieces.

The attention itself can be drawn as a picture.

A word is what has spaces around it in the tokenizer's text: it begins at a piece with the mark of
a space in front, and the pieces without one belong to the word before them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from seq2seq.errors import MissingExtraError, Seq2SeqError
from seq2seq.search.model import Floats, Floats32, Ints
from seq2seq.storage.atomic import output_file, write_errors

if TYPE_CHECKING:
    from seq2seq.inference.results import ScoredTranslation

SPACE = "\u2581"
"""How SentencePiece writes a space."""

_END = "</s>"
_INCH = 0.28  # a piece, wide enough for its letters
_LARGEST = 120.0  # inches; matplotlib's pictures end at 2**16 dots


def words_of(pieces: Sequence[str]) -> list[int]:
    """Tells which word each piece belongs to."""
    numbers: list[int] = []
    word, inside = 0, False
    for piece in pieces:
        if piece.startswith(SPACE) and inside:
            word, inside = word + 1, False
        numbers.append(word)
        inside = inside or bool(piece.strip(SPACE))
    if pieces and not inside and word:  # marks at the end begin no word
        numbers = [min(number, word - 1) for number in numbers]
    return numbers


def word_attention(
    attention: Floats32, source_pieces: Sequence[str], target_pieces: Sequence[str]
) -> Floats:
    """Merges the attention of pieces to that of words.

    Args:
        attention: How each target piece, and the end, weighed each source piece, and the end
            (target pieces + 1, source pieces + 1).
        source_pieces: The source's pieces, without the end.
        target_pieces: The translation's pieces, without the end.

    Returns:
        How each target word weighed each source word (target words, source words): the weights of
        a word's pieces are added up for the source, and averaged for the target. The ends are left
        out, so a row's sum is 1 less what went to the source's end.
    """
    target, source = _begins(words_of(target_pieces)), _begins(words_of(source_pieces))
    inner = attention[: len(target_pieces), : len(source_pieces)]
    if not inner.size:
        return np.zeros((len(target), len(source)))
    by_source = np.add.reduceat(inner, source, axis=1, dtype=np.float64)
    sizes = np.diff(target, append=len(target_pieces))
    return np.asarray(np.add.reduceat(by_source, target, axis=0) / sizes[:, None])


def word_alignment(
    attention: Floats32, source_pieces: Sequence[str], target_pieces: Sequence[str]
) -> list[tuple[int, int]]:
    """Aligns each word of a translation to the source word that it weighed most."""
    weights = word_attention(attention, source_pieces, target_pieces)
    if not weights.size:
        return []
    best = weights.argmax(axis=1).tolist()
    return [(i, j) for j, i in enumerate(best) if weights[j, i] > 0.0]


def pharaoh(alignment: Sequence[tuple[int, int]]) -> str:
    """Writes an alignment as Pharaoh and fast_align do."""
    return " ".join(f"{i}-{j}" for i, j in alignment)


def _begins(words: Sequence[int]) -> Ints:
    """The piece that each word begins at."""
    return np.flatnonzero(np.diff(np.asarray(words, dtype=np.int64), prepend=-1))


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

    The picture, a .png, is written whole or not at all.
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
