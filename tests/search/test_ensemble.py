"""Ensembles against averages by hand, and against brute force over whole translations."""

from __future__ import annotations

import itertools
from typing import Any, Literal

import numpy as np
import pytest
from support.scripted import ScriptedModel, random_attention, random_script, sources, table_script

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import BOS, EOS
from seq2seq.recipe.training import NoNormalization
from seq2seq.search import Distribution, SourceBatch, beam_search, greedy
from seq2seq.search.ensemble import Ensemble

V = 12
Combine = Literal["log", "probability"]
both = pytest.mark.parametrize("combine", ["log", "probability"])


def members(count: int, *, attention: bool = False) -> list[ScriptedModel]:
    return [
        ScriptedModel(V, random_script(V, seed=seed), random_attention(seed) if attention else None)
        for seed in range(count)
    ]


def average(
    models: list[ScriptedModel], weights: list[float], combine: str, where: tuple[Any, Any]
) -> np.ndarray:
    rows = np.stack([model.script(*where).astype(np.float64) for model in models])
    shares = np.array(weights) / sum(weights)
    if combine == "probability":
        return np.log(shares @ np.exp(rows))
    product = np.exp(shares @ rows)
    return np.log(product / product.sum())


@both
@pytest.mark.parametrize("weights", [None, [1, 1, 1], [5, 1, 2.5]])
def test_averages_are_those_by_hand(combine: Combine, weights: list[float] | None) -> None:
    models = members(3)
    ensemble = Ensemble(models, combine=combine, weights=weights)
    rows = sources(4)
    state = ensemble.start(SourceBatch.from_rows(rows))
    bos = (np.arange(4), np.full(4, BOS))
    first, after = ensemble.distribution(state, *bos)
    _, after = ensemble.distribution(after, np.array([2, 0]), np.array([7, 8]))
    second, _ = ensemble.distribution(after, np.array([1, 1, 0]), np.array([9, 5, 6]))
    places = [(tuple(row), ()) for row in rows]
    places += [(tuple(rows[0]), (8, 9)), (tuple(rows[0]), (8, 5)), (tuple(rows[2]), (7, 6))]
    found = np.concatenate([first.log_probs, second.log_probs])
    assert found.dtype == np.float32
    for ours, place in zip(found, places, strict=True):
        expected = average(models, weights or [1, 1, 1], combine, place)
        np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-6)
    assert np.exp(found.astype(np.float64)).sum(axis=1) == pytest.approx(1.0, abs=1e-5)


@both
def test_the_best_of_a_step_are_those_of_the_distribution(combine: Combine) -> None:
    ensemble = Ensemble(members(2), combine=combine)
    state = ensemble.start(SourceBatch.from_rows(sources(3)))
    bos = (np.arange(3), np.full(3, BOS))
    expected = ensemble.distribution(state, *bos)[0].log_probs
    expected[:, [4, 9]] = -np.inf
    for k in (1, 3, V):
        candidates, after = ensemble.step(state, *bos, k, (4, 9))
        order = np.argsort(-expected, axis=1, kind="stable")[:, :k]
        assert candidates.tokens.tolist() == order.tolist()
        assert (candidates.log_probs == np.take_along_axis(expected, order, axis=1)).all()
        assert len(after) == 2


@both
def test_an_ensemble_of_one_is_itself(combine: Combine) -> None:
    (model,) = members(1, attention=True)
    ensemble = Ensemble([model], combine=combine, weights=[3])
    source = SourceBatch.from_rows(sources(8))
    options: dict[str, Any] = {"max_lengths": [9] * 8, "normalization": NoNormalization()}
    assert greedy(ensemble, source, **options) == greedy(model, source, **options)
    options |= {"beam": 3, "n_best": 3}
    assert beam_search(ensemble, source, **options) == beam_search(model, source, **options)
    state, bos = ensemble.start(source), (np.arange(8), np.full(8, BOS))
    ours, _ = ensemble.distribution(state, *bos)
    theirs, _ = model.distribution(model.start(source), *bos)
    assert (ours.log_probs == theirs.log_probs).all()
    assert ours.attention is not None
    assert (ours.attention == theirs.attention).all()


@both
def test_of_equal_members_it_is_one_of_them(combine: Combine) -> None:
    (model,) = members(1)
    source, bos = SourceBatch.from_rows(sources(3)), (np.arange(3), np.full(3, BOS))
    alone, _ = model.distribution(model.start(source), *bos)
    ensemble = Ensemble([model, model], combine=combine, weights=[0.3, 0.7])
    together, _ = ensemble.distribution(ensemble.start(source), *bos)
    np.testing.assert_allclose(together.log_probs, alone.log_probs, rtol=0, atol=1e-6)


@both
def test_a_wide_beam_finds_the_best_of_the_average(combine: Combine) -> None:
    tables = [
        {(): {4: 0.6, 5: 0.3, EOS: 0.1}, (4,): {4: 0.1, EOS: 0.9}, (5,): {5: 0.5, EOS: 0.5}},
        {(): {4: 0.1, 5: 0.8, EOS: 0.1}, (4,): {4: 0.5, EOS: 0.5}, (5,): {5: 0.2, EOS: 0.8}},
    ]
    models = [ScriptedModel(6, table_script(6, table)) for table in tables]
    found = beam_search(
        Ensemble(models, combine=combine),
        SourceBatch.from_rows([[5, EOS]]),
        beam=6,
        max_lengths=[1],
        normalization=NoNormalization(),
    )[0][0]
    scores = {}
    for tokens in [(), (4,), (5,)]:
        places = [((), tokens[:n]) for n in range(len(tokens) + 1)]
        with np.errstate(divide="ignore"):
            rows = [average(models, [1, 1], combine, place) for place in places]
        scores[tokens] = sum(row[t] for row, t in zip(rows, (*tokens, EOS), strict=True))
    best = max(scores, key=lambda tokens: scores[tokens])
    assert found.tokens == best
    assert found.log_prob == pytest.approx(scores[best], abs=1e-5)


def test_the_two_averages_differ_as_they_should() -> None:
    """One member sure of 4, one that thinks it impossible: only probabilities forgive that."""
    tables = [{(): {4: 0.9, 5: 0.1}}, {(): {5: 0.2, EOS: 0.8}}]
    models = [ScriptedModel(6, table_script(6, table)) for table in tables]
    source, bos = SourceBatch.from_rows([[5, EOS]]), (np.arange(1), np.full(1, BOS))
    best = {}
    for combine in ("log", "probability"):
        ensemble = Ensemble(models, combine=combine)
        (row,) = ensemble.distribution(ensemble.start(source), *bos)[0].log_probs
        best[combine] = np.exp(row)
    assert best["log"].tolist() == pytest.approx([0, 0, 0, 0, 0, 1])
    assert best["probability"].tolist() == pytest.approx([0, 0, 0, 0.4, 0.45, 0.15])


def test_members_with_nothing_in_common_leave_nothing() -> None:
    models = [ScriptedModel(6, table_script(6, {(): {token: 1.0}})) for token in (4, 5)]
    ensemble = Ensemble(models)
    state = ensemble.start(SourceBatch.from_rows([[5, EOS]]))
    (row,) = ensemble.distribution(state, np.arange(1), np.full(1, BOS))[0].log_probs
    assert (row == -np.inf).all()


def test_attention_is_the_weighted_mean() -> None:
    models = members(2, attention=True)
    rows, bos = sources(3), (np.arange(3), np.full(3, BOS))
    source = SourceBatch.from_rows(rows)
    ensemble = Ensemble(models, weights=[1, 3])
    distribution, _ = ensemble.distribution(ensemble.start(source), *bos)
    candidates, _ = ensemble.step(ensemble.start(source), *bos, 1)
    one, two = (model.distribution(model.start(source), *bos)[0].attention for model in models)
    assert distribution.attention is not None
    assert distribution.attention.dtype == np.float32
    np.testing.assert_allclose(distribution.attention, 0.25 * one + 0.75 * two, atol=1e-6)
    assert (candidates.attention == distribution.attention).all()
    for others in itertools.permutations([models[0], members(2)[1]]):
        mixed = Ensemble(others)
        assert mixed.distribution(mixed.start(source), *bos)[0].attention is None


def test_attention_may_be_without_columns_of_padding() -> None:
    class Narrow(ScriptedModel):
        """Leaves out columns, as an engine may when only short sentences are left."""

        def distribution(self, *question: Any) -> Any:
            found, after = super().distribution(*question)
            return Distribution(found.log_probs, found.attention[:, : len(after[0].source)]), after

    wide = members(1, attention=True)[0]
    narrow = Narrow(V, wide.script, wide.attend)
    source = SourceBatch.from_rows([[5, EOS], [6, 7, 8, EOS]])
    ensemble = Ensemble([narrow, wide], weights=[1, 3])
    state = ensemble.start(source)
    found, _ = ensemble.distribution(state, np.array([0]), np.array([BOS]))
    alone, _ = wide.distribution(wide.start(source), np.array([0]), np.array([BOS]))
    assert found.attention is not None
    assert found.attention == pytest.approx(alone.attention, abs=1e-6)


@both
def test_a_sentence_does_not_depend_on_its_batch(combine: Combine) -> None:
    ensemble = Ensemble(members(2), combine=combine)
    rows = sources(12)
    options: dict[str, Any] = {"beam": 3, "normalization": NoNormalization()}
    together = beam_search(ensemble, SourceBatch.from_rows(rows), max_lengths=[8] * 12, **options)
    for row, found in zip(rows, together, strict=True):
        (alone,) = beam_search(ensemble, SourceBatch.from_rows([row]), max_lengths=[8], **options)
        assert alone == found


@pytest.mark.parametrize(
    ("models", "options", "kind", "text"),
    [
        ([], {}, Seq2SeqError, "an ensemble has no models; it needs one or more"),
        (
            [6, 6],
            {"combine": "mean"},
            Seq2SeqError,
            'combine is \'mean\'; "log" or "probability" is allowed',
        ),
        (
            [6, 7],
            {},
            ModelError,
            "the models of an ensemble have 6, 7 target pieces, but must share one tokenizer: "
            "train them with the same one (tokenizer.model)",
        ),
        (
            [6, 6],
            {"weights": [1]},
            Seq2SeqError,
            "weights has 1 numbers for 2 models; it needs one for each",
        ),
        (
            [6, 6],
            {"weights": [1, 0]},
            Seq2SeqError,
            "weights holds 1, 0; numbers above 0 are allowed "
            "(leave a model out instead of giving it 0)",
        ),
        (
            [6, 6],
            {"weights": [1e308, 1e-300]},
            Seq2SeqError,
            "weights go from 1e-300 to 1e+308: one may be at most 1,000,000 times another (leave a "
            "model out that is to count so little)",
        ),
        (
            [6],
            {"weights": [float("nan")]},
            Seq2SeqError,
            "weights holds nan; numbers above 0 are allowed "
            "(leave a model out instead of giving it 0)",
        ),
    ],
)
def test_ensembles_that_cannot_be(
    models: list[int], options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind) as error:
        Ensemble([ScriptedModel(size, random_script(size, seed=0)) for size in models], **options)
    assert str(error.value) == text
