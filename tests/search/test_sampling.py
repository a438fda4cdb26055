"""Samples against the distributions that they are drawn from, enumerated exactly."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.scripted import ScriptedModel, random_attention, random_script, sources, table_script

from seq2seq.errors import ModelError, Seq2SeqError
from seq2seq.ids import EOS
from seq2seq.recipe.training import LengthNormalization, NoNormalization
from seq2seq.search import SUPPRESSED, Hypothesis, Sampling, SourceBatch, greedy
from seq2seq.search.constraints.tokens import MinLength, NoRepeatNgram, RepetitionPenalty, Rule
from seq2seq.search.greedy import force
from seq2seq.search.sampling import draw, sample

V = 9
SETTINGS = [
    {},
    {"temperature": 0.5},
    {"temperature": 2.0},
    {"top_k": 3},
    {"top_p": 0.7},
    {"temperature": 1.5, "top_k": 4, "top_p": 0.8},
]
every_setting = pytest.mark.parametrize("settings", SETTINGS, ids=str)


def filtered(log_probs: np.ndarray, sampling: Sampling) -> np.ndarray:
    """The probabilities to draw by, one token at a time."""
    with np.errstate(divide="ignore"):
        weights = np.exp(log_probs.astype(np.float64) / sampling.temperature)
    order = sorted(range(len(weights)), key=lambda token: (-weights[token], token))
    if sampling.top_k is not None:
        order = order[: sampling.top_k]
    total = sum(weights[token] for token in order)
    kept, so_far = [], 0.0
    for token in order:
        if so_far < sampling.top_p * total or not kept:
            kept.append(token)
        so_far += weights[token]
    found = np.zeros_like(weights)
    found[kept] = weights[kept]
    return found / found.sum()


def draw_many(model: ScriptedModel, rows: list[list[int]], **more: Any) -> list[list[Hypothesis]]:
    options: dict[str, Any] = {
        "sampling": Sampling(),
        "samples": 1,
        "max_lengths": [6] * len(rows),
        "normalization": NoNormalization(),
    }
    return sample(model, SourceBatch.from_rows(rows), **options | more)


@every_setting
def test_samples_are_as_frequent_as_they_should_be(settings: dict[str, Any]) -> None:
    """Every translation of up to two tokens, with its chance by hand; chi-square of 4,000 draws."""
    sampling = Sampling(**settings, seed=3)
    model = ScriptedModel(V, random_script(V, seed=5, spread=1.0))
    row = [5, 6, EOS]

    def chances(tokens: tuple[int, ...]) -> np.ndarray:
        log_probs = model.script(tuple(row), tokens).copy()
        log_probs[list(SUPPRESSED)] = -np.inf
        return filtered(log_probs, sampling)

    expected: Counter[tuple[int, ...]] = Counter()
    alphabet = range(4, V)
    for length in range(3):
        for tokens in itertools.product(alphabet, repeat=length):
            chance = 1.0
            for place, token in enumerate(tokens):
                chance *= chances(tokens[:place])[token]
            expected[tokens] += chance * (chances(tokens)[EOS] if length < 2 else 1.0)
    assert sum(expected.values()) == pytest.approx(1.0)
    count = 4000
    (found,) = draw_many(model, [row], sampling=sampling, samples=count, max_lengths=[2])
    drawn = Counter(one.tokens for one in found)
    assert all(expected[tokens] > 0 for tokens in drawn)
    common = [tokens for tokens, chance in expected.items() if chance * count >= 5]
    seen = [drawn[tokens] for tokens in common]
    wanted = [expected[tokens] * count for tokens in common]
    seen.append(count - sum(seen))
    wanted.append(count - sum(wanted))
    if wanted[-1] < 1e-6:
        assert seen.pop() == 0
        wanted.pop()
    statistic = sum((a - b) ** 2 / b for a, b in zip(seen, wanted, strict=True))
    freedom = torch.tensor((len(seen) - 1) / 2, dtype=torch.float64)
    assert torch.special.gammaincc(freedom, torch.tensor(statistic / 2).double()) > 1e-3


@given(
    seed=st.integers(0, 999),
    size=st.sampled_from([2, 5, 70, 300]),
    temperature=st.sampled_from([0.3, 1.0, 3.0]),
    top_k=st.sampled_from([None, 1, 3, 65, 10**6]),
    top_p=st.sampled_from([1e-9, 0.3, 0.9, 0.999, 1.0]),
    grain=st.sampled_from([0.0, 1.0]),
)
def test_what_is_left_out_is_never_drawn_and_all_else_is(
    seed: int, size: int, temperature: float, top_k: int | None, top_p: float, grain: float
) -> None:
    """Random numbers spread evenly over 0 to 1 must hit each token by its share."""
    sampling = Sampling(temperature=temperature, top_k=top_k, top_p=top_p)
    logits = np.random.default_rng(seed).normal(scale=2.0, size=size).astype(np.float32)
    if grain:
        logits = np.round(logits)
    logits[0] = -np.inf
    count = 500
    numbers = (np.arange(count) + 0.5) / count
    drawn = draw(np.repeat(logits[None], count, axis=0), sampling, numbers)
    shares, expected = np.bincount(drawn, minlength=size) / count, filtered(logits, sampling)
    if grain:  # of equally good tokens, any may be left out
        shares, expected = np.sort(shares), np.sort(expected)
    assert shares == pytest.approx(expected, abs=1.01 / count)


@every_setting
@pytest.mark.parametrize("number", [0.0, 1 - 2.0**-53])
def test_the_ends_of_the_random_numbers(settings: dict[str, Any], number: float) -> None:
    """Impossible tokens, at both ends too, are not drawn, however the sums are rounded."""
    logits = np.full((500, 50), -np.inf, dtype=np.float32)
    logits[:, [7, 9, 11]] = np.random.default_rng(0).normal(size=(500, 3))
    drawn = draw(logits, Sampling(**settings), np.full(500, number))
    assert set(drawn.tolist()) <= {7, 9, 11}


def test_samples_do_not_depend_on_batch_and_order() -> None:
    model = ScriptedModel(20, random_script(20, seed=3, eos=1.0))
    rows = sources(20)
    options: dict[str, Any] = {"sampling": Sampling(seed=9, top_p=0.9)}
    alone = [draw_many(model, [row], samples=3, **options)[0] for row in rows]
    assert len({one.tokens for several in alone for one in several}) > 30
    for size in (7, 20):
        order = np.random.default_rng(size).permutation(20)
        for start in range(0, 20, size):
            chosen = order[start : start + size]
            together = draw_many(model, [rows[i] for i in chosen], samples=3, **options)
            assert together == [alone[i] for i in chosen]
    more = draw_many(model, rows, samples=5, **options)
    assert [several[:3] for several in more] == alone


def test_another_seed_gives_other_samples() -> None:
    model = ScriptedModel(20, random_script(20, seed=3))
    one, two, again = (
        draw_many(model, sources(5), sampling=Sampling(seed=seed)) for seed in (1, 2, 1)
    )
    assert one == again
    assert one != two


def test_long_samples_use_fresh_numbers() -> None:
    def script(source: tuple[int, ...], prefix: tuple[int, ...]) -> np.ndarray:
        log_probs = np.full(V, -np.inf, dtype=np.float32)
        log_probs[4:] = -math.log(V - 4)
        return log_probs

    ((found,),) = draw_many(ScriptedModel(V, script), [[5, EOS]], max_lengths=[100])
    assert len(found.tokens) == 100
    parts = [found.tokens[start : start + 32] for start in (0, 32, 64)]
    assert len(set(parts)) == 3
    assert all(len(set(part)) > 2 for part in parts)


@pytest.mark.parametrize(
    "settings", [{"temperature": 1e-3}, {"temperature": 1e-300}, {"top_k": 1}, {"top_p": 1e-9}]
)
def test_without_chance_it_is_greedy(settings: dict[str, Any]) -> None:
    model = ScriptedModel(20, random_script(20, seed=4), random_attention(4))
    rows = sources(12)
    options: dict[str, Any] = {
        "max_lengths": [2 * len(row) for row in rows],
        "normalization": LengthNormalization(),
        "keep_attention": True,
    }
    rules: list[Rule] = [MinLength(np.full(12, 3)), NoRepeatNgram(1), RepetitionPenalty(1.4)]
    for some in ([], rules):
        best = greedy(model, SourceBatch.from_rows(rows), rules=some, **options)
        found = draw_many(model, rows, sampling=Sampling(**settings), rules=some, **options)
        for (ours,), theirs in zip(found, best, strict=True):
            assert ours == theirs
            assert ours.attention is not None
            assert theirs.attention is not None
            assert (ours.attention == theirs.attention).all()


def test_log_probabilities_are_the_model_s_own() -> None:
    model = ScriptedModel(20, random_script(20, seed=4, eos=1.0))
    rows = sources(6)
    found = draw_many(
        model,
        rows,
        samples=4,
        sampling=Sampling(temperature=3.0, top_k=9),
        normalization=LengthNormalization(),
        rules=[MinLength(np.full(6, 2)), RepetitionPenalty(1.4)],
    )
    assert any(one.truncated for several in found for one in several)
    for row, several in zip(rows, found, strict=True):
        again = SourceBatch.from_rows([row] * 4)
        tokens = [one.tokens for one in several]
        assert min(map(len, tokens)) >= 2
        forced = force(model, again, tokens, normalization=LengthNormalization())
        for ours, theirs in zip(several, forced, strict=True):
            assert ours.log_prob == pytest.approx(theirs.log_prob, abs=1e-6)
            assert ours.score == pytest.approx(theirs.score, abs=1e-6)
            assert ours.token_log_probs == theirs.token_log_probs


def test_the_model_is_asked_once_for_the_beginning_and_finished_rows_leave() -> None:
    model = ScriptedModel(20, random_script(20, seed=4, eos=2.0))
    found = draw_many(model, sources(3), samples=4)
    lengths = [len(one.tokens) for several in found for one in several]
    under_way = [sum(length >= step for length in lengths) for step in range(1, max(lengths) + 1)]
    assert model.distributions == [3, *under_way]


def test_caps_force_the_end() -> None:
    table = {(): {4: 0.9, EOS: 0.1}, (4,): {4: 0.9, EOS: 0.1}, (4, 4): {EOS: 1.0}}
    model = ScriptedModel(6, table_script(6, table))
    found = draw_many(model, [[5, EOS]] * 2, max_lengths=[0, 2], sampling=Sampling(top_k=1))
    assert [one.tokens for (one,) in found] == [(), (4, 4)]
    assert [one.truncated for (one,) in found] == [True, False]
    assert found[0][0].log_prob == pytest.approx(math.log(0.1), abs=1e-6)


def test_a_rule_may_put_the_end_off_but_not_for_ever() -> None:
    model = ScriptedModel(V, random_script(V, seed=0, eos=3.0))
    for least, length in ((5, 5), (10**6, 2 * 2 + 16)):
        rules = [MinLength(np.array([least]))]
        ((found,),) = draw_many(
            model, [[5, EOS]], max_lengths=[2], rules=rules, sampling=Sampling(top_k=1)
        )
        assert len(found.tokens) == length
        assert found.truncated is (least > length)


def test_where_nothing_is_possible_the_beginning_is_returned() -> None:
    table = {(): {4: 1.0}, (4,): {5: 1.0}}
    model = ScriptedModel(6, table_script(6, table))
    ((found,),) = draw_many(model, [[5, EOS]])
    assert found == Hypothesis(
        (4, 5), -math.inf, -math.inf, True, token_log_probs=(0.0, 0.0, -math.inf)
    )


def test_no_sentences() -> None:
    assert draw_many(ScriptedModel(6, random_script(6, seed=0)), []) == []


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"samples": 0}, "0 samples are asked for; 1 or more are allowed"),
        (
            {"sampling": Sampling(temperature=0)},
            "temperature is 0; numbers above 0 are allowed "
            "(for the best token at each step, search with a beam of 1 instead)",
        ),
        (
            {"sampling": Sampling(temperature=math.nan)},
            "temperature is nan; numbers above 0 are allowed "
            "(for the best token at each step, search with a beam of 1 instead)",
        ),
        ({"sampling": Sampling(top_k=0)}, "top_k is 0; 1 or more is allowed"),
        (
            {"sampling": Sampling(top_p=0)},
            "top_p is 0; numbers above 0 and up to 1 are allowed (1: all tokens)",
        ),
        (
            {"sampling": Sampling(top_p=1.5)},
            "top_p is 1.5; numbers above 0 and up to 1 are allowed (1: all tokens)",
        ),
        (
            {"keep_attention": True},
            "this model has no attention, which coverage, alignments and attention matrices need: "
            "leave them out, or use a model with model.decoder.attention",
        ),
    ],
)
def test_wishes_that_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(Seq2SeqError) as error:
        draw_many(ScriptedModel(6, random_script(6, seed=0)), sources(2), **options)
    assert str(error.value) == text


def test_broken_numbers_are_an_error() -> None:
    broken = ScriptedModel(6, lambda source, prefix: np.full(6, np.nan, dtype=np.float32))
    with pytest.raises(ModelError, match=r"the model's probabilities are not numbers \(NaN\)"):
        draw_many(broken, [[5, EOS]])
