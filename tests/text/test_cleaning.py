"""Cleaning: each rule alone, their order, the counts, and the set of what was seen."""

from __future__ import annotations

import tracemalloc
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.data.preparing.statistics import Seen
from seq2seq.data.preparing.worker import digests
from seq2seq.recipe import Cleaning
from seq2seq.text.cleaning import (
    DUPLICATES,
    RULES,
    Dropped,
    Drops,
    RawPair,
    Rules,
    Texts,
    share_of_letters,
)

NOTHING = {
    "empty": False,
    "max_length": None,
    "max_ratio": None,
    "duplicates": False,
    "identical": False,
    "invalid_utf8": False,
    "control_characters": False,
    "min_letters": None,
}
GOOD = ("a good line", "eine gute Zeile")


class Cleaner:
    """All rules, those that judge a pair alone and the one against repeated pairs, as one."""

    def __init__(self, options: Cleaning) -> None:
        self._rules, self._drops = Rules(options), Drops()
        self._seen = Seen() if options.duplicates else None

    def clean(self, pairs: list[RawPair]) -> list[RawPair]:
        sources = [pair.source.encode("utf-8", "surrogatepass") for pair in pairs]
        targets = [pair.target.encode("utf-8", "surrogatepass") for pair in pairs]
        invalid = np.flatnonzero([pair.invalid_utf8 for pair in pairs])
        misread = {n: pair.misread for n, pair in enumerate(pairs) if pair.misread}
        places, names = self._rules.failing(Texts.of(sources), Texts.of(targets), invalid, misread)
        failed = dict(zip(places.tolist(), names, strict=True))
        kept = []
        for n, pair in enumerate(pairs):
            if n not in failed and self._seen is not None:
                (first,) = self._seen.first_times(digests([sources[n]], [targets[n]]))
                if not first:
                    failed[n] = DUPLICATES
            if n in failed:
                self._drops.add(failed[n], pair.line)
            else:
                kept.append(pair)
        return kept

    @property
    def dropped(self) -> tuple[Dropped, ...]:
        return self._drops.result()


def cleaner(**rules: object) -> Cleaner:
    return Cleaner(Cleaning.model_validate({**NOTHING, **rules}))


def test_every_key_of_the_recipe_is_a_rule() -> None:
    keys = set(Cleaning.model_fields) - {"unit"}
    assert set(RULES) - {"header", "columns"} == set(NOTHING) == keys


@pytest.mark.parametrize(
    ("rules", "bad", "good"),
    [
        ({"empty": True}, [("", "x"), ("x", " \t\u3000"), ("", "")], [GOOD]),
        ({"invalid_utf8": True}, [("a", "b", True)], [("a", "b", False), ("\ufffd", "b")]),
        (
            {"control_characters": True},
            [
                ("a\0", "b"),
                ("a", "b\x1b[0m"),
                ("a\r", "b"),
                ("a\x0bb", "b"),
                ("a", "\x85"),
                ("a\nb", "c"),
            ],
            [("a\tb", "c"), ("a\u2028b", "\u00a0"), ("\ufeff", "\u200d"), GOOD],
        ),
        (
            {"max_length": 3},
            [("a b c d", "x"), ("x", "a  b\u3000c d")],
            [("a  b c ", "a\u00a0b"), ("x" * 99, "y")],
        ),
        (
            {"max_length": 3, "unit": "characters"},
            [("abcd", "x"), ("x", "a b ")],
            [("abc", "äöü"), ("", "")],
        ),
        (
            {"max_ratio": 2.0},
            [("a b c", "a"), ("a", "a b c"), ("a", "")],
            [("a b", "a"), ("a", "a b"), ("", "")],
        ),
        ({"max_ratio": 1.5, "unit": "characters"}, [("abcd", "ab")], [("abc", "ab")]),
        ({"identical": True}, [("a", "a"), ("a ", " a")], [("a", "A"), GOOD]),
        (
            {"min_letters": 0.5},
            [("1 2 3 4 5 a", "b"), ("a", "--- x")],
            [("a1", "b 2"), ("हिन्दी", "ไทย"), ("", "  "), GOOD],
        ),
        ({"duplicates": True}, [GOOD], []),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_each_rule(
    rules: dict[str, object], bad: list[tuple[str, str]], good: list[tuple[str, str]]
) -> None:
    first = [RawPair(1, *GOOD)] if "duplicates" in rules else []
    pairs = [RawPair(n, *pair) for n, pair in enumerate(bad + good, 2)]
    work = cleaner(**rules)
    assert work.clean(first + pairs) == first + pairs[len(bad) :]
    assert work.dropped == (Dropped(next(iter(rules)), len(bad), 2),)
    # With the rule left out, everything stays.
    nothing = cleaner()
    assert nothing.clean(first + pairs) == first + pairs
    assert nothing.dropped == ()


def test_the_first_rule_that_fails_is_the_one_that_counts() -> None:
    work = cleaner(
        empty=True, max_length=2, max_ratio=1.5, identical=True, invalid_utf8=True,
        control_characters=True, min_letters=0.9, duplicates=True,
    )  # fmt: skip
    pairs = [
        RawPair(1, "a", "b"),
        RawPair(2, "\0", "", True),
        RawPair(3, "", "\0"),
        RawPair(4, "\0 b c d", "x"),
        RawPair(5, "a b c", "1"),
        RawPair(6, "1 2", "1"),
        RawPair(7, "1", "1"),
        RawPair(8, "1", "2"),
        RawPair(9, "a", "b"),
        RawPair(10, "a", "b"),
    ]
    assert work.clean(pairs) == pairs[:1]
    once = [Dropped(rule, 1, n) for n, rule in enumerate(RULES[2:-1], 2)]
    assert work.dropped == (*once, Dropped("duplicates", 2, 9))


def test_no_character_escapes_the_search_for_suspects() -> None:
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000]
    space = [character for character in every if character.isspace()]
    control = [one for one in every if unicodedata.category(one) == "Cc" and one != "\t"]
    for rule, bad in (("empty", space), ("control_characters", control)):
        pairs = [RawPair(n, "a", "b") for n in range(3)]
        pairs += [RawPair(3, *sides) for one in bad for sides in ((one, "ä"), ("ä", one))]
        assert cleaner(**{rule: True}).clean(pairs) == pairs[:3]


def by_definition(pair: RawPair, bound: int) -> bool:
    """Whether the rules keep a pair, each tested in the plainest way."""
    texts = (pair.source, pair.target)
    control = [one for one in "".join(texts) if unicodedata.category(one) == "Cc" and one != "\t"]
    long = [text for text in texts if len(text.split()) > bound]
    return not (pair.invalid_utf8 or control or long) and all(text.strip() for text in texts)


TEXT = st.text(st.sampled_from("ab \t\0\x7f\x85\u00a0\u3000é„😀\ud800"), max_size=9)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, st.booleans()), max_size=8), st.integers(1, 4))
def test_looking_for_suspects_drops_what_testing_each_pair_drops(
    values: list[tuple[str, str, bool]], bound: int
) -> None:
    pairs = [RawPair(n, *value) for n, value in enumerate(values, 1)]
    work = cleaner(empty=True, invalid_utf8=True, control_characters=True, max_length=bound)
    assert work.clean(pairs) == [pair for pair in pairs if by_definition(pair, bound)]


def test_what_is_no_pair_is_dropped_whatever_the_rules() -> None:
    pairs = [RawPair(1, "", "", misread="header"), RawPair(2, "", "", misread="columns")]
    work = cleaner()
    assert work.clean([*pairs, RawPair(3, "", ""), RawPair(4, "", "", misread="columns")]) == [
        RawPair(3, "", "")
    ]
    assert work.dropped == (Dropped("header", 1, 1), Dropped("columns", 2, 2))


def test_counts_go_on_over_calls() -> None:
    work = cleaner(empty=True, duplicates=True)
    assert work.clean([RawPair(1, "a", "b"), RawPair(2, "", "")]) == [RawPair(1, "a", "b")]
    assert work.clean([RawPair(3, "a", "b"), RawPair(4, "", "")]) == []
    assert work.clean([]) == []
    assert work.dropped == (Dropped("empty", 2, 2), Dropped("duplicates", 1, 3))


def test_duplicates_are_exact_and_sides_are_kept_apart() -> None:
    pairs = [
        RawPair(n, *pair)
        for n, pair in enumerate([("a b", "c"), ("a", "b c"), ("a b ", "c"), ("ab", "c")])
    ]
    assert cleaner(duplicates=True).clean(pairs) == pairs


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=12))
def test_seen_is_a_set(batches: list[list[int]]) -> None:
    seen, reference = Seen(), set[int]()
    for batch in batches:
        expected = []
        for number in batch:
            expected.append(number not in reference)
            reference.add(number)
        assert seen.first_times(np.array(batch, dtype=np.uint64)).tolist() == expected
    assert len(seen) == len(reference)


def test_seen_takes_eight_bytes_a_number() -> None:
    generator = np.random.default_rng(1)
    seen = Seen()
    tracemalloc.start()
    try:
        for _ in range(50):
            seen.first_times(generator.integers(2**64, size=8192, dtype=np.uint64))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(seen) == 50 * 8192
    assert held / len(seen) < 8.2


@pytest.mark.parametrize(
    ("text", "share"),
    [("", 1.0), ("abc", 1.0), ("a 1", 0.5), ("1 2", 0.0), ("é́", 1.0), ("a1\u3000b2", 0.5)],
)
def test_share_of_letters(text: str, share: float) -> None:
    assert share_of_letters(text) == share
