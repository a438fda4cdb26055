"""Our worker: what it asks the engine without the search is what the search asked."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from benchmarks.steps import STEPS, bare_step
from ours import Recorder, replay
from support.scripted import ScriptedModel, random_script

from seq2seq import recipe
from seq2seq.inference.translator import Translator
from seq2seq.text.tokenizer import train_tokenizers

LINES = [" ".join("ein Hund läuft über die grüne Wiese".split()[:n]) for n in (7, 2, 4, 1, 5)]


class Listening(ScriptedModel):
    """Writes down what it is asked; a state tells the whole way that led to it."""

    asked: list[Any]

    def step(self, state: Any, parent_N: Any, token_N: Any, k: int, suppress: Any = ()) -> Any:
        self.asked.append((state, parent_N.tolist(), token_N.tolist(), k))
        return super().step(state, parent_N, token_N, k, suppress)

    def distribution(self, state: Any, parent_N: Any, token_N: Any) -> Any:
        self.asked.append((state, parent_N.tolist(), token_N.tolist(), 0))
        return super().distribution(state, parent_N, token_N)


@pytest.fixture
def engine() -> Listening:
    engine = Listening(26, random_script(26, seed=5, eos=3.0))
    engine.asked = []
    return engine


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("batch", [1, 2, 64])
def test_a_replay_asks_what_the_search_asked(engine: Listening, batch: int, beam: int) -> None:
    tokenizers = train_tokenizers(recipe.Tokenizer(vocab_size=26), LINES * 9, LINES * 9)
    translator = Translator(engine, tokenizers, recipe.Translation(max_extra=1, max_ratio=0.5))
    expected = translator.translate(LINES, beam=beam, batch_size=batch)
    by_search, starts = list(engine.asked), list(engine.starts)

    recorder = Recorder(engine)
    translator.model = recorder
    assert translator.translate(LINES, beam=beam, batch_size=batch) == expected

    engine.asked.clear()
    engine.starts.clear()
    assert replay(engine, recorder.batches) > 0
    assert engine.asked == by_search
    assert engine.starts == starts
    # At the length cap the search asks twice of one state.
    assert any(one[0] is other[0] for one, other in pairwise(by_search))


def test_a_bare_step_has_all_rows(engine: Listening) -> None:
    assert bare_step(engine, batch=4, beam=3, width=6) > 0
    assert engine.starts == [4]
    rows = [len(parents) for _, parents, _, _ in engine.asked]
    assert rows == [4, 12] + STEPS * [12]
    assert engine.asked[1][1] == np.repeat(np.arange(4), 3).tolist()
    assert {k for *_, k in engine.asked} == {4}
