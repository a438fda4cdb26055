"""Forced scores by an engine's steps, against the network's own teacher forcing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.models import make_batch, model_options, random_model, random_pairs, score

from seq2seq.ids import EOS
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.recipe.training import NoNormalization
from seq2seq.search import SourceBatch
from seq2seq.search.greedy import force

KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {"state_feeding": True}),
    "attention": ({"directions": "both"}, {"attention": "general", "feeding": "input"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_teacher_forcing_says(kind: str) -> None:
    engine = TorchEngine(random_model(model_options(*KINDS[kind])).float())
    pairs = random_pairs([(3, 5), (1, 0), (6, 2), (4, 4), (2, 9)])
    with torch.no_grad():
        batch = make_batch(pairs)
        scores = score(engine.model, batch)
        steps_MV = torch.log_softmax(engine.model.output(engine.model(batch)), dim=-1)
    steps = steps_MV[torch.arange(len(steps_MV)), batch.labels()].tolist()
    found = force(
        engine,
        SourceBatch.from_rows([[*source, EOS] for source, _ in pairs]),
        [target for _, target in pairs],
        normalization=NoNormalization(),
        keep_attention=kind == "attention",
    )
    assert [one.log_prob for one in found] == pytest.approx(scores.tolist(), abs=1e-4)
    assert np.concatenate([one.token_log_probs for one in found]) == pytest.approx(steps, abs=1e-5)
    for one, (source, target) in zip(found, pairs, strict=True):
        if kind == "attention":
            assert one.attention is not None
            assert one.attention.shape == (len(target) + 1, len(source) + 1)
            assert one.attention.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
