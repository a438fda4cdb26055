"""What a translator gives back: translations, with notes on what happened to a line on the way.

Their words are aligned by the attention over pieces, which can be drawn as well. A word is what has
spaces around it in the tokenizer's text: it begins at a piece with the mark of a space in front,
and the pieces without one belong to the word before them.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from seq2seq.errors import MOST_LISTED, MissingExtraError, Seq2SeqError, listed, printable
from seq2seq.inference.glossary import UsedTerm
from seq2seq.search.model import Floats, Floats32, Hypothesis, Ints
from seq2seq.storage.atomic import output_file, write_errors
from seq2seq.storage.settings import place_for_matplotlib
from seq2seq.text.sampling import SPACE

_END = "</s>"
_INCH = 0.28  # a piece, wide enough for its letters
_LARGEST = 120.0  # inches; matplotlib's pictures end at 2**16 dots


@dataclass(frozen=True)
class Note:
    """Something that a reader of a translation should know.

    Attributes:
        kind: "split": the line was long and was translated in parts; "truncated": it was long, and
            its end was left out; "whole": it was long, and was translated as it is all the same;
            "unknown": it has characters that the model does not know; "invalid": it has U+FFFD,
            which stands for what could not be read; "cut": the translation was cut off at the
            length cap; "looped": it repeated itself up to there, and was cut after the first time;
            "incomplete": it is so short, or attended so little to a part of the source, that
            something may be missing.
        text: In words.
        examples: Of what it is about: the unknown characters.
    """

    kind: Literal[
        "split", "truncated", "whole", "unknown", "invalid", "cut", "looped", "incomplete"
    ]
    text: str
    examples: str = ""


@dataclass(frozen=True)
class ScoredTranslation:
    """A translation and what the model thinks of it.

    Args:
        text: The translation, one line.
        score: What translations are ranked by: the log-probability normalized by length, with the
            coverage penalty where it was asked for; with MBR the expected utility.
        log_prob: The log-probability of all its tokens and of its end (natural logarithm). Of a
            translation that was cut because it repeated itself: of all that was cut too.
        truncated: It was cut at the length cap.
        tokens: Its pieces; like the rest empty if they were not asked for.
        token_log_probs: The log-probability of each token and of the end; their sum is
            ``log_prob``. Of a line that was split, all the ends are in the last.
        source_tokens: The source's pieces that were translated.
        attention: How each token and the end weighed the source's tokens and its end (tokens + 1,
            source tokens + 1); None: the model has no attention, or it was not asked for, or the
            line was split and has thousands of tokens.
        notes: What the reader of the translation should know.
        terms: The terms of the glossary that stand in the line, and whether they are met.
    """

    text: str
    score: float
    log_prob: float
    truncated: bool
    tokens: tuple[str, ...] = ()
    token_log_probs: tuple[float, ...] = ()
    source_tokens: tuple[str, ...] = ()
    attention: Floats32 | None = field(default=None, compare=False, repr=False)
    notes: tuple[Note, ...] = ()
    terms: tuple[UsedTerm, ...] = ()

    @classmethod
    def of(
        cls,
        text: str,
        found: Hypothesis,
        score: float,
        notes: tuple[Note, ...] = (),
        pieces: tuple[Sequence[str], Sequence[str]] | None = None,
    ) -> ScoredTranslation:
        """Makes a translation of a hypothesis, with pieces, the source's and its own, in detail."""
        made = cls(text, score, found.log_prob, found.truncated, notes=notes)
        if pieces is None:
            return made
        source, target = map(tuple, pieces)
        return replace(
            made,
            tokens=target,
            token_log_probs=found.token_log_probs,
            source_tokens=source,
            attention=found.attention,
        )

    @property
    def alignment(self) -> list[tuple[int, int]] | None:
        """Pairs of source and target words by their numbers; None without attention."""
        if self.attention is None:
            return None
        return word_alignment(self.attention, self.source_tokens, self.tokens)


def best_translation(several: Sequence[ScoredTranslation]) -> ScoredTranslation:
    """Chooses one translation; samples come as they were drawn, all others best first."""
    return several[0] if len(several) == 1 else max(several, key=lambda one: one.score)


_MOST_SHOWN = 10  # unknown characters


def shown(characters: str) -> str:
    """Some characters, for a message; of many the first ones."""
    more = ", ..." * (len(characters) >= _MOST_SHOWN)
    return ", ".join(printable(one) for one in characters[: _MOST_SHOWN - 1]) + more


# What is said of all lines with a note of these kinds at once, in this order.
_OF_UNKNOWN = {"unknown": ""}  # what is said of the first of them, with its characters
_OF_SOURCE = {
    "truncated": "longer than the model takes: the rest was left out",
    "whole": "more than the model takes at a time, but not split, as phrases are forced",
}
_OF_TRANSLATION = {
    "looped": "the translation repeated itself up to the length cap: it was cut after the first "
    "time",
    "incomplete": "the translation looks cut: parts of the source may be missing",
}
_SAME = {"cut": "incomplete"}  # ended at the length cap: something is missing, too


class Warnings:
    """Sums the notes on many lines up in a few warnings, one a kind, the incomplete ones last.

    ``warn`` prints or logs one. With ``loops`` translations that look bad, and characters that the
    model does not know, are told of, not only changed sources; with ``each``, each line at once, as
    well.
    """

    def __init__(
        self, warn: Callable[[str], None], *, loops: bool = True, each: bool = False
    ) -> None:
        self._warn = warn
        self._kinds = _OF_UNKNOWN | _OF_SOURCE | _OF_TRANSLATION if loops else _OF_SOURCE
        self._each = each
        self._lines = 0
        self._counts: Counter[str] = Counter()
        self._first: dict[str, list[int]] = {kind: [] for kind in self._kinds}
        self._texts: dict[str, str] = {}
        self._unknown = ""

    def add(self, line: int, several: Sequence[ScoredTranslation]) -> None:
        """Remembers the notes on the best translation of a line."""
        self._lines += 1
        texts = {_SAME.get(note.kind, note.kind): note.text for note in several[0].notes}
        for note in several[0].notes:
            new = [one for one in note.examples if one not in self._unknown]
            self._unknown += "".join(new[: _MOST_SHOWN - len(self._unknown)])
        for kind in self._kinds.keys() & texts.keys():
            self._counts[kind] += 1
            self._texts.setdefault(
                kind, self._kinds[kind] if kind in _OF_TRANSLATION else texts[kind]
            )
            if len(self._first[kind]) < MOST_LISTED:
                self._first[kind].append(line)
            if self._each:
                self._warn(f"line {line}: {texts[kind]}")

    def finish(self) -> None:
        """Warns of all lines that were remembered, and forgets them."""
        for kind, text in self._kinds.items():
            if count := self._counts[kind]:
                numbers = listed(self._first[kind], count)
                if count == 1:
                    self._warn(f"line {numbers}: {self._texts[kind]}")
                else:
                    said = text or self._of_all_unknown(self._texts[kind])
                    self._warn(f"{count:,} of {self._lines:,} lines ({numbers}): {said}")
        self._lines = 0
        self._counts.clear()
        self._texts.clear()
        self._unknown = ""
        self._first = {kind: [] for kind in self._kinds}

    def _of_all_unknown(self, text: str) -> str:
        """What was said of the first line's unknown characters, said of those of all lines."""
        before, _, rest = text.partition("(")
        return f"{before}({shown(self._unknown)}){rest.rpartition(')')[2]}"


def warned(
    found: Iterable[list[ScoredTranslation]], warnings: Warnings
) -> Iterator[list[ScoredTranslation]]:
    """Gives each line's translations on, and warns of their notes."""
    for number, several in enumerate(found, start=1):
        warnings.add(number, several)
        yield several
    warnings.finish()


# ---------------------------------------------------------------------------------------------
# Alignments and pictures


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
    """Merges the attention of pieces (and ends) to that of words (target words, source words).

    The weights of a word's pieces are added up for the source, and averaged for the target. The
    ends are left out, so a row's sum is 1 less what went to the source's end.
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
    place_for_matplotlib()
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
