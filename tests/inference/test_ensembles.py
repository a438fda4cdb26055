"""Ensembles of networks that share nothing but their pieces, against teacher forcing of each."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
import torch
from support.models import make_batch, model_options, random_model

from seq2seq.ids import EOS
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.recipe.training import LengthNormalization, NoNormalization
from seq2seq.search import SourceBatch, beam_search, greedy
from seq2seq.search.ensemble import Ensemble
from seq2seq.search.greedy import force

MEMBERS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({}, {"state_feeding": True}),
    ({"cell": "gru", "hidden": 6}, {"cell": "gru", "hidden": 6, "attention": "general"}),
    ({"directions": "both"}, {"attention": "additive", "feeding": "input", "layers": 2}),
]
SOURCES = [[5, 6, 7], [4], [8, 4, 4, 6, 5]]


def engines() -> list[TorchEngine]:
    return [
        TorchEngine(random_model(model_options(*member), seed=seed).float())
        for seed, member in enumerate(MEMBERS)
    ]


@pytest.mark.parametrize("combine", ["log", "probability"])
def test_scores_are_averages_of_teacher_forcing(combine: Literal["log", "probability"]) -> None:
    models, weights = engines(), [1.0, 2.0, 3.0]
    ensemble = Ensemble(models, combine=combine, weights=weights)
    batch = SourceBatch.from_rows([[*source, EOS] for source in SOURCES])
    found = beam_search(
        ensemble,
        batch,
        beam=4,
        n_best=3,
        max_lengths=[6] * 3,
        normalization=NoNormalization(),
    )
    shares = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    for source, hypotheses in zip(SOURCES, found, strict=True):
        for one in hypotheses:
            pair = make_batch([(source, one.tokens)])
            with torch.no_grad():
                rows = torch.stack(
                    [torch.log_softmax(m.model.output(m.model(pair)), -1).double() for m in models]
                )
            if combine == "log":
                mean = torch.log_softmax(torch.einsum("m,mtv->tv", shares, rows), dim=-1)
            else:
                mean = torch.einsum("m,mtv->tv", shares, rows.exp()).log()
            steps = mean[torch.arange(len(mean)), pair.labels()]
            assert one.token_log_probs == pytest.approx(steps.tolist(), abs=1e-4)
            assert one.log_prob == pytest.approx(float(steps.sum()), abs=1e-4)


def test_only_members_that_all_attend_have_attention() -> None:
    one, two, three = engines()
    batch = SourceBatch.from_rows([[*source, EOS] for source in SOURCES])
    options: dict[str, Any] = {"normalization": LengthNormalization(), "keep_attention": True}
    ensemble = Ensemble([two, three], weights=[1, 3])
    best = greedy(ensemble, batch, max_lengths=[5] * 3, **options)
    tokens = [found.tokens for found in best]
    apart = [force(model, batch, tokens, **options) for model in (two, three)]
    for together, first, second in zip(best, *apart, strict=True):
        assert first.attention is not None
        assert second.attention is not None
        mean = 0.25 * first.attention + 0.75 * second.attention
        np.testing.assert_allclose(together.attention, mean, atol=1e-5)
    mixed, start = Ensemble([one, two]), (np.arange(3), np.full(3, 2))
    assert mixed.distribution(mixed.start(batch), *start)[0].attention is None
