from __future__ import annotations

import numpy as np
import pytest

from seq2seq.inference.postprocess import translations_of
from seq2seq.inference.reading import Part
from seq2seq.inference.request import Request
from seq2seq.inference.results import (
    Answer,
    ScoredTranslation,
    best_of,
    cut_after,
    join_answers,
)
from seq2seq.recipe.training import LengthNormalization, NoNormalization
from seq2seq.search import Hypothesis, Sampling, SearchOptions, Wish


def hypothesis(steps: list[float], attention: list[list[float]] | None = None) -> Hypothesis:
    log_prob = sum(steps)
    return Hypothesis(
        tokens=tuple(range(10, 9 + len(steps))),
        log_prob=log_prob,
        score=log_prob / len(steps),
        truncated=False,
        token_log_probs=tuple(steps),
        attention=None if attention is None else np.array(attention, dtype=np.float32),
    )


def answer(text: str, found: Hypothesis) -> Answer:
    return Answer(text, found, found.score)


def test_parts_are_joined() -> None:
    first = hypothesis([-1.0, -2.0, -0.5], [[0.7, 0.1, 0.2], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    second = hypothesis([-3.0, -0.25], [[0.9, 0.1], [0.4, 0.6]])
    joint = join_answers([answer("One.", first), answer("Two.", second)], LengthNormalization())
    assert joint.text == "One. Two."
    assert joint.hypothesis.tokens == (10, 11, 10)
    assert joint.hypothesis.log_prob == pytest.approx(-6.75)
    assert joint.score == joint.hypothesis.score == pytest.approx(-6.75 / 5)
    assert joint.hypothesis.token_log_probs == pytest.approx((-1.0, -2.0, -3.0, -0.75))
    expected = [[0.7, 0.1, 0, 0.2], [0.2, 0.7, 0, 0.1], [0, 0, 0.9, 0.1], [0, 0, 0.4, 0.6]]
    assert joint.hypothesis.attention is not None
    np.testing.assert_allclose(joint.hypothesis.attention, expected, rtol=1e-6)
    assert not joint.hypothesis.truncated


def test_coverage_penalties_are_added_up() -> None:
    first = Hypothesis((10,), -2.0, -1.0 - 0.3, True)
    second = Hypothesis((10, 11), -3.0, -1.0 - 0.2, False)
    joint = join_answers([answer("a", first), answer("b", second)], LengthNormalization())
    assert joint.score == pytest.approx(-5.0 / 5 - 0.5)
    assert joint.hypothesis.truncated


def test_utilities_are_averaged() -> None:
    parts = [Answer("a", hypothesis([-1.0]), 40.0), Answer("b", hypothesis([-1.0]), 60.0)]
    assert join_answers(parts, NoNormalization()).score == 50.0


def test_the_impossible_stays_impossible() -> None:
    nothing = Hypothesis((), -np.inf, -np.inf, True)
    parts = [answer("", nothing), answer("b", hypothesis([-1.0, -1.0]))]
    joint = join_answers(parts, LengthNormalization())
    assert joint.score == joint.hypothesis.log_prob == -np.inf


def test_one_part_is_itself() -> None:
    one = answer("a", hypothesis([-1.0]))
    assert join_answers([one], NoNormalization()) is one


def test_a_loop_is_cut() -> None:
    weights = [[0.5, 0.5], [0.6, 0.4], [0.7, 0.3], [0.8, 0.2]]
    cut = cut_after(hypothesis([-1.0, -2.0, -3.0, -4.0], weights), 1)
    assert cut.tokens == (10,)
    assert cut.token_log_probs == (-1.0, -9.0)
    assert cut.log_prob == -10.0
    assert cut.attention is not None
    np.testing.assert_allclose(cut.attention, [[0.5, 0.5], [0.8, 0.2]], rtol=1e-6)


def test_the_best_of_samples_is_the_first_of_the_best() -> None:
    several = [
        ScoredTranslation(text, score, -1.0, False)
        for text, score in (("a", -2.0), ("b", -1.0), ("c", -1.0))
    ]
    assert best_of(several).text == "b"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (SearchOptions(n_best=2), ["a2 b2", "a1 b1"]),
        (SearchOptions(n_best=2, sampling=Sampling()), ["a1 b1", "a2 b2"]),
    ],
    ids=["best first", "as they were drawn"],
)
def test_translations_of_a_split_line_are_in_order(
    options: SearchOptions, expected: list[str]
) -> None:
    answered = [
        [answer("a1", hypothesis([-0.5])), answer("a2", hypothesis([-0.6] * 10))],
        [answer("b1", hypothesis([-1.0] * 10)), answer("b2", hypothesis([-1.1]))],
    ]
    parts = [Part(1, [5], Wish()), Part(1, [6], Wish())]
    found = translations_of(parts, answered, Request(options), None)
    assert [one.text for one in found] == expected
    assert sorted(one.score for one in found) == pytest.approx([-10.5 / 11, -7.1 / 11])


def test_no_translation_of_a_split_line_comes_twice() -> None:
    answered = [
        [answer("a b", hypothesis([-1.0])), answer("a", hypothesis([-2.0]))],
        [answer("c", hypothesis([-1.0])), answer("b c", hypothesis([-2.0]))],
    ]
    parts = [Part(1, [5], Wish()), Part(1, [6], Wish())]
    (found,) = translations_of(parts, answered, Request(SearchOptions(n_best=2)), None)
    assert (found.text, found.log_prob) == ("a b c", -2.0)
