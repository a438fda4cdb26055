"""What a search is asked for: once for all sentences, and for single ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from seq2seq.recipe.training import LengthNormalization
from seq2seq.search.scores import Normalization


@dataclass(frozen=True)
class Sampling:
    """Draws translations instead of looking for the best.

    A sentence's samples depend on ``seed`` and the sentence alone, not on its batch or place.

    Args:
        temperature: Log-probabilities are divided by it before drawing; below 1 is safer.
        top_k: Only the so many best tokens may be drawn; None: all.
        top_p: Only the best tokens that together have so much of the probability (Holtzman et al.
            2020), at least one.
        seed: Another seed, other samples.
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float = 1.0
    seed: int = 1


@dataclass(frozen=True)
class SearchOptions:
    """How to search, for all sentences alike.

    Args:
        beam: How many hypotheses of a sentence are followed; 1: greedy.
        n_best: How many translations of a sentence are wanted: at most ``beam``, or any number of
            samples.
        normalization: How scores are made from sums of log-probabilities.
        coverage: Weight of GNMT's coverage penalty (Wu et al. 2016, equation 14); needs attention.
        max_ratio: Target pieces a source piece, for the length cap.
        max_extra: Target pieces besides.
        max_length: A cap besides, in pieces; None: none.
        min_ratio: The least target pieces a source piece, eos not counted.
        min_length: The least target pieces, eos not counted.
        no_repeat_ngram: No n-gram of so many pieces comes twice in a translation; 0: any may.
        repetition_penalty: What came already is less likely by this factor (Keskar et al. 2019).
        groups: Parts of the beam that are kept different (Vijayakumar et al. 2018); divides it.
        diversity: How strongly.
        allow_unknown: Whether the unknown piece may be produced.
        sampling: Draw ``n_best`` samples instead of searching with a beam.
        attention: Whether hypotheses keep their attention.
    """

    beam: int = 5
    n_best: int = 1
    normalization: Normalization = field(default_factory=LengthNormalization)
    coverage: float = 0.0
    max_ratio: float = 2.0
    max_extra: int = 20
    max_length: int | None = None
    min_ratio: float = 0.0
    min_length: int = 0
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    groups: int = 1
    diversity: float = 0.5
    allow_unknown: bool = False
    sampling: Sampling | None = None
    attention: bool = False


@dataclass(frozen=True)
class Wish:
    """What one sentence's translation has to look like.

    Args:
        prefix: What it begins with; it may end within a word.
        forced: Phrases that it holds, each as whole words, in any order.
        avoided: Phrases that it does not hold as whole words.
    """

    prefix: str = ""
    forced: Sequence[str] = ()
    avoided: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.prefix or self.forced or self.avoided)
