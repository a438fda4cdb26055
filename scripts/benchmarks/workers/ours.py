"""This project's engines: ``MODEL ENGINE PRECISION THREADS``."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loop import Answer, Translate, serve

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.steps import Call, ask, bare_step

from seq2seq.inference.translator import Translator
from seq2seq.search import SourceBatch

PARTS = 10  # by turns with and without the search, so that both see the same machine


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
