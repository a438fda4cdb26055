from __future__ import annotations

import tracemalloc
from itertools import product

import numpy as np
import pytest

from seq2seq.inference.postprocess import Answer, cut_after, join_answers, translations_of
from seq2seq.inference.request import Request
from seq2seq.inference.results import Note, ScoredTranslation, Warnings, best_translation
from seq2seq.inference.segmentation import Line, Segment
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
    return Answer(text, found, found.score, len(found.tokens) + 1)


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
    parts = [
        Answer("a", hypothesis([-1.0]), 40.0, 1),
        Answer("b", hypothesis([-1.0]), 60.0, 1),
    ]
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
    assert best_translation(several).text == "b"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (SearchOptions(n_best=2), ["a2 b1", "a1 b1"]),
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
    parts = [Segment(1, [5], Wish()), Segment(1, [6], Wish())]
    found = translations_of(Line(parts), answered, Request(options), None)
    assert [one.text for one in found] == expected
    scores = {"a1 b1": -10.5 / 11, "a2 b1": -16 / 20, "a2 b2": -7.1 / 11}
    assert [one.score for one in found] == pytest.approx([scores[text] for text in expected])


def test_the_best_of_a_split_line_are_the_best_of_all_combinations() -> None:
    """Against all combinations; each has as many tokens, so that no length changes the order."""
    rng = np.random.default_rng(3)
    answered = [
        [
            answer(f"{place}{n}", hypothesis([value]))
            for n, value in enumerate(sorted(-rng.random(4))[::-1])
        ]
        for place in "abc"
    ]
    every = sorted(product(*answered), key=lambda row: -sum(one.score for one in row))
    parts = [Segment(1, [number], Wish()) for number in (5, 6, 7)]
    request = Request(SearchOptions(beam=4, n_best=4))
    found = translations_of(Line(parts), answered, request, None)
    assert [one.text for one in found] == [" ".join(a.text for a in row) for row in every[:4]]


def test_no_translation_of_a_split_line_comes_twice() -> None:
    answered = [
        [answer("a b", hypothesis([-1.0])), answer("a", hypothesis([-2.0]))],
        [answer("c", hypothesis([-1.0])), answer("b c", hypothesis([-1.5]))],
    ]
    poor = [answer("", hypothesis([-9.0])), answer("x", hypothesis([-9.5]))]
    answered = [[*several, *poor] for several in answered]
    parts = [Segment(1, [5], Wish()), Segment(1, [6], Wish())]
    found = translations_of(Line(parts), answered, Request(SearchOptions(n_best=4)), None)
    expected = [("a b c", -2.0), ("a b b c", -2.5), ("a c", -3.0)]  # "a" with "b c" is the first
    assert [(one.text, one.log_prob) for one in found] == expected


@pytest.mark.parametrize("asked", [False, True])
def test_a_line_of_many_parts_takes_memory_for_each_alone(asked: bool) -> None:
    """The joint attention of 300 parts would have 9,000,000,000 weights."""
    attention = np.full((301, 301), 1 / 301, dtype=np.float32)
    one = Hypothesis((5,) * 300, -1.0, -1.0, False, attention=attention)
    parts = [Segment(1, [5] * 300, Wish())] * 300
    tracemalloc.start()
    request = Request(SearchOptions(attention=asked))
    (found,) = translations_of(Line(parts), [[answer("a", one)]] * 300, request, None)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.attention, found.text) == (None, " ".join("a" * 300))
    assert peak < 2**24


def test_a_part_that_looped_counts_with_all_that_was_searched() -> None:
    """Of the parts, one has 10 tokens, and one 40, of which 4 are left."""
    whole = Hypothesis(tuple(range(10)), -5.0, -5.0 / 11, False)
    looped = cut_after(Hypothesis((1, 2) * 20, -20.0, -20.0 / 41, True), 4)
    parts = [answer("a", whole), Answer("b", looped, looped.score, 41, looped=True)]
    joint = join_answers(parts, LengthNormalization())
    assert joint.score == joint.hypothesis.score == pytest.approx(-25.0 / 52)
    assert joint.hypothesis.log_prob == -25.0
    (found,) = translations_of(
        Line([Segment(1, [5], Wish()), Segment(1, [6], Wish())], (Note("split", "in two"),)),
        [[parts[0]], [parts[1]]],
        Request(SearchOptions()),
        None,
    )
    assert found.score == pytest.approx(-0.48, abs=1e-3)
    assert [note.kind for note in found.notes] == ["split", "looped"]


def test_warnings_are_made_of_notes() -> None:
    told: list[str] = []
    warnings = Warnings(told.append)
    for line in range(1, 14):
        notes = (Note("looped", "again and again"), Note("split", "no news"))
        warnings.add(line, [ScoredTranslation("a", 0.0, 0.0, True, notes=notes)])
    cut = Note("truncated", "9 pieces, but the model takes at most 3: the rest was left out")
    warnings.add(14, [ScoredTranslation("a", 0.0, 0.0, False, notes=(cut,))])
    warnings.finish()
    warnings.finish()
    assert told == [
        "line 14: 9 pieces, but the model takes at most 3: the rest was left out",
        "13 of 14 lines (1, 2, 3, 4, 5, ...): the translation repeated itself up to the length "
        "cap: it was cut after the first time",
    ]


def test_the_last_warning_counts_what_looks_cut_and_each_line_is_told_if_asked() -> None:
    told: list[str] = []
    warnings = Warnings(told.append, each=True)
    kinds = ("cut", "looped", "incomplete", "split")
    for line, kind in enumerate(kinds, start=1):
        notes = (Note(kind, f"{kind} it is"),)  # type: ignore[arg-type]
        warnings.add(line, [ScoredTranslation("a", 0.0, 0.0, True, notes=notes)])
    warnings.finish()
    assert told == [
        "line 1: cut it is",
        "line 2: looped it is",
        "line 3: incomplete it is",
        "line 2: the translation repeated itself up to the length cap: it was cut after the first "
        "time",
        "2 of 4 lines (1, 3): the translation looks cut: parts of the source may be missing",
    ]
    quiet: list[str] = []
    warnings = Warnings(quiet.append, loops=False)
    warnings.add(1, [ScoredTranslation("a", 0.0, 0.0, True, notes=(Note("looped", "it is"),))])
    warnings.finish()
    assert quiet == []
