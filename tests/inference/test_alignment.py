from __future__ import annotations

import numpy as np
import pytest

from seq2seq.inference.results import pharaoh, word_alignment, word_attention, words_of

SOURCE = ["▁the", "▁dog", "s", "▁sleep"]
TARGET = ["▁die", "▁Hun", "de", "▁schlafen"]
# The last column and the last row are the ends.
ATTENTION = np.array(
    [
        [0.7, 0.1, 0.1, 0.0, 0.1],
        [0.1, 0.3, 0.3, 0.2, 0.1],
        [0.4, 0.1, 0.1, 0.4, 0.0],
        [0.0, 0.1, 0.1, 0.3, 0.5],
        [0.0, 0.0, 0.0, 0.0, 1.0],
    ],
    dtype=np.float32,
)


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        (SOURCE, [0, 1, 1, 2]),
        (["▁", "漢", "字", "▁x"], [0, 0, 0, 1]),
        (["a", "b", "▁c"], [0, 0, 1]),
        (["▁a", "▁", "▁b"], [0, 1, 1]),
        (["▁a", "▁"], [0, 0]),
        (["▁", "<0xE6>", "<0xBC>", "<0xA2>", "▁b"], [0, 0, 0, 0, 1]),
        (["▁"], [0]),
        ([], []),
    ],
)
def test_words_of_pieces(pieces: list[str], words: list[int]) -> None:
    assert words_of(pieces) == words


def test_sources_are_added_and_targets_averaged() -> None:
    expected = [[0.7, 0.2, 0.0], [0.25, 0.4, 0.3], [0.0, 0.2, 0.3]]
    np.testing.assert_allclose(word_attention(ATTENTION, SOURCE, TARGET), expected, atol=1e-7)


def test_each_word_goes_to_the_one_it_weighed_most() -> None:
    assert word_alignment(ATTENTION, SOURCE, TARGET) == [(0, 0), (1, 1), (2, 2)]


def test_of_equal_weights_the_first_word_is_taken() -> None:
    even = np.full((2, 4), 0.25, dtype=np.float32)
    assert word_alignment(even, ["▁a", "▁b", "▁c"], ["▁x"]) == [(0, 0)]


def test_a_word_that_looked_at_the_end_alone_has_no_pair() -> None:
    weights = np.array([[0.0, 0.0, 1.0], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]], dtype=np.float32)
    assert word_alignment(weights, ["▁a", "▁b"], ["▁x", "▁y"]) == [(1, 1)]


@pytest.mark.parametrize(("source", "target"), [([], []), (["▁a"], []), ([], ["▁x"])])
def test_nothing_to_align(source: list[str], target: list[str]) -> None:
    weights = np.ones((len(target) + 1, len(source) + 1), dtype=np.float32)
    assert word_alignment(weights, source, target) == []


def test_pharaoh() -> None:
    assert pharaoh([(0, 0), (2, 1)]) == "0-0 2-1"
    assert pharaoh([]) == ""
