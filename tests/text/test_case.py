"""Capitals read as usual, and written again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.text.case import as_usual, capitals, is_in_capitals

USUAL = {
    "the": -2.0,
    "The": -3.0,
    "dog": -5.0,
    "Germany": -6.0,
    "NATO": -7.0,
    "in": -2.0,
    "a": -2.0,
}


def score(word: str) -> float:
    """A word that the text had has its log-probability, another one hardly any."""
    return USUAL.get(word, -9.0 * len(word))


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("THE DOG IN GERMANY", "The dog in Germany"),
        ("THE DOG.", "The dog."),
        ("A DOG IN NATO!", "A dog in NATO!"),
        ("The DOG, e.g. in NATO", "The dog, e.g. in NATO"),
        ("The XDOG in NATO", "The XDOG in NATO"),  # no form of it is known
        ("The Dog In Germany", "The dog in Germany"),
        ("The Dog", "The Dog"),  # two words are no headline
        ("the dog in Germany", "the dog in Germany"),
        ("the dog in germany", "The dog in Germany"),
        ("dog in", "dog in"),  # two words are no sentence
        ("dog in a", "dog in a"),  # "Dog" is a word that the text has not
        ("A1 B2", "A1 B2"),
        ("4 the dog in a", "4 the dog in a"),  # its first word is a number
        ("4 THE DOG IN A", "4 the dog in a"),
        ("1. the dog in a", "1. The dog in a"),
        ("2) THE DOG IN A", "2) The dog in a"),
        ('"the dog in a', '"The dog in a'),
        ("ⒶⒷⒸⒹ", "ⒶⒷⒸⒹ"),
        ("", ""),
    ],
)
def test_words_in_capitals_are_read_as_usual(line: str, read: str) -> None:
    assert as_usual(line, score, USUAL.__contains__) == read


@given(st.text())
def test_nothing_but_case_changes(line: str) -> None:
    read = as_usual(line, score, USUAL.__contains__)
    assert read.upper() == line.upper()


@given(st.text())
def test_capitals_have_as_many_letters(text: str) -> None:
    assert len(capitals(text)) == len(text)


def test_capitals_of_sharp_s() -> None:
    assert capitals("Straße 3 %s") == "STRAẞE 3 %S"


@pytest.mark.parametrize(
    ("text", "is_loud"),
    [
        ("STOP NOW", True),
        ("USA", False),
        ("Stop NOW", False),
        ("123 !!!", False),
        ("犬が好き", False),
    ],
)
def test_what_is_in_capitals(text: str, is_loud: bool) -> None:
    assert is_in_capitals(text) is is_loud
