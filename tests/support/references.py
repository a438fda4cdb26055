"""Searches written the plain way, to compare the real ones with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
from support.scripted import Attend, ScriptedModel

from seq2seq.ids import EOS
from seq2seq.search import SUPPRESSED, Hypothesis

Divisor = Callable[[int], float]  # number of tokens with eos -> what the sum is divided by


def none(length: int) -> float:
    del length
    return 1.0


def length_alpha(alpha: float) -> Divisor:
    return lambda length: math.pow(length, alpha)


def gnmt(alpha: float) -> Divisor:
    return lambda length: math.pow((5 + length) / (5 + 1), alpha)


def brute_force(
    model: ScriptedModel, source: Sequence[int], cap: int, divisor: Divisor
) -> list[tuple[float, tuple[int, ...]]]:
    """Every translation there is, as (score, tokens), best first."""
    allowed = [t for t in range(model.vocab_size) if t != EOS and t not in SUPPRESSED]
    every = []
    for length in range(cap + 1):
        for tokens in itertools.product(allowed, repeat=length):
            every.append((model.log_prob(source, tokens) / divisor(length + 1), tokens))
    return sorted(every, reverse=True)


Change = Callable[[Sequence[int], np.ndarray], None]  # (tokens so far, log-probabilities: changed)
Penalty = Callable[[Sequence[int], Sequence[int]], float]  # (source, tokens) -> added to the score


def least_length(least: int) -> Change:
    def change(tokens: Sequence[int], log_probs: np.ndarray) -> None:
        if len(tokens) < least:
            log_probs[EOS] = -np.inf

    return change


def ngrams(tokens: Sequence[int], size: int) -> list[tuple[int, ...]]:
    return [tuple(tokens[i : i + size]) for i in range(len(tokens) - size + 1)]


def no_repeats(size: int) -> Change:
    def change(tokens: Sequence[int], log_probs: np.ndarray) -> None:
        known = set(ngrams(tokens, size))
        for token in range(len(log_probs)):
            if tuple([*tokens, token][-size:]) in known:
                log_probs[token] = -np.inf

    return change


def repetitions(factor: float) -> Change:
    def change(tokens: Sequence[int], log_probs: np.ndarray) -> None:
        for token in set(tokens):
            log_probs[token] *= np.float32(factor)

    return change


def coverage_of(attend: Attend, weight: float) -> Penalty:
    """Wu et al. 2016, equation 14."""

    def penalty(source: Sequence[int], tokens: Sequence[int]) -> float:
        steps = [attend(tuple(source), tuple(tokens[:n])) for n in range(len(tokens) + 1)]
        total = 0.0
        for position in range(len(source)):
            attended = sum(float(step[position]) for step in steps)
            total += math.log(min(max(attended, float(np.finfo(np.float32).tiny)), 1.0))
        return weight * total

    return penalty


def plain_beam(
    model: ScriptedModel,
    source: Sequence[int],
    *,
    beam: int,
    n_best: int,
    cap: int,
    divisor: Divisor,
    changes: Sequence[Change] = (),
    penalty: Penalty | None = None,
    groups: int = 1,
    diversity: float = 0.0,
) -> list[Hypothesis]:
    """Beam search of one sentence by its definition: every extension is listed, and it stops early
    only at ``beam`` finished hypotheses, where no live one is better than the best of them.

    A beam of 1 stops at its first finished one. With groups each is such a beam, and sees what
    those before it have chosen at the same step.
    """
    width = beam // groups
    live: list[list[tuple[float, tuple[int, ...]]]] = [[(0.0, ())] for _ in range(groups)]
    finished: list[list[Hypothesis]] = [[] for _ in range(groups)]

    def choice(tokens: tuple[int, ...]) -> np.ndarray:
        log_probs = model.script(tuple(source), tokens).copy()
        log_probs[list(SUPPRESSED)] = -np.inf
        for change in changes:
            change(tokens, log_probs)
        return log_probs

    def finish(group: int, tokens: tuple[int, ...], total: float) -> None:
        cut = len(tokens) == cap and int(choice(tokens).argmax()) != EOS
        score = total / divisor(len(tokens) + 1)
        if penalty is not None:
            score += penalty(source, tokens)
        finished[group].append(Hypothesis(tokens, total, score, cut))

    def enough(group: int) -> bool:
        if len(finished[group]) < width or width == 1:
            return bool(finished[group]) and width == 1
        best = max(found.score for found in finished[group])
        return all(total / divisor(len(tokens)) <= best for total, tokens in live[group])

    def step(group: int, chosen: Sequence[int]) -> None:
        extensions = []
        for place, (total, tokens) in enumerate(live[group]):
            own, ranked = model.script(tuple(source), tokens), choice(tokens)
            for token in range(model.vocab_size):
                possible = token == EOS or len(tokens) < cap
                if possible and ranked[token] > -math.inf:
                    value = total + (float(ranked[token]) - diversity * chosen.count(token))
                    extensions.append((-value, place, token, total + float(own[token])))
        extensions = sorted(extensions)[: 2 * width]
        for _, place, token, total in extensions[:width]:
            if token == EOS:
                finish(group, live[group][place][1], total)
        live[group] = [
            (total, (*live[group][place][1], token))
            for _, place, token, total in extensions
            if token != EOS
        ][:width]

    while any(live):
        chosen: list[int] = []
        for group in range(groups):
            if live[group]:
                step(group, chosen)
                chosen += [tokens[-1] for _, tokens in live[group]]
        for group in range(groups):
            if enough(group):
                live[group] = []
    every: dict[tuple[int, ...], Hypothesis] = {}
    for ends in finished:
        for found in sorted(ends, key=lambda found: -found.score)[:width]:
            every.setdefault(found.tokens, found)
    return sorted(every.values(), key=lambda found: -found.score)[:n_best]
