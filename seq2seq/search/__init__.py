"""Search: numpy over a step model that may be anything, with rules on length and tokens.

What a user asks for is checked here, and the search for it is chosen.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import SUPPRESSED, UNK
from seq2seq.recipe.training import BOUNDS, LengthNormalization, NoNormalization, Normalization
from seq2seq.search.beam import beam_search, check_sizes
from seq2seq.search.constraints import Constraints, make_rules
from seq2seq.search.constraints.pieces import PieceTable
from seq2seq.search.constraints.tokens import MinLength, NoRepeatNgram, RepetitionPenalty, Rule
from seq2seq.search.greedy import greedy
from seq2seq.search.model import (
    Candidates,
    Distribution,
    Hypothesis,
    Ints,
    S,
    SourceBatch,
    StepModel,
)
from seq2seq.search.sampling import Sampling, check_sampling, sample
from seq2seq.search.trace import divisors

Wish = Constraints  # its public name until version 0.3

__all__ = [
    "SUPPRESSED",
    "Candidates",
    "Constraints",
    "Distribution",
    "Hypothesis",
    "Normalization",
    "Sampling",
    "SearchOptions",
    "SourceBatch",
    "StepModel",
    "Wish",
    "beam_search",
    "check_bounds",
    "check_options",
    "divisors",
    "greedy",
    "length_caps",
    "run_search",
]


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
        no_repeat_ngram: The size of n-grams that must not come twice in a translation; 0: any may.
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


_NUMBERS = (
    "max_ratio", "max_extra", "max_length", "min_ratio", "min_length", "coverage",
    "no_repeat_ngram", "diversity", "beam", "n_best",
)  # fmt: skip
_MANY = 10**30
_MOST_TOKENS = 1_000_000  # of a translation, however long its source


def run_search(
    model: StepModel[S],
    source: SourceBatch,
    options: SearchOptions,
    *,
    constraints: Sequence[Constraints] | None = None,
    pieces: PieceTable | None = None,
) -> list[list[Hypothesis]]:
    """Translates a batch as asked.

    Constraints, one for each sentence, say what its translation has to look like; they need
    ``pieces``, what the target's pieces stand for.

    Each sentence gets up to ``n_best`` hypotheses, best first, and at least one; samples come in
    the order in which they were drawn. It is a Seq2SeqError if options or constraints are out of
    range or contradict each other, or the model has no attention where that is needed, and a
    ModelError if its log-probabilities are NaN.
    """
    check_options(options)
    if constraints is not None and len(constraints) != len(source):
        raise Seq2SeqError(
            f"there are constraints for {len(constraints)} sentences, but {len(source)} sentences"
        )
    if not len(source):
        return []
    if constraints is None or not any(constraints):
        return _searched(model, source, options, None, None)
    if pieces is None or pieces.size != model.vocab_size:
        raise Seq2SeqError(
            "constraints need a table of the target's pieces: pass "
            "pieces=PieceTable.of(tokenizer), with the tokenizer that the model was trained "
            "with"
        )
    if not options.no_repeat_ngram:
        return _searched(model, source, options, constraints, pieces)
    # What has to be said may repeat something, but only where it cannot be said otherwise.
    found = _searched(model, source, options, constraints, pieces, strict=True)
    again = [i for i, one in enumerate(constraints) if one and not _is_kept(found[i], one, pieces)]
    if again:
        rest = SourceBatch(source.ids[again], source.lengths[again])
        others = _searched(model, rest, options, [constraints[i] for i in again], pieces)
        for i, several in zip(again, others, strict=True):
            found[i] = several
    return found


def _is_kept(several: Sequence[Hypothesis], constraints: Constraints, pieces: PieceTable) -> bool:
    """Whether all translations are possible under all rules, and hold the phrases."""
    plain = {(one,) for one in constraints.forced if isinstance(one, str)}
    choices = Counter(tuple(one) for one in constraints.forced if not isinstance(one, str))
    demands = [*((one, 1) for one in plain), *choices.items()]
    return all(
        one.log_prob > -math.inf
        and all(_count(forms, one, pieces) >= times for forms, times in demands)
        for one in several
    )


def _count(forms: Sequence[str], found: Hypothesis, pieces: PieceTable) -> int:
    """How often one of some phrases stands in a translation, of two at a place the longer one."""
    phrases = sorted((re.escape(pieces.phrase(one)) for one in forms), key=len, reverse=True)
    return len(re.findall(b"|".join(phrases), pieces.spell(found.tokens)))


def _searched(
    model: StepModel[S],
    source: SourceBatch,
    options: SearchOptions,
    constraints: Sequence[Constraints] | None,
    pieces: PieceTable | None,
    *,
    strict: bool = False,
) -> list[list[Hypothesis]]:
    """Searches as ``run_search``; ``strict``: constraints undo no other rule."""
    caps, rules = _caps_and_rules(source, options)
    phrases = None
    if constraints is not None and pieces is not None:
        sampling, max_length = options.sampling is not None, options.max_length
        caps, more, phrases = make_rules(
            constraints, pieces, caps, max_length=max_length, sampling=sampling, strict=strict
        )
        rules += more
    common: dict[str, Any] = {
        "max_lengths": caps,
        "normalization": options.normalization,
        "suppress": tuple(t for t in SUPPRESSED if t != UNK or not options.allow_unknown),
        "rules": rules,
        "keep_attention": options.attention,
    }
    if options.sampling is not None:
        drawn = options.sampling
        return sample(model, source, sampling=drawn, samples=options.n_best, **common)
    common["coverage"] = options.coverage
    if options.beam == 1 and phrases is None:
        return [[one] for one in greedy(model, source, **common)]
    return beam_search(
        model,
        source,
        beam=options.beam,
        n_best=options.n_best,
        groups=options.groups,
        diversity=options.diversity,
        phrases=phrases,
        **common,
    )


def length_caps(source_lengths: npt.ArrayLike, max_ratio: float, max_extra: int) -> Ints:
    """The most tokens of each translation (B,): ``max_ratio * length + max_extra``, rounded down.

    Lengths do not count eos.
    """
    lengths = np.asarray(source_lengths, dtype=np.float64)
    caps = np.floor(max_ratio * lengths + max_extra)
    return np.minimum(caps, _MOST_TOKENS).astype(np.int64)


def check_bounds(name: str, value: float | None) -> None:
    """Refuses (``Seq2SeqError``) a number that is not within the ``BOUNDS`` of its name."""
    least, most = BOUNDS[name]
    if value is None:
        return
    whole = isinstance(most, int)
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        kind = "a whole number" if whole else "a number"
        raise Seq2SeqError(f"{name} is {value!r}; {kind} is needed")
    written = str(value) if abs(value) < _MANY or not whole else "a very large number"
    if not value >= least:
        low = "1 (greedy)" if name == "beam" else f"{least:g}"
        raise Seq2SeqError(f"{name} is {written}; {low} or more is allowed")
    if value > most:
        raise Seq2SeqError(f"{name} is {written}; at most {most:,} is allowed".replace(".0 ", " "))


def check_options(options: SearchOptions) -> None:
    """Refuses numbers that are out of range or contradict each other.

    Constraints and the model's attention are looked at later, by ``run_search``.
    """
    for name in _NUMBERS:
        check_bounds(name, getattr(options, name))
    if not options.repetition_penalty > 0:
        raise Seq2SeqError(
            f"repetition_penalty is {options.repetition_penalty}; numbers above 0 are allowed "
            "(1: no penalty, above 1: less repetition)"
        )
    check_bounds("repetition_penalty", options.repetition_penalty)
    if not isinstance(options.normalization, NoNormalization):
        check_bounds("alpha", options.normalization.alpha)
    if options.max_length is not None and options.min_length > options.max_length:
        raise Seq2SeqError(
            f"min_length is {options.min_length}, but max_length {options.max_length}: "
            "no translation has both"
        )
    if options.sampling is None:
        check_sizes(options.beam, options.n_best, options.groups)
        return
    for name, unset in (("groups", 1), ("coverage", 0.0)):
        if getattr(options, name) != unset:
            raise Seq2SeqError(
                f"{name} is {getattr(options, name)}, which is of a beam; with sampling only "
                f"{unset} is allowed"
            )
    check_sampling(options.sampling, options.n_best)
    for name in ("temperature", "top_k", "seed"):
        check_bounds(name, getattr(options.sampling, name))


def _caps_and_rules(source: SourceBatch, options: SearchOptions) -> tuple[Ints, list[Rule]]:
    """The most tokens of each translation (B,), and the rules that are the same for all."""
    source_lengths = source.lengths - 1
    caps = length_caps(source_lengths, options.max_ratio, options.max_extra)
    # A product like 0.1 * 30 may be a little too high.
    least = np.ceil(options.min_ratio * source_lengths - 1e-9)
    least = np.minimum(least, _MOST_TOKENS).astype(np.int64)
    least = np.maximum(least, options.min_length)
    if options.max_length is not None:
        least = np.minimum(least, options.max_length)
        caps = np.minimum(caps, options.max_length)
    caps = np.maximum(caps, least)
    rules: list[Rule] = []
    if least.any():
        rules.append(MinLength(least))
    if options.no_repeat_ngram:
        rules.append(NoRepeatNgram(options.no_repeat_ngram))
    if options.repetition_penalty != 1:
        rules.append(RepetitionPenalty(options.repetition_penalty))
    return caps, rules
