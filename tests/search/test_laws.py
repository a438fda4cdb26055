"""What holds under every combination of rules."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.references import (
    Change,
    Divisor,
    Penalty,
    coverage_of,
    gnmt,
    least_length,
    length_alpha,
    ngrams,
    no_repeats,
    none,
    plain_beam,
    repetitions,
)
from support.scripted import ScriptedModel, random_attention, random_script, sources

from seq2seq.ids import EOS
from seq2seq.recipe.training import GnmtNormalization, LengthNormalization, NoNormalization
from seq2seq.search import (
    SUPPRESSED,
    Hypothesis,
    SearchOptions,
    SourceBatch,
    beam_search,
    greedy,
    run_search,
)
from seq2seq.search.constraints.tokens import (
    MinLength,
    NoRepeatNgram,
    PartialHypotheses,
    RepetitionPenalty,
    Rule,
)

ATTEND = random_attention(5)
DIVISORS: dict[str, Divisor] = {"none": none, "length": length_alpha(0.7), "gnmt": gnmt(0.6)}
NORMALIZATIONS = {
    "none": NoNormalization(),
    "length": LengthNormalization(alpha=0.7),
    "gnmt": GnmtNormalization(alpha=0.6),
}


@dataclass(frozen=True)
class Case:
    """Rules, each of which may be there or not."""

    least: int
    ngram: int
    factor: float
    coverage: float
    normalization: str

    @property
    def changes(self) -> list[Change]:
        chosen = [least_length(self.least), repetitions(self.factor)]
        return chosen + ([no_repeats(self.ngram)] if self.ngram else [])

    @property
    def penalty(self) -> Penalty | None:
        return coverage_of(ATTEND, self.coverage) if self.coverage else None

    def options(self, **more: object) -> SearchOptions:
        options = SearchOptions(
            normalization=NORMALIZATIONS[self.normalization],
            max_ratio=1.0,
            max_extra=3,
            min_length=self.least,
            no_repeat_ngram=self.ngram,
            repetition_penalty=self.factor,
            coverage=self.coverage,
        )
        return replace(options, **more)


CASES = [
    Case(*values)
    for values in itertools.product((0, 3), (0, 1, 2), (1.0, 1.7), (0.0, 0.3), NORMALIZATIONS)
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
cases = st.sampled_from(CASES)


def model_of(vocab_size: int, seed: int, *, eos: float = 0.0, grain: float = 0.0) -> ScriptedModel:
    script = random_script(vocab_size, seed=seed, eos=eos, grain=grain)
    return ScriptedModel(vocab_size, script, attend=ATTEND)


def same(left: Hypothesis, right: Hypothesis) -> bool:
    return (
        left.tokens == right.tokens
        and left.truncated == right.truncated
        and math.isclose(left.log_prob, right.log_prob, abs_tol=1e-6)
        and math.isclose(left.score, right.score, abs_tol=1e-6)
    )


@every_case
def test_it_is_beam_search_by_its_definition(case: Case) -> None:
    for beam, n_best, groups, eos in ((1, 1, 1, 0.0), (3, 2, 1, 2.0), (6, 4, 3, 1.0)):
        model = model_of(9, seed=beam, eos=eos, grain=0.5)
        rows = sources(3, seed=beam, longest=4)
        options = case.options(beam=beam, n_best=n_best, groups=groups, diversity=0.8)
        found = run_search(model, SourceBatch.from_rows(rows), options)
        for row, ours in zip(rows, found, strict=True):
            theirs = plain_beam(
                model,
                row,
                beam=beam,
                n_best=n_best,
                cap=len(row) + 2,
                divisor=DIVISORS[case.normalization],
                changes=case.changes,
                penalty=case.penalty,
                groups=groups,
                diversity=0.8,
            )
            assert len(ours) == len(theirs)
            assert all(map(same, ours, theirs)), (ours, theirs)


@every_case
def test_a_beam_as_wide_as_the_space_is_brute_force(case: Case) -> None:
    model = model_of(7, seed=1)
    row, cap = [5, EOS], 4
    allowed = [t for t in range(7) if t != EOS and t not in SUPPRESSED]
    every = []
    for length in range(case.least, cap + 1):
        for tokens in itertools.product(allowed, repeat=length):
            grams = ngrams(tokens, case.ngram) if case.ngram else []
            if len(set(grams)) < len(grams):
                continue
            score = model.log_prob(row, tokens) / DIVISORS[case.normalization](length + 1)
            score += case.penalty(row, tokens) if case.penalty else 0.0
            every.append((score, tokens))
    every.sort(reverse=True)
    options = case.options(beam=121, n_best=121, max_length=cap)
    (found,) = run_search(model, SourceBatch.from_rows([row]), options)
    assert [one.tokens for one in found] == [tokens for _, tokens in every]
    np.testing.assert_allclose([one.score for one in found], [score for score, _ in every])


def rules_of(case: Case, sentences: int) -> list[Rule]:
    rules: list[Rule] = [RepetitionPenalty(case.factor), MinLength(np.full(sentences, case.least))]
    return rules + ([NoRepeatNgram(case.ngram)] if case.ngram else [])


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(0, 10**6), st.sampled_from([-2.0, 0.0, 3.0]), st.sampled_from([0.0, 1.0]))
def test_beam_1_is_greedy(case: Case, seed: int, eos: float, grain: float) -> None:
    model = model_of(12, seed, eos=eos, grain=grain)
    source = SourceBatch.from_rows(sources(6, seed=seed))
    best = run_search(model, source, case.options(beam=1, attention=True))
    beams = beam_search(
        model,
        source,
        beam=1,
        max_lengths=np.maximum(source.lengths + 2, case.least),
        normalization=NORMALIZATIONS[case.normalization],
        rules=rules_of(case, len(source)),
        coverage=case.coverage,
        keep_attention=True,
    )
    for (ours,), (theirs,) in zip(best, beams, strict=True):
        assert same(ours, theirs)
        assert ours.token_log_probs == pytest.approx(theirs.token_log_probs, abs=1e-9)
        assert ours.attention is not None
        np.testing.assert_array_equal(ours.attention, theirs.attention)


@settings(max_examples=25, deadline=None)
@given(
    cases,
    st.integers(0, 10**6),
    st.sampled_from([(1, 1), (4, 1), (4, 2), (6, 3)]),
    st.sampled_from([0.0, 1.0]),
)
def test_neither_batch_nor_order_matters(
    case: Case, seed: int, beam: tuple[int, int], grain: float
) -> None:
    model = model_of(15, seed, eos=1.0, grain=grain)
    rows = sources(12, seed=seed)
    options = case.options(beam=beam[0], groups=beam[1], n_best=min(beam[0], 3), attention=True)
    order = np.random.default_rng(seed).permutation(12)
    alone = [run_search(model, SourceBatch.from_rows([row]), options)[0] for row in rows]
    for start, end in ((0, 5), (5, 12)):
        source = SourceBatch.from_rows([rows[i] for i in order[start:end]])
        for number, ours in zip(order[start:end], run_search(model, source, options), strict=True):
            assert ours == alone[number]  # to the last bit
            for one, other in zip(ours, alone[number], strict=True):
                assert one.attention is not None
                np.testing.assert_array_equal(one.attention, other.attention)


@settings(max_examples=60, deadline=None)
@given(cases, st.integers(0, 10**6), st.sampled_from([(1, 1), (5, 1), (6, 2), (4, 4)]))
def test_what_is_reported_is_the_models(case: Case, seed: int, beam: tuple[int, int]) -> None:
    model = model_of(10, seed, eos=0.5)
    rows = sources(5, seed=seed, longest=5)
    options = case.options(beam=beam[0], groups=beam[1], n_best=beam[0], attention=True)
    found = run_search(model, SourceBatch.from_rows(rows), options)
    for row, hypotheses in zip(rows, found, strict=True):
        assert hypotheses
        assert len({one.tokens for one in hypotheses}) == len(hypotheses)
        scores = [one.score for one in hypotheses]
        assert scores == sorted(scores, reverse=True)
        for one in hypotheses:
            assert case.least <= len(one.tokens) <= max(len(row) + 2, case.least)
            if case.ngram:
                grams = ngrams(one.tokens, case.ngram)
                assert len(set(grams)) == len(grams)
            steps = [
                float(model.script(tuple(row), one.tokens[:n])[token])
                for n, token in enumerate((*one.tokens, EOS))
            ]
            assert one.token_log_probs == pytest.approx(steps, abs=1e-9)
            assert one.log_prob == pytest.approx(sum(steps), abs=1e-9)
            score = sum(steps) / DIVISORS[case.normalization](len(steps))
            score += case.penalty(row, one.tokens) if case.penalty else 0.0
            assert one.score == pytest.approx(score, abs=1e-9)
            weights = [ATTEND(tuple(row), one.tokens[:n]) for n in range(len(steps))]
            np.testing.assert_array_equal(one.attention, weights)


@settings(max_examples=15, deadline=None)
@given(cases, st.integers(0, 10**6))
def test_groups_of_one_are_a_beam_and_asking_for_more_changes_nothing(
    case: Case, seed: int
) -> None:
    model = model_of(10, seed, eos=1.0)
    source = SourceBatch.from_rows(sources(4, seed=seed))
    for groups in (1, 2):
        options = case.options(beam=4, n_best=4, groups=groups, diversity=2.0)
        every = run_search(model, source, options)
        for n_best in (1, 2):
            some = run_search(model, source, replace(options, n_best=n_best))
            assert some == [found[:n_best] for found in every]
    plain = run_search(model, source, case.options(beam=4, n_best=4))
    assert run_search(model, source, case.options(beam=4, n_best=4, diversity=9.0)) == plain


class _NoEndBefore:
    """A rule that knows nothing of caps."""

    def __init__(self, length: int) -> None:
        self._length = length

    def apply(self, rows: PartialHypotheses, log_probs_NV: np.ndarray) -> None:
        if rows.tokens_NT.shape[1] < self._length:
            log_probs_NV[:, EOS] = -np.inf


@pytest.mark.parametrize("beam", [1, 3])
def test_a_rule_that_forbids_the_end_at_the_cap_is_waited_for(beam: int) -> None:
    model = model_of(8, 1, eos=2.0)
    source = SourceBatch.from_rows(sources(3))

    def search(length: int) -> list[Hypothesis]:
        rules = [_NoEndBefore(length)]
        if beam == 1:
            return greedy(model, source, max_lengths=[3] * 3, rules=rules)
        found = beam_search(
            model,
            source,
            beam=beam,
            max_lengths=[3] * 3,
            normalization=NoNormalization(),
            rules=rules,
        )
        return [one for (one,) in found]

    for one in search(6):
        assert len(one.tokens) == 6
        assert one.log_prob > -math.inf
    for one in search(10**6):  # not for ever
        assert len(one.tokens) == 2 * 3 + 16
        assert one.log_prob == -math.inf
        assert one.truncated


def test_groups_differ_more_than_a_beam_does() -> None:
    model = model_of(30, 2, eos=1.0)
    source = SourceBatch.from_rows(sources(20))

    def first_tokens(groups: int, diversity: float) -> float:
        options = SearchOptions(beam=6, n_best=6, groups=groups, diversity=diversity)
        found = run_search(model, source, options)
        return float(np.mean([len({one.tokens[:1] for one in several}) for several in found]))

    assert first_tokens(6, 0.0) == 1.0  # six times the same greedy translation
    assert first_tokens(3, 2.0) > first_tokens(1, 0.0) + 0.5
