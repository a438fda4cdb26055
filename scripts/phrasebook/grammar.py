"""The phenomena of the phrasebook, with the share that each has in the corpus."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from . import sentences_clauses as clauses
from . import sentences_numbers as numbers
from . import sentences_phrases as phrases
from . import sentences_places as places
from . import sentences_reference as reference
from .dice import Dice
from .nominals import Pair

Sampler = Callable[[Dice], Pair]

# name: (half percents of the corpus, sampler); the shares add up to 200
PHENOMENA: dict[str, tuple[int, Sampler]] = {
    "agreement": (15, phrases.agreement),
    "weak noun": (7, phrases.weak_noun),
    "dative": (11, phrases.dative),
    "genitive": (8, phrases.genitive),
    "preposition": (10, places.preposition),
    "two-way preposition": (11, places.two_way),
    "comparison": (5, phrases.comparison),
    "pronoun": (11, reference.pronoun),
    "relative clause": (12, reference.relative),
    "verb second": (10, clauses.verb_second),
    "subordinate clause": (12, clauses.subordinate),
    "modal": (8, clauses.modal),
    "perfect": (10, clauses.perfect),
    "future": (5, clauses.future),
    "question": (10, clauses.wh_question),
    "address": (7, clauses.address),
    "separable verb": (11, clauses.separable),
    "reflexive": (5, clauses.reflexive),
    "negation": (9, clauses.negation),
    "number": (9, numbers.number),
    "price": (4, numbers.price),
    "year": (2, numbers.built_year),
    "clock": (8, numbers.clock),
}


def sample(phenomenon: str, seed: int) -> Iterator[Pair]:
    """Make up sentences about one phenomenon, without end and with repetitions.

    Args:
        phenomenon: a name from `PHENOMENA`.
        seed: the seed; the phenomenon has a stream of its own.

    Yields:
        Pairs of sentences.
    """
    dice = Dice(seed, phenomenon)
    sampler = PHENOMENA[phenomenon][1]
    while True:
        yield sampler(dice)
