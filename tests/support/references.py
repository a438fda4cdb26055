"""Searches written the plain way, to compare the real ones with."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

from support.scripted import ScriptedModel

from seq2seq.search import SUPPRESSED, Hypothesis
from seq2seq.text.tokenizer import EOS

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


def plain_beam(
    model: ScriptedModel,
    source: Sequence[int],
    *,
    beam: int,
    n_best: int,
    cap: int,
    divisor: Divisor,
) -> list[Hypothesis]:
    """Beam search of one sentence by its definition: every extension is listed, and it stops early
    only at ``beam`` finished hypotheses, where no live one is better than the best of them.
    """
    live: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]
    finished: list[Hypothesis] = []

    def finish(tokens: tuple[int, ...], total: float) -> None:
        best = max(
            (t for t in range(model.vocab_size) if t not in SUPPRESSED),
            key=lambda t: (model.script(tuple(source), tokens)[t], -t),
        )
        cut = len(tokens) == cap and best != EOS
        finished.append(Hypothesis(tokens, total, total / divisor(len(tokens) + 1), cut))

    def enough() -> bool:
        if len(finished) < beam:
            return False
        best = max(found.score for found in finished)
        return all(total / divisor(len(tokens)) <= best for total, tokens in live)

    while live and not enough():
        extensions = []
        for place, (total, tokens) in enumerate(live):
            log_probs = model.script(tuple(source), tokens)
            for token in range(model.vocab_size):
                possible = token == EOS if len(tokens) == cap else token not in SUPPRESSED
                if possible and log_probs[token] > -math.inf:
                    extensions.append((-(total + float(log_probs[token])), place, token))
        extensions = sorted(extensions)[: 2 * beam]
        for negative, place, token in extensions[:beam]:
            if token == EOS:
                finish(live[place][1], -negative)
        live = [
            (-negative, (*live[place][1], token))
            for negative, place, token in extensions
            if token != EOS
        ][:beam]
    return sorted(finished, key=lambda found: -found.score)[:n_best]
