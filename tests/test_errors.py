"""Messages that hold whatever was in the input."""

from __future__ import annotations

import pytest

from seq2seq.errors import RecipeError, Seq2SeqError, did_you_mean, number_of, shortened


@pytest.mark.parametrize("text", ["x" * 4_500_000, "a\n" * 1_200_000, "k" * 2000 + "\nshort"])
def test_a_message_is_never_longer_than_a_terminal_shows(text: str) -> None:
    found = str(Seq2SeqError(f"file: {text}: mend it"))
    assert len(found) < 130_000
    assert found.startswith("file: ")
    assert found.count("\n") <= 60
    assert all(len(line) < 2000 for line in found.split("\n"))


def test_a_line_end_in_a_name_makes_no_second_line() -> None:
    assert str(Seq2SeqError("a\nb: no such file")) == "a\\nb: no such file"
    assert str(RecipeError("a\nb", ["k\nl: bad"])) == "recipe a\\nb: k\\nl: bad"
    both = str(RecipeError("a\nb", ["k\nl: bad", "m: bad"]))
    assert both.split("\n") == ["recipe a\\nb: 2 problems:", "  k\\nl: bad", "  m: bad"]


def test_a_usual_message_stays_as_it_is() -> None:
    for text in ("", "one line", "two\nlines", "x" * 2000):
        assert shortened(text) == text
    assert shortened("x" * 3000 + "the end").endswith("the end")


def test_the_nearest_name_whatever_its_case() -> None:
    assert did_you_mean("TER", ["bleu", "ter"]) == " (did you mean 'ter'?)"
    assert did_you_mean("Blue", ["bleu", "ter"]) == " (did you mean 'bleu'?)"
    assert did_you_mean("x" * 1_000_000, ["x"] * 1_000_000) == ""


def test_one_is_no_plural() -> None:
    assert [number_of(n, "pair") for n in (0, 1, 1000)] == ["0 pairs", "1 pair", "1,000 pairs"]
    found = [number_of(n, "batch was", "batches were") for n in (0, 1, 2)]
    assert found == ["0 batches were", "1 batch was", "2 batches were"]
