"""Single questions to an engine, and how long a step takes without any search."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from seq2seq.ids import BOS, EOS
from seq2seq.search import SourceBatch

STEPS = 20  # of a bare measurement


@dataclass
class Call:
    """One question that a search asks its engine.

    Attributes:
        state: Whose answer it goes on from: 0 is the start's, n that of question n, from 1.
        parents: The row that each row went on from.
        tokens: The token that each was fed.
        k: How many candidates were asked for; 0: the whole distribution.
        suppress: Tokens that are not chosen.
    """

    state: int
    parents: Any
    tokens: Any
    k: int
    suppress: Any = ()


def ask(engine: Any, state: Any, call: Call) -> tuple[Any, Any]:
    """Asks an engine one question.

    Args:
        engine: The engine.
        state: Its state.
        call: The question.

    Returns:
        Its answer and its next state.
    """
    answer: tuple[Any, Any]
    if call.k:
        answer = engine.step(state, call.parents, call.tokens, call.k, call.suppress)
    else:
        answer = engine.distribution(state, call.parents, call.tokens)
    return answer


def bare_step(engine: Any, batch: int, beam: int, width: int) -> float:
    """Times a step with random sources and tokens, all rows under way.

    Args:
        engine: The engine.
        batch: Sentences.
        beam: Rows of each.
        width: Pieces of each source.

    Returns:
        Seconds, the median of some steps.
    """
    random = np.random.default_rng(1)
    ids = random.integers(4, engine.vocab_size, (batch, width))
    ids[:, -1] = EOS
    state = engine.start(SourceBatch(ids, np.full(batch, width, dtype=np.int64)))
    k, rows = 1 if beam == 1 else beam + 1, np.arange(batch * beam)
    times: list[float] = []
    for parents in [np.arange(batch), rows // beam, *[rows] * STEPS]:
        tokens = random.integers(4, engine.vocab_size, len(parents))
        if not times:
            tokens[:] = BOS
        call = Call(0, parents, tokens, k)
        begun = time.perf_counter()
        _, state = ask(engine, state, call)
        times.append(time.perf_counter() - begun)
    return float(np.median(times[2:]))
