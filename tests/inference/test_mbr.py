from __future__ import annotations

import math

import pytest
from sacrebleu import sentence_bleu, sentence_chrf

from seq2seq.errors import Seq2SeqError
from seq2seq.inference.postprocess import expected_utilities, probabilities
from seq2seq.inference.request import Request
from seq2seq.search import SearchOptions

TEXTS = ["the dog sleeps", "the dog is asleep", "a a dog, a dog", "dog", "", "Ein Hund (alt)."]
WEIGHTS = [1.0, 3.0, 1.0, 2.0, 0.5, 0.5]


@pytest.mark.parametrize(
    ("utility", "score"),
    [("chrf", sentence_chrf), ("bleu", sentence_bleu)],
)
def test_expectation_of_sacrebleus_sentence_score(utility: str, score) -> None:
    expected = [
        sum(w * score(text, [other]).score for other, w in zip(TEXTS, WEIGHTS, strict=True)) / 8.0
        for text in TEXTS
    ]
    assert expected_utilities(TEXTS, WEIGHTS, utility) == pytest.approx(expected, abs=1e-9)


def test_the_one_in_the_middle_wins() -> None:
    texts = ["das ist ein Haus", "das ist ein altes Haus", "xyz"]
    utilities = expected_utilities(texts, [1.0] * 3, "chrf")
    assert max(utilities[:2]) > utilities[2]


def test_few_candidates() -> None:
    assert expected_utilities([], [], "chrf") == []
    assert expected_utilities(["ein Hund"], [0.5], "chrf") == pytest.approx([100.0])


def test_an_unknown_utility() -> None:
    with pytest.raises(Seq2SeqError) as error:
        Request(SearchOptions(), mbr="bleurt")
    assert str(error.value) == (
        "mbr: unknown name 'bleurt' (did you mean 'bleu'?); allowed: chrf, bleu"
    )


def test_probabilities() -> None:
    assert probabilities([math.log(0.2), math.log(0.6)]) == pytest.approx([0.25, 0.75])
    assert probabilities([-2000.0, -2000.0]) == pytest.approx([0.5, 0.5])
    assert probabilities([-math.inf, -math.inf]) == [0.5, 0.5]
    assert probabilities([-math.inf, -3.0]) == [0.0, 1.0]
    assert probabilities([]) == []
