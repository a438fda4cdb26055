from __future__ import annotations

import math

import numpy as np
import pytest
from support.scripted import ScriptedModel, random_script, sources, table_script

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import EOS
from seq2seq.recipe.training import LengthNormalization
from seq2seq.search import SUPPRESSED, Hypothesis, SourceBatch, greedy


def plain_greedy(model: ScriptedModel, source: list[int], cap: int) -> Hypothesis:
    tokens: tuple[int, ...] = ()
    while True:
        log_probs = model.script(tuple(source), tokens).copy()
        log_probs[list(SUPPRESSED)] = -np.inf
        best = int(log_probs.argmax())
        if best == EOS or len(tokens) == cap:
            total = model.log_prob(source, tokens)
            return Hypothesis(tokens, total, total, best != EOS)
        tokens = (*tokens, best)


@pytest.mark.parametrize("grain", [0.0, 1.0])
@pytest.mark.parametrize("eos", [-2.0, 0.0, 3.0])
def test_it_takes_the_best_token_at_each_step(eos: float, grain: float) -> None:
    model = ScriptedModel(20, random_script(20, seed=2, eos=eos, grain=grain))
    rows = sources(40)
    caps = [2 * len(row) for row in rows]
    found = greedy(model, SourceBatch.from_rows(rows), max_lengths=caps)
    for row, cap, ours in zip(rows, caps, found, strict=True):
        theirs = plain_greedy(model, row, cap)
        assert ours.tokens == theirs.tokens
        assert ours.truncated == theirs.truncated
        assert ours.log_prob == ours.score == pytest.approx(theirs.log_prob, abs=1e-9)
    assert any(one.truncated for one in found) or eos > 0
    assert any(one.tokens for one in found)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_a_sentence_does_not_depend_on_its_batch(batch: int) -> None:
    model = ScriptedModel(30, random_script(30, seed=3, eos=2.0, grain=0.5))
    rows = sources(64)
    caps = np.array([2 * len(row) for row in rows])

    def translate(chosen: np.ndarray) -> list[Hypothesis]:
        return greedy(
            model,
            SourceBatch.from_rows([rows[i] for i in chosen]),
            max_lengths=caps[chosen],
            normalization=LengthNormalization(),
        )

    alone = [translate(np.array([i]))[0] for i in range(64)]
    order = np.random.default_rng(batch).permutation(64)
    for start in range(0, 64, batch):
        chosen = order[start : start + batch]
        assert translate(chosen) == [alone[i] for i in chosen]


def test_rows_of_finished_sentences_leave() -> None:
    def script(source: tuple[int, ...], prefix: tuple[int, ...]) -> np.ndarray:
        log_probs = np.full(6, -np.inf, dtype=np.float32)
        log_probs[4 if len(prefix) < len(source) - 1 else EOS] = 0.0
        return log_probs

    model = ScriptedModel(6, script)
    rows = [[5] * length + [EOS] for length in (3, 0, 1, 5)]
    found = greedy(model, SourceBatch.from_rows(rows), max_lengths=[9] * 4)
    assert [len(one.tokens) for one in found] == [3, 0, 1, 5]
    assert model.sizes == [4, 3, 2, 2, 1, 1]
    assert set(model.widths) == {1}


def test_the_score_is_normalized_with_eos_counted() -> None:
    table = {(): {4: 1.0}, (4,): {5: 0.5, 4: 0.5}, (4, 4): {EOS: 0.5, 4: 0.5}}
    found = greedy(
        ScriptedModel(6, table_script(6, table)),
        SourceBatch.from_rows([[5, EOS]]),
        max_lengths=[9],
        normalization=LengthNormalization(alpha=2.0),
    )[0]
    assert found.tokens == (4, 4)
    assert found.log_prob == pytest.approx(math.log(0.25), abs=1e-6)
    assert found.score == pytest.approx(math.log(0.25) / 9, abs=1e-6)


def test_the_cap_forces_eos_and_says_so() -> None:
    table = {(): {4: 0.9, EOS: 0.1}, (4,): {4: 0.9, EOS: 0.1}, (4, 4): {EOS: 0.6, 4: 0.4}}
    model = ScriptedModel(6, table_script(6, table))
    found = greedy(model, SourceBatch.from_rows([[5, EOS]] * 4), max_lengths=[0, 1, 2, 3])
    assert [one.tokens for one in found] == [(), (4,), (4, 4), (4, 4)]
    assert [one.truncated for one in found] == [True, True, False, False]
    sums = [math.log(p) for p in (0.1, 0.09, 0.486, 0.486)]
    assert [one.log_prob for one in found] == pytest.approx(sums, abs=1e-6)


def test_suppressed_tokens_are_never_produced() -> None:
    model = ScriptedModel(8, random_script(8, seed=8, eos=-2.0))
    found = greedy(
        model,
        SourceBatch.from_rows(sources(30)),
        max_lengths=[8] * 30,
        suppress=(0, 1, 2, 6),
    )
    assert {token for one in found for token in one.tokens} == {4, 5, 7}


def test_where_nothing_is_possible_the_prefix_is_returned() -> None:
    table = {(): {4: 0.9, 5: 0.1}, (4,): {5: 1.0}}
    model = ScriptedModel(6, table_script(6, table))
    found = greedy(model, SourceBatch.from_rows([[5, EOS]] * 2), max_lengths=[9, 1])
    first = pytest.approx(math.log(0.9))
    assert [(one.tokens, one.token_log_probs) for one in found] == [
        ((4, 5), (first, 0.0, -math.inf)),
        ((4,), (first, -math.inf)),
    ]
    assert all(one.log_prob == one.score == -math.inf and one.truncated for one in found)


def test_broken_numbers_are_an_error() -> None:
    model = ScriptedModel(6, lambda source, prefix: np.full(6, np.nan, dtype=np.float32))
    with pytest.raises(ModelError) as error:
        greedy(model, SourceBatch.from_rows([[5, EOS]]), max_lengths=[3])
    assert str(error.value) == (
        "the model's probabilities are not numbers (NaN): its weights or its arithmetic broke "
        "down; use an earlier checkpoint, or train with a lower training.learning_rate"
    )


def test_wishes_that_do_not_fit() -> None:
    model = ScriptedModel(6, random_script(6, seed=0))
    with pytest.raises(Seq2SeqError, match=r"max_lengths holds -2; lengths of 0 or more"):
        greedy(model, SourceBatch.from_rows(sources(2)), max_lengths=[1, -2])
    with pytest.raises(Seq2SeqError, match=r"suppress holds \[-1, 3\]; token ids from 0 to 5"):
        greedy(model, SourceBatch.from_rows(sources(2)), max_lengths=[1, 2], suppress=(3, -1))
