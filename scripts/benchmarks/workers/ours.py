"""This project's engines: ``MODEL ENGINE PRECISION THREADS``."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from loop import Answer, Translate, serve

from seq2seq.ids import BOS, EOS
from seq2seq.inference.translator import Translator
from seq2seq.search import SourceBatch

STEPS = 20  # of a bare measurement
PARTS = 10  # by turns with and without the search, so that both see the same machine


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


@dataclass
class Recorder:
    """Stands between search and engine, and writes down what is asked."""

    engine: Any
    batches: list[tuple[SourceBatch, list[Call]]] = field(default_factory=list)
    # Older states than these no search goes back to; to keep them all would take memory.
    states: deque[tuple[int, Any]] = field(default_factory=lambda: deque(maxlen=2))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def start(self, source: SourceBatch) -> Any:
        """As the engine's."""
        self.batches.append((source, []))
        state = self.engine.start(source)
        self.states.append((0, state))
        return state

    def step(self, state: Any, parent_N: Any, token_N: Any, k: int, suppress: Any = ()) -> Any:
        """As the engine's."""
        return self._asked(state, Call(0, parent_N, token_N, k, suppress))

    def distribution(self, state: Any, parent_N: Any, token_N: Any) -> Any:
        """As the engine's."""
        return self._asked(state, Call(0, parent_N, token_N, 0))

    def _asked(self, state: Any, call: Call) -> Any:
        (call.state,) = (number for number, known in self.states if known is state)
        calls = self.batches[-1][1]
        calls.append(call)
        answer, after = ask(self.engine, state, call)
        self.states.append((len(calls), after))
        return answer, after


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


def replay(engine: Any, batches: Sequence[tuple[SourceBatch, list[Call]]]) -> float:
    """Asks an engine again all that a search has asked it, and does nothing with the answers.

    Args:
        engine: The engine.
        batches: What a recorder wrote down.

    Returns:
        Seconds.
    """
    last = [{call.state: number for number, call in enumerate(calls)} for _, calls in batches]
    begun = time.perf_counter()
    for (source, calls), last_use in zip(batches, last, strict=True):
        states = {0: engine.start(source)}
        for number, call in enumerate(calls):
            _, states[number + 1] = ask(engine, states[call.state], call)
            if last_use[call.state] == number:
                del states[call.state]
    return time.perf_counter() - begun


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


def load() -> tuple[Translate, dict[str, Any]]:
    """Loads the model.

    Returns:
        What translates, and what tells of bare steps.
    """
    model, engine, precision, threads = sys.argv[1:]
    more: dict[str, Any] = {"precision": precision} if engine == "onnx" else {}
    translator = Translator.load(model, threads=int(threads), engine=engine, **more)

    def translate(lines: Sequence[str], batch: int, beam: int) -> list[str]:
        return translator.translate(lines, beam=beam, batch_size=batch)

    def search(lines: Sequence[str], batch: int, beam: int) -> Answer:
        """Translates, and asks the engine the same again without the search, by turns."""
        engine, whole, bare = translator.model, 0.0, 0.0
        size = max(batch, len(lines) // PARTS)
        for start in range(0, len(lines), size):
            part = lines[start : start + size]
            recorder = Recorder(engine)
            translator.model = recorder
            try:
                translate(part, batch, beam)
            finally:
                translator.model = engine
            begun = time.perf_counter()
            translate(part, batch, beam)
            whole += time.perf_counter() - begun
            bare += replay(engine, recorder.batches)
        return {"whole": whole, "bare": bare}

    def step(batch: int, beam: int, width: int) -> Answer:
        return {"seconds": bare_step(translator.model, batch, beam, width)}

    return translate, {"search": search, "step": step}


if __name__ == "__main__":
    serve(load)
