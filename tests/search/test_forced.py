"""Forced scores against the script, and against what every search reports."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from support.scripted import ScriptedModel, random_attention, random_script, sources, table_script

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import EOS
from seq2seq.recipe.training import GnmtNormalization, LengthNormalization, NoNormalization
from seq2seq.search import Hypothesis, SourceBatch, beam_search, greedy
from seq2seq.search.ensemble import Ensemble
from seq2seq.search.greedy import force

V = 14


def model(seed: int = 0, *, attention: bool = True) -> ScriptedModel:
    attend = random_attention(seed) if attention else None
    return ScriptedModel(V, random_script(V, seed=seed, eos=1.0), attend)


def same(ours: Hypothesis, theirs: Hypothesis) -> None:
    assert ours.tokens == theirs.tokens
    assert ours.log_prob == pytest.approx(theirs.log_prob, abs=1e-6)
    assert ours.score == pytest.approx(theirs.score, abs=1e-6)
    assert ours.token_log_probs == pytest.approx(theirs.token_log_probs, abs=1e-6)
    assert (ours.attention is None) is (theirs.attention is None)
    if ours.attention is not None and theirs.attention is not None:
        assert ours.attention.shape == theirs.attention.shape
        assert (ours.attention == theirs.attention).all()


def test_it_adds_up_the_model_s_log_probabilities() -> None:
    scripted = model()
    rows = sources(5)
    targets = [[4, 5, 6], [], [7], [1, 0, 2, 9], [13] * 8]
    found = force(scripted, SourceBatch.from_rows(rows), targets, normalization=NoNormalization())
    for row, target, hypothesis in zip(rows, targets, found, strict=True):
        steps = [
            float(scripted.script(tuple(row), tuple(target[:place]))[token])
            for place, token in enumerate([*target, EOS])
        ]
        assert hypothesis.tokens == tuple(target)
        assert hypothesis.token_log_probs == pytest.approx(steps, abs=1e-9)
        assert hypothesis.log_prob == hypothesis.score == pytest.approx(sum(steps), abs=1e-9)
        assert not hypothesis.truncated
        assert hypothesis.attention is None


def test_rows_leave_when_their_translation_has_ended() -> None:
    scripted = model()
    targets = [[4, 5, 6], [], [7], [8, 9]]
    force(scripted, SourceBatch.from_rows(sources(4)), targets, normalization=NoNormalization())
    assert scripted.distributions == [4, 3, 2, 1]
    assert scripted.widths == []


@pytest.mark.parametrize("coverage", [0.0, 0.4])
@pytest.mark.parametrize("normalization", [LengthNormalization(alpha=0.7), GnmtNormalization()])
def test_scores_are_those_that_searches_report(normalization: Any, coverage: float) -> None:
    scripted = model(3)
    rows = sources(6)
    batch = SourceBatch.from_rows(rows)
    options: dict[str, Any] = {
        "normalization": normalization,
        "coverage": coverage,
        "keep_attention": True,
    }
    best = greedy(scripted, batch, max_lengths=[7] * 6, **options)
    for ours, theirs in zip(
        force(scripted, batch, [one.tokens for one in best], **options), best, strict=True
    ):
        same(ours, theirs)
    found = beam_search(scripted, batch, beam=4, n_best=4, max_lengths=[7] * 6, **options)
    for row, several in zip(rows, found, strict=True):
        again = SourceBatch.from_rows([row] * len(several))
        forced = force(scripted, again, [one.tokens for one in several], **options)
        for ours, theirs in zip(forced, several, strict=True):
            same(ours, theirs)


def test_an_ensemble_is_scored_like_a_model() -> None:
    ensemble = Ensemble([model(1), model(2)])
    batch = SourceBatch.from_rows(sources(6))
    options: dict[str, Any] = {"normalization": LengthNormalization(), "keep_attention": True}
    best = greedy(ensemble, batch, max_lengths=[7] * 6, **options)
    for ours, theirs in zip(
        force(ensemble, batch, [one.tokens for one in best], **options), best, strict=True
    ):
        same(ours, theirs)


def test_a_pair_does_not_depend_on_its_batch() -> None:
    scripted = model(4)
    rows, random = sources(9), np.random.default_rng(0)
    targets = [random.integers(4, V, size=n).tolist() for n in (3, 0, 5, 1, 2, 8, 4, 4, 0)]
    options: dict[str, Any] = {"normalization": LengthNormalization(), "coverage": 0.2}
    together = force(scripted, SourceBatch.from_rows(rows), targets, **options)
    for row, target, found in zip(rows, targets, together, strict=True):
        (alone,) = force(scripted, SourceBatch.from_rows([row]), [target], **options)
        same(alone, found)


def test_what_is_impossible_scores_minus_infinity() -> None:
    scripted = ScriptedModel(6, table_script(6, {(): {4: 1.0}, (4,): {EOS: 0.5, 4: 0.5}}))
    batch = SourceBatch.from_rows([[5, EOS]] * 2)
    found = force(scripted, batch, [[5, 4], [4]], normalization=LengthNormalization())
    assert found[0].log_prob == found[0].score == -math.inf
    assert found[0].token_log_probs[0] == -math.inf
    assert found[1].log_prob == pytest.approx(math.log(0.5))


def test_no_sentences() -> None:
    empty = SourceBatch.from_rows([])
    assert force(model(), empty, [], normalization=NoNormalization()) == []


@pytest.mark.parametrize(
    ("targets", "options", "text"),
    [
        ([[4]], {}, "1 translations for 2 sentences; each needs one"),
        ([[4], [V]], {}, "a translation has the token 14; ids from 0 to 13 are allowed"),
        ([[-1], [4]], {}, "a translation has the token -1; ids from 0 to 13 are allowed"),
        (
            [[4], [5]],
            {"coverage": 0.1},
            "this model has no attention, which coverage, alignments and attention matrices need: "
            "leave them out, or use a model with model.decoder.attention",
        ),
    ],
)
def test_what_cannot_be_scored(
    targets: list[list[int]], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(Seq2SeqError) as error:
        force(
            model(attention=False),
            SourceBatch.from_rows(sources(2)),
            targets,
            normalization=NoNormalization(),
            **options,
        )
    assert str(error.value) == text


def test_broken_numbers_are_an_error() -> None:
    broken = ScriptedModel(6, lambda source, prefix: np.full(6, np.nan, dtype=np.float32))
    with pytest.raises(ModelError, match=r"the model's probabilities are not numbers \(NaN\)"):
        force(broken, SourceBatch.from_rows([[5, EOS]]), [[4]], normalization=NoNormalization())
