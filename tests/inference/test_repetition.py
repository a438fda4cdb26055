from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.inference.postprocess import end_of_first


def never(token: int) -> bool:
    del token
    return False


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        ([1, 2, 3, 4, 5, 6, 7, 8], None),
        ([9, 8, 1, 2, 1, 2, 1, 2], 4),
        ([9, 8, 1, 2, 1, 2, 1, 2, 1], 4),  # the last time in part
        ([9, 1, 2, 3, 1, 2, 3, 1, 2], None),  # not three times
        ([9, 5, 5, 5, 5, 5], None),  # too short to be sure
        ([9, 5, 5, 5, 5, 5, 5], 2),
        ([5] * 40, 1),
        ([1, 2, 1, 2, 1, 2, 9], None),  # not at the end
        ([], None),
    ],
)
def test_by_hand(tokens: list[int], kept: int | None) -> None:
    assert end_of_first(tokens, never) == kept


def test_the_cut_is_between_words() -> None:
    # A word of two pieces, 1 2, said again and again; the repetition begins within one, by chance.
    tokens = [7, 2, 1, 2, 1, 2, 1, 2]
    assert end_of_first(tokens, never) == 3
    assert end_of_first(tokens, lambda token: token in (1, 7)) == 4


@given(
    st.lists(st.integers(0, 3), max_size=6),
    st.lists(st.integers(4, 9), min_size=2, max_size=5, unique=True),
    st.integers(3, 6),
    st.integers(0, 4),
)
def test_what_is_kept_is_the_beginning_and_the_phrase_once(
    begin: list[int], phrase: list[int], times: int, more: int
) -> None:
    tokens = [*begin, *phrase * times, *phrase[: more % len(phrase)]]
    kept = end_of_first(tokens, lambda token: token == phrase[0])
    if len(phrase) * times >= 6:
        assert kept is not None
        assert tokens[:kept] == [*begin, *phrase]
