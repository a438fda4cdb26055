"""What a model has seen in training, as far as it decides which lines it can take whole.

A run's card keeps it, as counted when the data was prepared. Cards of version 0.3 have nothing of
it; such a model is taken to have seen one sentence a line, as most have.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from seq2seq.errors import ModelError
from seq2seq.storage.layout import CARD
from seq2seq.text.sentences import language_of

if TYPE_CHECKING:
    from seq2seq.data.preparing.statistics import PrepareReport
    from seq2seq.inference.model_folder import ModelFolder
    from seq2seq.recipe import Recipe

KEY = "trained_on"
"""Where the card has it."""

_SEVERAL = 0.1  # the share of lines with several sentences from which on a model has learned them
_OUTLIER = 2  # lines longer than this times what 99 in 100 have are too rare to learn from


@dataclass(frozen=True)
class TrainedOn:
    """What a model takes as one line."""

    longest: int | None = None  # the most pieces of a source; None: any number
    sentences: int | None = None  # the most sentences; None: any number
    language: str | None = None  # the source's, as "de"; None: it is not known
    ratio: float = 1.0  # target pieces a source piece, in the mean; 0: nobody knows

    @classmethod
    def of(cls, folder: ModelFolder) -> TrainedOn:
        """Reads what is known of a model; a ``ModelError`` if its card is damaged."""
        recipe = folder.recipe
        given = folder.card.get(KEY)
        if given is None:
            return cls(recipe.training.max_pieces, 1, _language(recipe), ratio=0.0)
        try:
            found = TypeAdapter(_Figures).validate_python(given)
        except ValidationError:
            raise ModelError(
                f"{folder.path / CARD}: damaged: {KEY!r} is not what a training writes there"
            ) from None
        longest = min(found.longest, _OUTLIER * found.p99, recipe.training.max_pieces)
        sentences = found.sentences if found.several >= _SEVERAL else 1
        language = recipe.translation.source_language or found.language
        return cls(max(longest, 1), max(sentences, 1), language, found.ratio or 1.0)

    @classmethod
    def together(cls, several: Sequence[TrainedOn]) -> TrainedOn:
        """What all models of an ensemble can take."""
        lengths = [one.longest for one in several if one.longest is not None]
        sentences = [one.sentences for one in several if one.sentences is not None]
        first = several[0]
        return cls(
            min(lengths, default=None), min(sentences, default=None), first.language, first.ratio
        )


NO_LIMITS = TrainedOn()
"""Lines of any length and number of sentences are taken whole."""


@dataclass(frozen=True)
class _Figures:
    """What stands in the card: pieces and sentences of the sources, target pieces a piece."""

    p99: Annotated[int, Field(ge=0)]
    longest: Annotated[int, Field(ge=0)]
    several: Annotated[float, Field(ge=0.0, le=1.0)] = 0.0
    sentences: Annotated[int, Field(ge=0)] = 1
    ratio: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 1.0
    language: str | None = None


def figures(recipe: Recipe, report: PrepareReport) -> Mapping[str, Any]:
    """What a card keeps of the data that a model was trained on."""
    train = report.splits[0]
    source, target = train.source, train.target
    found: dict[str, Any] = {
        "p99": source.p99,
        "longest": source.longest,
        "language": _language(recipe),
    }
    if train.sentences is not None:
        found |= {"several": train.sentences.several, "sentences": train.sentences.p99}
    if source.tokens:
        found["ratio"] = round(target.tokens / source.tokens, 4)
    return found


def _language(recipe: Recipe) -> str | None:
    """The source's language: what the recipe says, or what the first file's name ends with."""
    if recipe.translation.source_language is not None:
        return recipe.translation.source_language
    train = recipe.data.train
    first = train[0] if isinstance(train, tuple) else train
    return language_of(getattr(first, "source_path", ""))
