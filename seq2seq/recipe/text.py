"""The section ``text``: what of a line must come out as it went in, and what training adds."""

from __future__ import annotations

import re
import warnings
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from seq2seq.recipe.base import Section

SpanKind = Literal["url", "email", "placeholder", "tag", "number", "emoji", "unknown"]
_LONGEST = 1000  # characters of a pattern


def _checked(pattern: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            compiled = re.compile(pattern)
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if compiled.match(""):
        raise ValueError("it matches the empty text: use + instead of *, say")
    return pattern


Pattern = Annotated[str, Field(min_length=1, max_length=_LONGEST), AfterValidator(_checked)]


class Protect(Section):
    """Spans that a translation takes over letter for letter.

    ``kinds``: "url", "email", "placeholder" (``%s``, ``{name}``, ``${x}``, ``__NAME__``), "tag",
    "number" (with a unit, a decimal point or as a time or date), "emoji", and "unknown", which are
    words with characters that the tokenizer cannot spell. ``patterns`` are regular expressions of
    your own, which come first.
    """

    kinds: Annotated[tuple[SpanKind, ...], Field(strict=False)] = (
        "url", "email", "placeholder", "tag", "number", "emoji", "unknown",
    )  # fmt: skip
    patterns: Annotated[tuple[Pattern, ...], Field(strict=False, max_length=100)] = ()


Share = Annotated[float, Field(ge=0.0, le=0.5)]


class Augment(Section):
    """Pairs that ``prepare`` adds to the training pairs, each kind so many for each of those.

    ``upper``, ``title`` and ``lower`` have both sides in capitals, Like This, or in lower case;
    ``no_stop`` has neither side's full stop, ``typos`` a typing error in the source. ``words`` are
    words and phrases of two with their translations, as an alignment of the training pairs has
    them.
    """

    upper: Share = 0.0
    title: Share = 0.0
    lower: Share = 0.0
    no_stop: Share = 0.0
    typos: Share = 0.0
    words: Share = 0.0

    @property
    def shares(self) -> dict[str, float]:
        """The kinds that add pairs, with their shares."""
        return {kind: share for kind, share in self.model_dump().items() if share}


class Text(Section):
    """What of a line must survive its translation, and what training is to see besides.

    With ``capitals`` a line in capitals is read as it is usually written, and its translation is in
    capitals again.
    """

    capitals: bool = True
    protect: Protect = Protect()
    augment: Augment = Augment()
