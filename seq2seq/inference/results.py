"""What a translator gives back, with notes on what happened to a line on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from seq2seq.inference.alignment import word_alignment
from seq2seq.search.model import Floats32, Hypothesis

_SHOWN = 10  # numbers of lines in one warning


@dataclass(frozen=True)
class Note:
    """Something that a reader of a translation should know.

    Attributes:
        kind: "split": the line was long and was translated in parts; "truncated": it was long, and
            its end was left out; "whole": it was long, and was translated as it is all the same;
            "unknown": it has characters that the model does not know; "invalid": it has U+FFFD,
            which stands for what could not be read; "cut": the translation was ended at the length
            cap; "looped": it repeated itself up to there, and was cut after the first time.
        text: In words.
    """

    kind: Literal["split", "truncated", "whole", "unknown", "invalid", "cut", "looped"]
    text: str


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
            source tokens + 1); None: the model has no attention, or it was not asked for.
        notes: What the reader of the translation should know.
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
        if pieces is None:
            return cls(text, score, found.log_prob, found.truncated, notes=notes)
        source, target = map(tuple, pieces)
        return cls(
            text,
            score,
            found.log_prob,
            found.truncated,
            target,
            found.token_log_probs,
            source,
            found.attention,
            notes,
        )

    @property
    def alignment(self) -> list[tuple[int, int]] | None:
        """Pairs of source and target words by their numbers; None without attention."""
        if self.attention is None:
            return None
        return word_alignment(self.attention, self.source_tokens, self.tokens)


def best_of(several: Sequence[ScoredTranslation]) -> ScoredTranslation:
    """Chooses one translation; samples come as they were drawn, all others best first."""
    return several[0] if len(several) == 1 else max(several, key=lambda one: one.score)


class Warnings:
    """Makes warnings of the notes on many lines.

    Args:
        warn: Takes a warning.
        loops: Whether to warn of translations that repeated themselves.
    """

    def __init__(self, warn: Callable[[str], None], *, loops: bool = True) -> None:
        self._warn = warn
        self._warns_of_loops = loops
        self._loops: list[int] = []

    def add(self, line: int, several: Sequence[ScoredTranslation]) -> None:
        """Warns of a line where its source was changed, and remembers it where it looped."""
        for note in several[0].notes:
            if note.kind in ("truncated", "whole"):
                self._warn(f"line {line}: {note.text}")
            if note.kind == "looped" and self._warns_of_loops:
                self._loops.append(line)

    def finish(self) -> None:
        """Warns of the lines that looped, all at once."""
        if not self._loops:
            return
        numbers, more = ", ".join(map(str, self._loops[:_SHOWN])), len(self._loops) - _SHOWN
        self._warn(
            f"line{'s' * (len(self._loops) > 1)} {numbers}{f' and {more} more' * (more > 0)}: "
            "the translation repeated itself up to the length cap: it was cut after the first time"
        )
        self._loops.clear()
