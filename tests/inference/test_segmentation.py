from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.inference.segmentation import join_segments, split_line


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def characters(texts: Sequence[str]) -> list[int]:
    return [len(re.sub(r"\s", "", text)) for text in texts]


@pytest.mark.parametrize(
    ("line", "limit", "parts"),
    [
        ("One two. Three four. Five.", 4, ["One two. Three four.", "Five."]),
        ("One two. Three four. Five.", 3, ["One two.", "Three four. Five."]),
        (
            'He said: "Go!" Then he went? Yes; no.',
            3,
            ['He said: "Go!"', "Then he went?", "Yes; no."],
        ),
        ("It costs 3.5 euros e.g. here.", 5, ["It costs 3.5 euros e.g.", "here."]),
        ("a b, c d, e f g.", 4, ["a b, c d,", "e f g."]),
        ("a b c d e f g", 3, ["a b c", "d e f", "g"]),
        ("aa bb. cc d e f g h ii. jj", 3, ["aa bb.", "cc d e", "f g h", "ii. jj"]),
        ("short", 3, ["short"]),
        ("  spaced   out  ", 1, ["spaced", "out"]),
        ("   ", 1, []),
    ],
)
def test_where_words_are_counted(line: str, limit: int, parts: list[str]) -> None:
    assert split_line(line, limit, words) == parts


@pytest.mark.parametrize(
    ("line", "limit", "parts"),
    [
        ("我来了。你在哪里？家！", 6, ["我来了。", "你在哪里？", "家！"]),
        ("我来了,你。「好。」他说", 8, ["我来了,你。", "「好。」他说"]),
        ("一二三四，五六七八", 6, ["一二三四，", "五六七八"]),
        ("वह आया। मैं गया।", 8, ["वह आया।", "मैं गया।"]),
        ("Wait… what now", 8, ["Wait…", "what now"]),
        ("abcdefghij", 5, list("abcdefghij")),
    ],
)
def test_where_characters_are_counted(line: str, limit: int, parts: list[str]) -> None:
    assert split_line(line, limit, characters) == parts


@given(st.text(alphabet="ab ,.!。，\u2028\u3000é"), st.integers(1, 20))
def test_nothing_is_lost_and_nothing_too_long(line: str, limit: int) -> None:
    parts = split_line(line, limit, characters)
    squeezed = re.sub(r"\s", "", line)
    assert "".join(re.sub(r"\s", "", part) for part in parts) == squeezed
    assert all(part.strip() == part != "" for part in parts)
    assert all(size <= limit for size in characters(parts))
    position = 0
    for part in parts:  # each stands in the line as it is, in this order
        position = line.index(part, position) + len(part)


def test_a_line_without_end_is_quick() -> None:
    assert sum(map(len, split_line("x" * 2**20, 100, characters))) == 2**20


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (["One.", "Two."], "One. Two."),
        (["我来了。", "你在哪里？"], "我来了。你在哪里？"),
        (["왔어요。", "어디"], "왔어요。 어디"),
        (["我", "two"], "我 two"),
        (["", "Two.", "", "Three."], "Two. Three."),
        ([], ""),
    ],
)
def test_parts_are_joined_as_their_script_is_written(parts: list[str], line: str) -> None:
    assert join_segments(parts) == line
