"""Phrases that translations have to hold: dynamic beam allocation (Post & Vilar 2018).

Every hypothesis knows how many pieces of its sentence's phrases it has met. The beam is dealt out
among these counts, the most first, so that there are always some that get on with the phrases,
however unlikely these are. There is no end before all phrases are held; and when no more tokens are
left before the length cap than phrases need, only their pieces are allowed.

A phrase is matched as Knuth, Morris and Pratt do: what does not go on with it may still go on with
a part of it. It counts as whole words only, so a piece after it must not go on with its last word.

Shapes: N rows, k candidates a row, A lanes, C ranked extensions of a lane, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from seq2seq.ids import EOS, PAD
from seq2seq.search.beam.candidates import Ranked
from seq2seq.search.constraints.phrase_match import Goal, Places
from seq2seq.search.constraints.tokens import Rows, Rule
from seq2seq.search.model import Floats32, Ints


@dataclass(frozen=True)
class _State:
    """How far a row is.

    Attributes:
        places: Where it is in each phrase.
        last: Its last token; None: it has none.
        over: The model has wanted to end it already, but phrases were open.
    """

    places: Places
    last: int | None = None
    over: bool = False


_NOTHING = _State(())  # of rows without phrases


class Phrases:
    """The phrases of a batch: a rule, and the dealing out of the beam.

    They win against rules that come before them: a phrase once begun may be completed whatever
    those forbid, and so may it be begun where no other place is left. Only what is to be avoided
    wins against them, and the translation gets longer instead.

    Args:
        goals_B: What each sentence's translation has to hold; None: nothing.
        caps_B: The most tokens of each sentence's translation, at least as many as its phrases
            have.
        stronger: The rule that they do not win against; None: there is none.
    """

    def __init__(
        self, goals_B: Sequence[Goal | None], caps_B: Ints, stronger: Rule | None = None
    ) -> None:
        self._goals_B = goals_B
        self._caps_B = caps_B
        self._stronger = stronger
        self._goal_N: list[Goal | None] = []
        self._state_N: list[_State] = []
        self._states: dict[tuple[int, tuple[int, ...]], _State] = {}
        self._own_NV: Floats32 = np.zeros((0, 0), dtype=np.float32)

    def look_at(self, own_NV: Floats32) -> None:
        """Takes the model's own log-probabilities of a step, before ``apply``.

        Args:
            own_NV: They, unchanged by rules.
        """
        self._own_NV = own_NV

    def apply(self, rows: Rows, log_probs_NV: Floats32) -> None:
        """Forbids ends before all phrases are held, and what would leave no room for them.

        Args:
            rows: The hypotheses.
            log_probs_NV: Changed in place.
        """
        if self._stronger is not None:
            self._own_NV = self._own_NV.copy()
            self._stronger.apply(rows, self._own_NV)
        sentences = rows.sentence_N.tolist()
        left_N = self._caps_B[rows.sentence_N] - rows.tokens_NT.shape[1]
        before, self._states = self._states, {}
        self._goal_N = [self._goals_B[sentence] for sentence in sentences]
        self._state_N = [_NOTHING] * len(sentences)
        for row, (sentence, goal) in enumerate(zip(sentences, self._goal_N, strict=True)):
            if goal is None:
                continue
            tokens = tuple(rows.tokens_NT[row].tolist())
            state = _State(goal.start)
            if tokens:
                state = _after(goal, before[sentence, tokens[:-1]], tokens[-1])
            if not goal.is_met(state.places):
                if log_probs_NV[row].argmax() == EOS:
                    state = replace(state, over=True)
                log_probs_NV[row, EOS] = -np.inf
                self._lift(row, goal.going_on(state.places), log_probs_NV)
            if goal.at_risk(state.places) >= left_N[row]:
                self._hold_back(row, goal, state, int(left_N[row]), log_probs_NV)
            self._states[sentence, tokens] = self._state_N[row] = state

    def _lift(self, row: int, tokens: Sequence[int], log_probs_NV: Floats32) -> None:
        """Allows what other rules have forbidden, but for the stronger one."""
        now = log_probs_NV[row, tokens]
        log_probs_NV[row, tokens] = np.where(now == -np.inf, self._own_NV[row, tokens], now)

    def _hold_back(
        self, row: int, goal: Goal, state: _State, left: int, log_probs_NV: Floats32
    ) -> None:
        """Forbids tokens after which phrases need more than is left."""
        missing = goal.missing(state.places)
        too_late_V = goal.missing_after(state.places, state.last) > max(left, missing) - 1
        too_late_V[EOS] = False
        if np.count_nonzero(too_late_V) == len(too_late_V) - 1 and missing:
            return  # whatever comes is a detour, so that the cap will be passed
        before_V = log_probs_NV[row].copy()
        log_probs_NV[row, too_late_V] = -np.inf
        if log_probs_NV[row].max() == -np.inf:
            wanted = goal.wanted(state.places, state.last)
            self._lift(row, [t for t in wanted if not too_late_V[t]], log_probs_NV)
            if log_probs_NV[row].max() == -np.inf:  # a word has to be gone on with first
                log_probs_NV[row] = before_V

    def widened(
        self, choice_NV: Floats32, choice_Nk: Floats32, token_Nk: Ints
    ) -> tuple[Floats32, Ints]:
        """Adds the tokens that go on with phrases to the candidates of each row.

        Args:
            choice_NV: What all tokens are chosen by.
            choice_Nk: The best of them.
            token_Nk: The tokens that these belong to.

        Returns:
            Both with more columns; what is too many there is impossible.
        """
        wanted = [
            [] if goal is None else goal.wanted(state.places, state.last)
            for goal, state in zip(self._goal_N, self._state_N, strict=True)
        ]
        more_Np = np.full((len(wanted), max(map(len, wanted), default=0)), PAD, dtype=np.int64)
        for row, tokens in enumerate(wanted):
            more_Np[row, : len(tokens)] = tokens
        value_Np = np.take_along_axis(choice_NV, more_Np, axis=1)
        known_Np = (more_Np[:, :, None] == token_Nk[:, None, :]).any(axis=2)
        value_Np[known_Np | (more_Np == PAD)] = -np.inf
        return (
            np.concatenate([choice_Nk, value_Np], axis=1),
            np.concatenate([token_Nk, more_Np], axis=1),
        )

    def allot(self, every: Ranked, sentence_A: Ints, width: int, rows: int) -> Ranked:
        """Deals out the beam of lanes that have phrases.

        Args:
            every: All extensions, ranked.
            sentence_A: The sentence of each lane.
            width: Hypotheses that a lane follows.
            rows: How many rows there are; at the first step, a multiple of those of ``apply``.

        Returns:
            The extensions to choose from as if nothing were special, ``2 * width`` of each lane.
        """
        size = min(2 * width, every.sum_AC.shape[1])
        order_AC = np.tile(np.arange(size), (len(sentence_A), 1))
        taken_AC = np.ones(order_AC.shape, dtype=np.bool_)
        over_AC = np.zeros(order_AC.shape, dtype=np.bool_)
        repeats = rows // len(self._state_N)
        for lane, sentence in enumerate(sentence_A.tolist()):
            goal = self._goals_B[sentence]
            if goal is None:
                continue
            chosen = self._chosen(goal, every, lane, width, repeats)
            order_AC[lane, : len(chosen)] = [place for place, _ in chosen]
            over_AC[lane, : len(chosen)] = [over for _, over in chosen]
            taken_AC[lane, len(chosen) :] = False

        sum_AC = np.where(taken_AC, np.take_along_axis(every.sum_AC, order_AC, axis=1), -np.inf)
        token_AC = np.take_along_axis(every.token_AC, order_AC, axis=1)
        row_AC = np.take_along_axis(every.row_AC, order_AC, axis=1)
        return Ranked(sum_AC, token_AC, row_AC, token_AC == EOS, over_AC)

    def _chosen(
        self, goal: Goal, every: Ranked, lane: int, width: int, repeats: int
    ) -> list[tuple[int, bool]]:
        """The extensions of a lane that may be taken, and whether each is over.

        Ends are among the best ``width`` of those that hold all phrases, and come first.
        """
        ends: list[tuple[int, bool]] = []
        going_on: list[_Extension] = []
        complete = 0
        extensions = zip(
            every.sum_AC[lane].tolist(),
            every.token_AC[lane].tolist(),
            every.row_AC[lane].tolist(),
            strict=True,
        )
        for place, (total, token, row) in enumerate(extensions):
            if total == -np.inf:
                continue
            parent = self._state_N[row // repeats]
            if token == EOS:  # the rule allows it only where all phrases are held
                complete += 1
                if complete <= width:
                    ends.append((place, False))
                continue
            missing = goal.missing(goal.step(parent.places, parent.last, token))
            complete += not missing
            over = parent.over and missing > 0
            going_on.append(_Extension(place, goal.total - missing, over, parent))
        return [*ends, *((one.place, one.over) for one in _dealt(goal, going_on, width))]


@dataclass(frozen=True)
class _Extension:
    """An extension that goes on: its rank, the pieces that it has met, and where it comes from."""

    place: int
    count: int
    over: bool
    parent: _State


def _after(goal: Goal, state: _State, token: int) -> _State:
    return _State(goal.step(state.places, state.last, token), token, state.over)


def _dealt(goal: Goal, ranked: list[_Extension], width: int) -> list[_Extension]:
    """Takes up to ``width``, in turn from each count of pieces met, the most first."""
    if len(ranked) <= width:
        return ranked
    if width == 1:
        return [_single(goal, ranked)]
    banks: dict[int, list[_Extension]] = {}
    for one in reversed(ranked):
        banks.setdefault(one.count, []).append(one)  # the best last
    dealt: list[_Extension] = []
    while len(dealt) < width:
        for count in sorted(banks, reverse=True):
            if banks[count] and len(dealt) < width:
                dealt.append(banks[count].pop())
    return sorted(dealt, key=lambda one: one.place)


def _single(goal: Goal, ranked: list[_Extension]) -> _Extension:
    """Goes with the model until it begins a phrase or wants to end; then on with the phrases.

    With one hypothesis to follow, those that have met the most would put all phrases first. What
    is met is not given up, if only the last word of a phrase would be gone on with.
    """
    parent = ranked[0].parent
    least = goal.count(parent.places)
    if parent.over or goal.is_begun(parent.places):
        least += not goal.is_met(parent.places)
    return next((one for one in ranked if one.count >= least), ranked[0])
