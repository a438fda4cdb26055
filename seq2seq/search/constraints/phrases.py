"""Forced phrases, which translations have to hold: dynamic beam allocation (Post & Vilar 2018).

Every hypothesis knows how many pieces of its sentence's phrases it has met. The places of the beam
are dealt to these counts (banks) in turn, the highest count first, so that some hypotheses always
go on with the phrases, however unlikely these are. There is no end before all phrases are met; and
when no more tokens are left before the length cap than phrases need, only their pieces are allowed.

Of a choice, one phrase has to come; while it is being said, any that begins so may be the one.
A phrase is matched as Knuth, Morris and Pratt do: what does not go on with it may still go on with
a part of it. It counts as whole words only, so a piece after it must not go on with its last word.

Shapes: N rows, k candidates a row, A beams, C ranked candidates of a beam, V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

import numpy as np

from seq2seq.ids import EOS, PAD
from seq2seq.search.constraints.pieces import PieceTable, is_word_character
from seq2seq.search.constraints.tokens import PartialHypotheses, Rule
from seq2seq.search.model import Bools, Floats, Floats32, Ints

# For each demand, how often it is still to be met for good (so that no piece can change it any
# more), and for each of its phrases how many pieces of it the hypothesis ends with.
Matched = tuple[tuple[int, tuple[int, ...]], ...]
_Phrase = tuple[int, ...]


@dataclass(frozen=True)
class _Demand:
    """Phrases one of which has to come, as often as ``times``; ``length`` is the shortest's."""

    phrases: tuple[_Phrase, ...]
    times: int
    length: int
    failures: tuple[list[int], ...]

    @classmethod
    def of(cls, phrases: tuple[_Phrase, ...], times: int = 1) -> _Demand:
        return cls(phrases, times, min(map(len, phrases)), tuple(map(_failure_function, phrases)))

    def complete(self, counts: tuple[int, ...]) -> _Phrase | None:
        """The phrase that the hypothesis ends with, if it does with one."""
        ends = zip(self.phrases, counts, strict=True)
        return next((phrase for phrase, count in ends if count == len(phrase)), None)

    def shares(self, counts: tuple[int, ...]) -> dict[int, float]:
        """How much of ``length`` each number of pieces is of the shortest phrase that begins so.

        While it is open which of the phrases it will be, all that begin so are in one bank.
        """
        shortest: dict[int, int] = {}
        for phrase, count in zip(self.phrases, counts, strict=True):
            shortest[count] = min(shortest.get(count, len(phrase)), len(phrase))
        return {0: 0.0} | {at: self.length * at / size for at, size in shortest.items()}


class _Way(NamedTuple):
    """How to go on: what is missing, in pieces and for the bank, and from where in a phrase."""

    missing: int
    rank: float
    phrase: _Phrase
    at: int


class PhraseMatcher:
    """Follows how far hypotheses are with the phrases (of at least one piece) to be held.

    One of each of the ``choices`` has to be held besides; of choices that are given twice, two
    that do not overlap. ``start`` is where a hypothesis without tokens is, ``total`` the pieces of
    all phrases, of choices those of the shortest.
    """

    def __init__(
        self,
        phrases: Sequence[Sequence[int]],
        pieces: PieceTable,
        choices: Sequence[Sequence[Sequence[int]]] = (),
    ) -> None:
        asked = Counter(tuple(sorted({tuple(one) for one in choice})) for choice in choices)
        self._demands = [
            *(_Demand.of((one,)) for one in sorted({tuple(phrase) for phrase in phrases})),
            *(_Demand.of(choice, times) for choice, times in sorted(asked.items())),
        ]
        self._pieces = pieces
        self._tokens = {t for demand in self._demands for one in demand.phrases for t in one}
        self._is_within_word = cache(self._find_within_word)
        # Most hypotheses have matched one of few combinations.
        self._needs: dict[Matched, tuple[int, float]] = {}
        self._inside: dict[tuple[Matched, int, bool], Matched] = {}
        self._outside: dict[tuple[Matched, bool], Matched] = {}
        self.start: Matched = tuple(
            (demand.times, (0,) * len(demand.phrases)) for demand in self._demands
        )
        self.total = sum(demand.times * demand.length for demand in self._demands)

    def _find_within_word(self, token: int) -> bool:
        text = self._pieces.spelling_V[token].decode("utf-8", "replace")
        return bool(text) and is_word_character(text[-1])

    def step(self, matched: Matched, last: int | None, token: int) -> Matched:
        """What a hypothesis has matched after one more token; ``last`` is the one before it."""
        continues = bool(self._pieces.continues_V[token])
        if token not in self._tokens:
            return self._step_outside(matched, continues)
        within = last is not None and self._is_within_word(last)
        key = matched, token, within
        if key not in self._inside:
            self._inside[key] = self._step(matched, token, continues, within)
        return self._inside[key]

    def _step(self, matched: Matched, token: int, continues: bool, within: bool) -> Matched:
        """As ``step``; ``within`` a word or not is where the token comes."""
        found = []
        for demand, state in zip(self._demands, matched, strict=True):
            left, counts = self._left(demand, *state, continues)
            if left:
                phrases = zip(demand.phrases, demand.failures, counts, strict=True)
                counts = tuple([self._count(*one, token, within) for one in phrases])
            found.append((left, counts))
        return tuple(found)

    def _step_outside(self, matched: Matched, continues: bool) -> Matched:
        """As ``step``, for a token that is in no phrase; it may go on with a word or not."""
        key = matched, continues
        if key not in self._outside:
            self._outside[key] = tuple(
                (self._left(demand, *state, continues)[0], (0,) * len(demand.phrases))
                for demand, state in zip(self._demands, matched, strict=True)
            )
        return self._outside[key]

    def _left(
        self, demand: _Demand, left: int, counts: tuple[int, ...], continues: bool
    ) -> tuple[int, tuple[int, ...]]:
        """Counts a phrase just completed as met for good, unless a token goes on with its word."""
        complete = demand.complete(counts)
        if complete is None or (continues and self._is_within_word(complete[-1])):
            return left, counts
        return left - 1, (0,) * len(counts)

    def _count(
        self, phrase: _Phrase, failures: list[int], count: int, token: int, within: bool
    ) -> int:
        """How many pieces of a phrase are matched after one more token."""
        while count and (count == len(phrase) or phrase[count] != token):
            count = failures[count]
        if phrase[count] != token or (count == 0 and not self._may_begin(phrase, within)):
            return 0
        return count + 1

    def _may_begin(self, phrase: _Phrase, within: bool) -> bool:
        """Whether a phrase may begin in or behind a word: not if it would go on with the word."""
        return not (within and self._pieces.continues_V[phrase[0]])

    def _ways(self, matched: Matched) -> list[_Way]:
        """How to go on with incomplete phrases.

        A way may go on with the word that a complete phrase ends with ("Hunde", then the rest of
        "Hundehütte"), which is then needed again; or leave that alone, and begin once more.
        """
        needed = breakable = 0
        incomplete = []
        for demand, (left, counts) in zip(self._demands, matched, strict=True):
            complete = demand.complete(counts)
            if complete is not None:
                left, counts = left - 1, (0,) * len(counts)  # noqa: PLW2901 - from the next on
                breakable += demand.length * self._is_within_word(complete[-1])
            needed += left * demand.length
            if left:
                incomplete.append((demand, counts))
        ways = []
        for demand, counts in incomplete:
            shares = demand.shares(counts)
            for phrase, count in zip(demand.phrases, counts, strict=True):
                for at in {count, 0}:
                    breaks = self._pieces.continues_V[phrase[at]]
                    others = needed - demand.length + (breakable if breaks else 0)
                    rank = others + demand.length - shares[at]
                    ways.append(_Way(others + len(phrase) - at, rank, phrase, at))
        return ways

    def is_met(self, matched: Matched) -> bool:
        """Whether all phrases are held, so that the translation may end."""
        return not self.missing(matched)

    def missing(self, matched: Matched) -> int:
        """How many pieces are needed at most to hold all phrases."""
        return self._need(matched)[0]

    def met(self, matched: Matched) -> float:
        """How many pieces are met, ``total`` if all are: the bank in which a hypothesis is.

        A choice's phrases count as if all had as many pieces as the shortest.
        """
        return self.total - self._need(matched)[1]

    def _need(self, matched: Matched) -> tuple[int, float]:
        """What is missing, in pieces and for the bank."""
        if matched not in self._needs:
            ways = self._ways(matched)
            missing = min((way.missing for way in ways), default=0)
            self._needs[matched] = missing, min((way.rank for way in ways), default=0)
        return self._needs[matched]

    def missing_at_worst(self, matched: Matched) -> int:
        """How many pieces may be missing after any one token: all that are not met for good."""
        return sum(
            left * demand.length for demand, (left, _) in zip(self._demands, matched, strict=True)
        )

    def missing_after(self, matched: Matched, last: int | None) -> Ints:
        """How many pieces are missing at most after each token (V); that of eos has no meaning."""
        # Tokens that are in no phrase differ only in whether they go on with a word.
        within, outside = (
            self.missing(self._step_outside(matched, continues)) for continues in (True, False)
        )
        missing_V = np.where(self._pieces.continues_V, within, outside)
        for token in self._tokens:
            missing_V[token] = self.missing(self.step(matched, last, token))
        return missing_V

    def continuations(self, matched: Matched) -> list[int]:
        """The tokens that go on with phrases begun and bring the hypothesis into the best bank."""
        ways = self._ways(matched)
        least = min((way.rank for way in ways), default=0)
        return sorted({way.phrase[way.at] for way in ways if way.at and way.rank == least})

    def next_tokens(self, matched: Matched, last: int | None) -> list[int]:
        """The tokens that go on with any incomplete phrase, or begin it."""
        best: dict[_Phrase, _Way] = {}
        within = last is not None and self._is_within_word(last)
        for way in sorted(self._ways(matched)):
            if way.at or self._may_begin(way.phrase, within):
                best.setdefault(way.phrase, way)
        return sorted({way.phrase[way.at] for way in best.values()})


def _failure_function(phrase: tuple[int, ...]) -> list[int]:
    """For each number of pieces matched, the next smaller one that these end with as well."""
    failures = [0, 0]
    for token in phrase[1:]:
        count = failures[-1]
        while count and phrase[count] != token:
            count = failures[count]
        failures.append(count + 1 if phrase[count] == token else 0)
    return failures


@dataclass(frozen=True)
class _State:
    """How far a row is."""

    matched: Matched = ()
    last: int | None = None  # its last token, if it has any
    overdue: bool = False  # the model would have ended it already, but phrases were missing


@dataclass(frozen=True)
class _Candidate:
    """A candidate that goes on: its place in the ranking, its bank, and the state it comes from."""

    place: int
    token: int
    met: float
    overdue: bool
    parent: _State


class ForcedPhrases:
    """The forced phrases of a batch: a rule, and the allocation of the beam.

    They win against rules that come before them: a phrase once begun may be completed whatever
    those forbid, and so may it be begun where there is no room for anything else. Only avoided
    phrases win against them, and the translation gets longer instead. With ``strict`` they win
    against none. A sentence without phrases has no matcher; the caps of the others have room for
    theirs.

    ``alone``: no beam is allocated by ``allocate``. Then a hypothesis goes on with a phrase as soon
    as it has begun one, and begins one where the model would rather end.
    """

    def __init__(
        self,
        matchers_B: Sequence[PhraseMatcher | None],
        caps_B: Ints,
        avoided: Rule | None = None,
        *,
        alone: bool = False,
        strict: bool = False,
    ) -> None:
        self._alone = alone
        self._strict = strict
        self._matchers_B = matchers_B
        self._caps_B = caps_B
        self._avoided = avoided
        self._matcher_N: list[PhraseMatcher | None] = []
        self._state_N: list[_State] = []
        self._states: dict[tuple[int, tuple[int, ...]], _State] = {}

    def apply(self, rows: PartialHypotheses, log_probs_NV: Floats32) -> None:
        """Forbids ends before all phrases are held, and what would leave no room for them."""
        permitted_NV = log_probs_NV.copy() if self._strict else rows.log_prob_NV
        if self._avoided is not None:
            permitted_NV = permitted_NV.copy()
            self._avoided.apply(rows, permitted_NV)
        sentences = rows.sentence_N.tolist()
        left_N = self._caps_B[rows.sentence_N] - rows.tokens_NT.shape[1]
        before, self._states = self._states, {}
        self._matcher_N = [self._matchers_B[sentence] for sentence in sentences]
        self._state_N = [_State()] * len(sentences)
        for row, (sentence, matcher) in enumerate(zip(sentences, self._matcher_N, strict=True)):
            if matcher is None:
                continue
            tokens = tuple(rows.tokens_NT[row].tolist())
            state = _State(matcher.start)
            if tokens:
                parent = before[sentence, tokens[:-1]]
                matched = matcher.step(parent.matched, parent.last, tokens[-1])
                state = _State(matched, tokens[-1], parent.overdue)
            log_probs_V, permitted_V = log_probs_NV[row], permitted_NV[row]
            if not matcher.is_met(state.matched):
                if log_probs_V.argmax() == EOS:
                    state = replace(state, overdue=True)
                log_probs_V[EOS] = -np.inf
                begun = matcher.continuations(state.matched)
                _permit(begun, log_probs_V, permitted_V)
                if self._alone and (begun or state.overdue):
                    _keep(begun or matcher.next_tokens(state.matched, state.last), log_probs_V)
            if matcher.missing_at_worst(state.matched) >= left_N[row]:
                _keep_room(matcher, state, int(left_N[row]), log_probs_V, permitted_V)
            self._states[sentence, tokens] = self._state_N[row] = state

    def add_candidates(
        self, adjusted_NV: Floats32, adjusted_Nk: Floats32, token_Nk: Ints
    ) -> tuple[Floats32, Ints]:
        """Adds the tokens that go on with phrases to the k best of each row, as more columns.

        They have the log-probabilities that all tokens are ranked by; where a row has fewer than
        others, impossible ones fill its columns.
        """
        wanted = [
            [] if matcher is None else matcher.next_tokens(state.matched, state.last)
            for matcher, state in zip(self._matcher_N, self._state_N, strict=True)
        ]
        more_Np = np.full((len(wanted), max(map(len, wanted), default=0)), PAD, dtype=np.int64)
        for row, tokens in enumerate(wanted):
            more_Np[row, : len(tokens)] = tokens
        value_Np = np.take_along_axis(adjusted_NV, more_Np, axis=1)
        known_Np = (more_Np[:, :, None] == token_Nk[:, None, :]).any(axis=2)
        value_Np[known_Np | (more_Np == PAD)] = -np.inf
        return (
            np.concatenate([adjusted_Nk, value_Np], axis=1),
            np.concatenate([token_Nk, more_Np], axis=1),
        )

    def allocate(
        self, sum_AC: Floats, token_AC: Ints, row_AC: Ints, sentence_A: Ints, width: int, rows: int
    ) -> tuple[Ints, Bools, Bools]:
        """Allocates the beams of sentences with phrases, ``width`` hypotheses each.

        All candidates are given, best first: the sums (-inf: impossible), the tokens that they add
        and the rows that they extend, of ``rows`` (at the first step, a multiple of those of
        ``apply``). It gives the places of the ``2 * width`` candidates to choose from, marks on
        those that are taken, and marks on those that are overdue.
        """
        size = min(2 * width, sum_AC.shape[1])
        places_AC = np.tile(np.arange(size), (len(sentence_A), 1))
        taken_AC = np.ones(places_AC.shape, dtype=np.bool_)
        overdue_AC = np.zeros(places_AC.shape, dtype=np.bool_)
        repeats = rows // len(self._state_N)
        for beam, sentence in enumerate(sentence_A.tolist()):
            matcher = self._matchers_B[sentence]
            if matcher is None:
                continue
            candidates = zip(
                sum_AC[beam].tolist(),
                token_AC[beam].tolist(),
                (row_AC[beam] // repeats).tolist(),
                strict=True,
            )
            chosen = self._chosen(matcher, list(candidates), width)
            places_AC[beam, : len(chosen)] = [place for place, _ in chosen]
            overdue_AC[beam, : len(chosen)] = [overdue for _, overdue in chosen]
            taken_AC[beam, len(chosen) :] = False
        return places_AC, taken_AC, overdue_AC

    def _chosen(
        self, matcher: PhraseMatcher, candidates: Sequence[tuple[float, int, int]], width: int
    ) -> list[tuple[int, bool]]:
        """The candidates of a beam that are taken, and whether each is overdue.

        Ends are among the best ``width`` of those that hold all phrases, and come first.
        """
        ends: list[tuple[int, bool]] = []
        unfinished: list[_Candidate] = []
        complete = 0
        for place, (total, token, row) in enumerate(candidates):
            if total == -np.inf:
                continue
            parent = self._state_N[row]
            if token == EOS:  # the rule allows it only where all phrases are held
                complete += 1
                if complete <= width:
                    ends.append((place, False))
                continue
            matched = matcher.step(parent.matched, parent.last, token)
            is_met = matcher.is_met(matched)
            complete += is_met
            overdue = parent.overdue and not is_met
            unfinished.append(_Candidate(place, token, matcher.met(matched), overdue, parent))
        dealt = _deal(matcher, unfinished, width)
        return [*ends, *((one.place, one.overdue) for one in dealt)]


def _permit(tokens: Sequence[int], log_probs_V: Floats32, permitted_V: Floats32) -> None:
    """Allows tokens that rules have forbidden, with the log-probabilities given."""
    now = log_probs_V[tokens]
    log_probs_V[tokens] = np.where(now == -np.inf, permitted_V[tokens], now)


def _keep(tokens: Sequence[int], log_probs_V: Floats32) -> None:
    """Forbids all other tokens, if one of these is possible."""
    kept = log_probs_V[tokens]
    if len(tokens) and kept.max() > -np.inf:
        log_probs_V[:] = -np.inf
        log_probs_V[tokens] = kept


def _keep_room(
    matcher: PhraseMatcher, state: _State, left: int, log_probs_V: Floats32, permitted_V: Floats32
) -> None:
    """Forbids tokens after which phrases need more than is left."""
    missing = matcher.missing(state.matched)
    too_late_V = matcher.missing_after(state.matched, state.last) > max(left, missing) - 1
    too_late_V[EOS] = False
    if np.count_nonzero(too_late_V) == len(too_late_V) - 1 and missing:
        return  # every token is a detour, so that the cap will be passed
    before_V = log_probs_V.copy()
    log_probs_V[too_late_V] = -np.inf
    if log_probs_V.max() == -np.inf:
        wanted = matcher.next_tokens(state.matched, state.last)
        _permit([t for t in wanted if not too_late_V[t]], log_probs_V, permitted_V)
        if log_probs_V.max() == -np.inf:  # a word has to be completed first
            log_probs_V[:] = before_V


def _deal(matcher: PhraseMatcher, ranked: list[_Candidate], width: int) -> list[_Candidate]:
    """Takes up to ``width`` candidates, one of each bank in turn, most pieces met first."""
    if len(ranked) <= width:
        return ranked
    if width == 1:
        return [_single(matcher, ranked)]
    banks: dict[float, list[_Candidate]] = {}
    for one in reversed(ranked):
        banks.setdefault(one.met, []).append(one)  # the best last
    dealt: list[_Candidate] = []
    while len(dealt) < width:
        for met in sorted(banks, reverse=True):
            if banks[met] and len(dealt) < width:
                dealt.append(banks[met].pop())
    return sorted(dealt, key=lambda one: one.place)


def _single(matcher: PhraseMatcher, ranked: list[_Candidate]) -> _Candidate:
    """The candidate of a beam of one hypothesis, where dealing would put all phrases first.

    The model's best is taken until the hypothesis has begun a phrase or should have ended; from
    then on, the best one that brings the phrases a piece further. No candidate is taken that loses
    pieces already met, as by going on with the last word of a complete phrase.
    """
    parent = ranked[0].parent
    least = matcher.met(parent.matched)
    begun = matcher.continuations(parent.matched)
    if (parent.overdue or begun) and not matcher.is_met(parent.matched):
        ahead = (one for one in ranked if one.met > least or one.token in begun)
        return next(ahead, ranked[0])
    return next((one for one in ranked if one.met >= least), ranked[0])
