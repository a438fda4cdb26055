"""The door to every search: what a user asks for is checked, and the search for it is chosen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import UNK
from seq2seq.search.beam.search import beam_search, check_sizes
from seq2seq.search.constraints.constraints import Avoided, Prefixes, check_wish, most_pieces
from seq2seq.search.constraints.phrase_match import Goal
from seq2seq.search.constraints.phrases import Phrases
from seq2seq.search.constraints.pieces import PieceTable
from seq2seq.search.constraints.tokens import MinLength, NoRepeatNgram, RepetitionPenalty, Rule
from seq2seq.search.greedy import greedy
from seq2seq.search.model import Hypothesis, Ints, S, SourceBatch, StepModel
from seq2seq.search.options import SearchOptions, Wish
from seq2seq.search.sampling import sample
from seq2seq.search.scores import SUPPRESSED, length_caps


def run_search(
    model: StepModel[S],
    source: SourceBatch,
    options: SearchOptions,
    *,
    wishes: Sequence[Wish] | None = None,
    pieces: PieceTable | None = None,
) -> list[list[Hypothesis]]:
    """Translates a batch as asked.

    Args:
        model: The model.
        source: The sentences (B).
        options: How to search.
        wishes: What each sentence's translation has to look like (B); None: no wishes.
        pieces: What the target's pieces stand for; needed where there are wishes.

    Returns:
        For each sentence up to ``n_best`` hypotheses, best first, and at least one. Samples come in
        the order in which they were drawn.

    Raises:
        Seq2SeqError: If options or wishes are out of range or contradict each other, or the model
            has no attention where that is needed.
        ModelError: If the model's log-probabilities are NaN.
    """
    check_options(options)
    if wishes is not None and len(wishes) != len(source):
        raise Seq2SeqError(
            f"there are wishes for {len(wishes)} sentences, but {len(source)} sentences"
        )
    if not len(source):
        return []
    plan = _planned(model.vocab_size, source, options, wishes, pieces)
    suppress = tuple(t for t in SUPPRESSED if t != UNK or not options.allow_unknown)
    if options.sampling is not None:
        return sample(
            model,
            source,
            sampling=options.sampling,
            samples=options.n_best,
            max_lengths=plan.caps,
            normalization=options.normalization,
            rules=plan.rules,
            suppress=suppress,
            keep_attention=options.attention,
        )
    if options.beam == 1 and plan.phrases is None:
        found = greedy(
            model,
            source,
            max_lengths=plan.caps,
            normalization=options.normalization,
            suppress=suppress,
            rules=plan.rules,
            coverage=options.coverage,
            keep_attention=options.attention,
        )
        return [[one] for one in found]
    return beam_search(
        model,
        source,
        beam=options.beam,
        n_best=options.n_best,
        max_lengths=plan.caps,
        normalization=options.normalization,
        suppress=suppress,
        rules=plan.rules,
        coverage=options.coverage,
        keep_attention=options.attention,
        groups=options.groups,
        diversity=options.diversity,
        phrases=plan.phrases,
    )


def check_options(options: SearchOptions) -> None:
    """Checks what a user may ask of a search.

    Args:
        options: How to search.

    Raises:
        Seq2SeqError: If a number is out of range, or two contradict each other.
    """
    least = {
        "coverage": 0,
        "max_ratio": 0,
        "max_extra": 0,
        "max_length": 0,
        "min_ratio": 0,
        "min_length": 0,
        "no_repeat_ngram": 0,
        "diversity": 0,
    }
    for name, bound in least.items():
        value = getattr(options, name)
        if value is not None and not bound <= value < math.inf:
            raise Seq2SeqError(f"{name} is {value}; {bound} or more is allowed")
    if not 0 < options.repetition_penalty < math.inf:
        raise Seq2SeqError(
            f"repetition_penalty is {options.repetition_penalty}; numbers above 0 are allowed "
            "(1: no penalty, above 1: less repetition)"
        )
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


@dataclass(frozen=True)
class _Plan:
    """What options and wishes come to for a batch."""

    caps: Ints
    rules: Sequence[Rule]
    phrases: Phrases | None


def _planned(
    vocab_size: int,
    source: SourceBatch,
    options: SearchOptions,
    wishes: Sequence[Wish] | None,
    pieces: PieceTable | None,
) -> _Plan:
    source_lengths = source.lengths - 1
    caps = length_caps(source_lengths, options.max_ratio, options.max_extra)
    # A product like 0.1 * 30 may be a little too high.
    least = np.ceil(options.min_ratio * source_lengths - 1e-9).astype(np.int64)
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
    if wishes is None or not any(wishes):
        return _Plan(caps, rules, None)
    if pieces is None or pieces.size != vocab_size:
        raise Seq2SeqError(
            "wishes need a table of the target's pieces: pass pieces=PieceTable.of(tokenizer), "
            "with the tokenizer that the model was trained with"
        )
    return _with_wishes(caps, rules, options, wishes, pieces)


def _with_wishes(
    caps: Ints,
    rules: list[Rule],
    options: SearchOptions,
    wishes: Sequence[Wish],
    pieces: PieceTable,
) -> _Plan:
    """Adds the rules of wishes. That of prefixes comes last, as it undoes what leaves no way on."""
    goals = [_goal(wish, options, pieces) for wish in wishes]
    needs = [
        most_pieces(wish.prefix, pieces) + (0 if goal is None else goal.total)
        for wish, goal in zip(wishes, goals, strict=True)
    ]
    if options.max_length is not None:
        needs = [min(need, options.max_length) for need in needs]
    caps = np.maximum(caps, np.array(needs, dtype=np.int64))
    phrases = avoided = None
    if any(wish.avoided for wish in wishes):
        # A phrase may hold what is avoided with more of the word behind, whatever room there is.
        room = np.where([goal is None for goal in goals], caps, 2 * caps)
        avoided = Avoided(wishes, pieces, room)
        rules.append(avoided)
    if any(goals):
        phrases = Phrases(goals, caps, avoided)
        rules.append(phrases)
    if any(wish.prefix for wish in wishes):
        rules.append(Prefixes(wishes, pieces))
    return _Plan(caps, rules, phrases)


def _goal(wish: Wish, options: SearchOptions, pieces: PieceTable) -> Goal | None:
    check_wish(wish, pieces)
    goal = None
    if wish.forced:
        if options.sampling is not None:
            raise Seq2SeqError(
                f"the phrase {wish.forced[0]!r} is forced, which needs a beam: leave sampling out, "
                "or begin the translation with a prefix"
            )
        goal = Goal([_spelled(phrase, pieces) for phrase in wish.forced], pieces)
    if options.max_length is not None:
        needed = len(pieces.tokenizer.encode([wish.prefix])[0]) + (goal.total if goal else 0)
        if needed > options.max_length:
            raise Seq2SeqError(
                f"max_length is {options.max_length}, but prefix and forced phrases have {needed} "
                f"pieces: allow max_length = {needed} or more"
            )
    return goal


def _spelled(phrase: str, pieces: PieceTable) -> list[int]:
    tokens = pieces.tokenizer.encode([phrase])[0]
    if UNK in tokens or not tokens:
        raise Seq2SeqError(
            f"the forced phrase {phrase!r} has characters that the model's tokenizer does not know"
        )
    return tokens
