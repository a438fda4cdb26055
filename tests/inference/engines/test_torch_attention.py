"""How the torch engine attends: one copy of a sentence's memory, whatever its rows do."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.models import model_options, random_model
from torch import Tensor

from seq2seq.ids import BOS, EOS
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.nn.attention import Attention
from seq2seq.recipe.registry import ATTENTIONS
from seq2seq.search.model import SourceBatch

SOURCES = SourceBatch.from_rows([[5, 6, 7, EOS], [4, EOS], [8, 4, 4, 6, 5, EOS]])
asked: list[tuple[tuple[int, ...], tuple[int, ...]]] = []


class Gaussian(Attention):
    """A user's own: -|U q - m|^2, so that a row of zeros has scores too."""

    def __init__(self, query_size: int, memory_size: int) -> None:
        super().__init__(query_size, memory_size)
        self.map = torch.nn.Linear(query_size, memory_size)

    def scores(self, query_BTQ: Tensor, keys_BSK: Tensor) -> Tensor:
        asked.append((tuple(query_BTQ.shape), tuple(keys_BSK.shape)))
        gap = self.map(query_BTQ).unsqueeze(2) - keys_BSK.unsqueeze(1)
        return -gap.square().sum(dim=-1)


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> TorchEngine:
    monkeypatch.setitem(ATTENTIONS.own, "gaussian", Gaussian)
    asked.clear()
    options = model_options({}, {"attention": "general"})
    decoder = options.decoder.model_copy(update={"attention": "gaussian"})
    return TorchEngine(random_model(options.model_copy(update={"decoder": decoder})).float())


def test_rows_of_a_sentence_share_its_memory(engine: TorchEngine) -> None:
    state = engine.start(SOURCES)
    _, state = engine.step(state, np.arange(3), np.full(3, BOS), 1)
    _, state = engine.step(state, np.array([0, 0, 1, 1, 2, 2]), np.full(6, 4), 1)
    _, state = engine.step(state, np.array([0, 2, 3, 3]), np.full(4, 5), 1)  # 2 is done, 0 has one
    _, state = engine.step(state, np.array([3, 0]), np.full(2, 6), 1)  # another order
    _, state = engine.step(state, np.array([0, 0, 0]), np.full(3, 6), 1)
    assert asked == [
        ((3, 1, 4), (3, 6, 4)),
        ((3, 2, 4), (3, 6, 4)),
        ((2, 3, 4), (2, 4, 4)),
        ((2, 1, 4), (2, 4, 4)),
        ((1, 3, 4), (1, 2, 4)),
    ]


def test_rows_attend_as_if_each_were_alone(engine: TorchEngine) -> None:
    random = np.random.default_rng(3)
    state = engine.start(SOURCES)
    alone = [
        engine.start(SourceBatch.from_rows([SOURCES.ids[i, :n].tolist()]))
        for i, n in enumerate(SOURCES.lengths)
    ]
    parent_N, token_N = np.arange(3), np.full(3, BOS)
    for size in (5, 6, 2, 3, 1):
        found, state = engine.distribution(state, parent_N, token_N)
        rows = [
            engine.distribution(alone[parent], np.array([0]), token_N[[n]])
            for n, parent in enumerate(parent_N)
        ]
        assert found.attention is not None
        assert found.attention.shape == (len(parent_N), SOURCES.ids.shape[1])
        for n, (expected, _) in enumerate(rows):
            assert expected.attention is not None
            width = expected.attention.shape[1]
            np.testing.assert_allclose(found.log_probs[n], expected.log_probs[0], atol=2e-6)
            np.testing.assert_allclose(found.attention[n, :width], expected.attention[0], atol=1e-6)
            assert not found.attention[n, width:].any()
        alone = [after for _, after in rows]
        parent_N = random.integers(0, len(alone), size)
        token_N = random.integers(4, 9, size)
