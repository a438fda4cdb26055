from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.references import Change, least_length, no_repeats, repetitions

from seq2seq.search.constraints.tokens import (
    MinLength,
    NoRepeatNgram,
    PartialHypotheses,
    RepetitionPenalty,
    Rule,
)
from seq2seq.search.trace import coverage_penalties

VOCAB = 7


@given(st.lists(st.lists(st.integers(3, VOCAB - 1), min_size=9, max_size=9), min_size=1), st.data())
def test_rules_are_their_definitions(tokens: list[list[int]], data: st.DataObject) -> None:
    size, factor = data.draw(st.integers(1, 5)), data.draw(st.floats(0.25, 4.0))
    length = data.draw(st.integers(0, 9))
    least = np.array([length + 1, length, 0])
    sentence_N = np.array([data.draw(st.integers(0, 2)) for _ in tokens])
    pairs: list[tuple[Rule, list[Change]]] = [
        (MinLength(least), [least_length(int(least[s])) for s in sentence_N]),
        (NoRepeatNgram(size), [no_repeats(size)] * len(tokens)),
        (RepetitionPenalty(factor), [repetitions(factor)] * len(tokens)),
    ]
    start = -np.random.default_rng(length).exponential(size=(len(tokens), VOCAB))
    rows = PartialHypotheses(sentence_N, np.array(tokens)[:, :length], start.astype(np.float32))
    for rule, changes in pairs:
        ours, theirs = start.astype(np.float32), start.astype(np.float32)
        rule.apply(rows, ours)
        for row, change, log_probs in zip(tokens, changes, theirs, strict=True):
            change(row[:length], log_probs)
        np.testing.assert_array_equal(ours, theirs)


def test_what_is_forbidden_stays_so_under_a_penalty() -> None:
    log_probs = np.array([[-np.inf, -1.0, -2.0, -3.0]], dtype=np.float32)
    rows = PartialHypotheses(np.array([0]), np.array([[0, 2, 2]]), log_probs.copy())
    RepetitionPenalty(1.5).apply(rows, log_probs)
    assert log_probs.tolist() == [[-np.inf, -1.0, -3.0, -3.0]]


def test_coverage_is_the_formula() -> None:
    attended = np.array([[0.5, 1.5, 0.25, 9.0], [1.0, 1.0, 0.0, 0.0]])
    found = coverage_penalties(attended, np.array([3, 2]))
    np.testing.assert_allclose(found, [np.log(0.5) + np.log(0.25), 0.0])
    nothing = coverage_penalties(np.zeros((1, 2)), np.array([1]))
    assert nothing.tolist() == pytest.approx([np.log(np.finfo(np.float32).tiny)])
