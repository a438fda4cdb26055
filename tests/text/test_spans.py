"""Spans that are taken over as they are: which are found, and what is left without them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cases import ALL_KINDS

from seq2seq.text.spans import KINDS, Finder, lost_integers, unknown_words, without

FIND = Finder()


def found(text: str, finder: Finder = FIND) -> list[tuple[str, str]]:
    return [(span.text, span.kind) for span in finder.spans(text)]


@pytest.mark.parametrize(("text", "kind"), ALL_KINDS)
def test_each_kind_is_found_whole(text: str, kind: str) -> None:
    assert found(f"Look at {text} here.") == [(text, kind)]
    assert found(f"{text} is it, said ({text}).") == [(text, kind)] * 2


@pytest.mark.parametrize(
    "text",
    [
        "100 men and 2 dogs, 3 of them in No. 5.",
        "a < b and c > d",
        "50 percent (or more); it's $ or %, he said.",
        "It was 5 in the morning, in the 1990s.",
        "snake_case and __ and {not a name} and { }",
        "A man - in blue - says: \"Hello!\" ... 'so what?'",
        "犬が好きです。",
        "I paid 5 dollars for 3 m&ms",
        "He is 100% sure",  # it has one, as below
    ][:-1],
)
def test_plain_text_has_none(text: str) -> None:
    assert found(text) == []


def test_a_full_stop_belongs_to_no_address() -> None:
    assert found("See https://a.example/b?c=(d). And www.x.example, or a@b.example!") == [
        ("https://a.example/b?c=(d)", "url"),
        ("www.x.example", "url"),
        ("a@b.example", "email"),
    ]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("详情见http://a.cn，谢谢大家", ["http://a.cn"]),
        ("联系a@b.cn谢谢", ["a@b.cn"]),
        ("SEE HTTP://X.DE NOW, Www.x.de", ["HTTP://X.DE", "Www.x.de"]),
        ("LIKE '%%%s%%' and %d%%%s", ["%%", "%s", "%%", "%d", "%%", "%s"]),
        ("%%NAME%%, 5%%%s and 100%%d", ["%%NAME%%", "5%%", "%s", "100%%"]),
        ("1 %s left, 100 %(unit)s, 5 %1$s, 10 $HOME", ["%s", "%(unit)s", "%1$s", "$HOME"]),
        ("Les 2 m'ont vu", []),
        ("10 % of 5 $", ["10 %", "5 $"]),
    ],
)
def test_what_stands_next_to_a_span(text: str, spans: list[str]) -> None:
    assert [one for one, _ in found(text)] == spans


@pytest.mark.parametrize(
    "text",
    ["_" * 200 + "a{x}", "%" + "0" * 20_000, "%(a)" + "0" * 20_000, "111 " * 5_000, "a." * 9_000],
)
@pytest.mark.timeout(10)
def test_ugly_lines_take_no_time(text: str) -> None:
    FIND.spans(text)


def test_codes_of_documents_are_always_found() -> None:
    assert found("<x1>a</x1> <b>", Finder(())) == [("<x1>", "tag"), ("</x1>", "tag")]


def test_what_is_joined_to_a_placeholder_belongs_to_it() -> None:
    assert found("Open /home/{user}/a.txt, {name}.txt or %s.") == [
        ("/home/{user}/a.txt", "placeholder"),
        ("{name}.txt", "placeholder"),
        ("%s", "placeholder"),
    ]


@pytest.mark.parametrize(
    ("patterns", "text", "spans"),
    [
        (
            [r"\b\d{4,}\b"],
            'A <a href="/2014/x">park</a> 2014',
            ['<a href="/2014/x">', "</a>", "2014"],
        ),
        ([r"\d{4}", '"[^"]*"', r"Art\.\s+\w+"], 'The "year 2014 dog" runs', ['"year 2014 dog"']),
        ([r"\d{4}"], "{x:2014} https://a.b/2014/c", ["{x:2014}", "https://a.b/2014/c"]),
        ([r"\d+"], "A <x1>red</x1> 15", ["<x1>", "</x1>", "15"]),
        ([r"<x1>red.*"], "A <x1>red</x1> 15", ["<x1>", "</x1>"]),
        ([r"m \d+", r"\d+ k"], "a 10 km and m 10 km", ["10 km", "m 10"]),
    ],
)
def test_own_patterns_and_the_others(patterns: list[str], text: str, spans: list[str]) -> None:
    assert [span.text for span in Finder(patterns=patterns).spans(text)] == spans


@pytest.mark.parametrize(
    "span",
    [
        "{user}.name@example.com",
        "{proxy}/https://example.org/x",
        "{from}-10:45",
        "/home/{user}/2024-01-31T10:45:00Z",
        "#{x}_a@b.de",
    ],
)
def test_a_placeholder_joined_to_another_span_is_one_with_it(span: str) -> None:
    assert [one.text for one in FIND.spans(f"Write {span} in a line")] == [span]


def test_own_patterns_come_first_and_may_have_groups() -> None:
    assert found(r"a \1 b", Finder((), (r"\\1",))) == [(r"\1", "own")]
    finder = Finder((), (r"([A-Z])-\1", r"x{3}"))
    assert found("see A-A, A-B, xxx at https://a.example", finder) == [
        ("A-A", "own"),
        ("xxx", "own"),
    ]
    many = Finder(KINDS, tuple(f"q{number}(q)" for number in range(100)))
    assert found("on 2024-01-31, q99q", many) == [("2024-01-31", "number"), ("q99q", "own")]
    ten = "(a)(b)(c)(d)(e)(f)(g)(h)(i)(j)"
    assert found("x abcdefghijj", Finder((), (rf"{ten}\10",))) == [("abcdefghijj", "own")]
    both = Finder(KINDS, (r"a@\w+", r"a@.*e"))
    assert found("a@b.example 3.5 2024-01-31", both) == [
        ("a@b.example", "own"),
        ("3.5", "number"),
        ("2024-01-31", "number"),
    ]


@pytest.mark.parametrize(
    ("text", "plain", "places"),
    [
        ("Hello %1$s, you", "Hello, you", [5]),
        ("Open %s or go", "Open  or go", [5]),
        ("write to %s.", "write to.", [8]),
        ("%s", "", [0]),
        ("a <b>red</b> car", "a red car", [2, 5]),
        ("un<b>believ</b>able", "unbelievable", [2, 8]),
        ("<li>One</li><li>Two</li>", "One Two", [0, 3, 4, 7]),
        ("x{a}y", "x{a}y", []),
        ("no span", "no span", []),
        ("(%s)", "()", [1]),
    ],
)
def test_the_text_without_spans(text: str, plain: str, places: list[int]) -> None:
    spans = FIND.spans(text) if places else []
    left, left_out = without(text, spans)
    assert (left, [one.at for one in left_out]) == (plain, places)


PARTS = st.lists(
    st.sampled_from(["a", "b c", " ", ". ", ", ", "(", ")", *(t for t, _ in ALL_KINDS)])
)


@given(PARTS.map("".join))
def test_places_are_in_order_and_no_letter_is_lost(text: str) -> None:
    spans = FIND.spans(text)
    assert all(text[span.begin : span.end] == span.text for span in spans)
    plain, left_out = without(text, spans)
    places = [one.at for one in left_out]
    assert places == sorted(places)
    assert all(0 <= place <= len(plain) for place in places)
    rest = list(text)
    for span in reversed(spans):
        del rest[span.begin : span.end]
    assert "".join(plain.split()) == "".join("".join(rest).split())


def spells(known: str) -> Callable[[str], bool]:
    return lambda text: set(text) <= set(known)


def test_words_that_cannot_be_spelled() -> None:
    text = "I like «Łuk» ☃ x☃y (☃) cat"
    words = unknown_words(text, spells("Ilikeuxycat «»()"))
    assert [(one.text, text[one.begin : one.end]) for one in words] == [
        (word, word) for word in ("Łuk", "☃", "x☃y", "☃")
    ]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("I have C++ here, #tag.", ["C++", "#tag"]),
        (r"I \n Wi-Fi™ here", [r"\n", "Wi-Fi™"]),
        ("I have [here] a~b", ["[", "]", "a~b"]),
        ("here~ I| have", ["~", "|"]),
    ],
)
def test_symbols_belong_to_their_words(text: str, spans: list[str]) -> None:
    words = unknown_words(text, spells("Ihaverb ngt.,nWiFCy-"))
    assert [one.text for one in words] == spans


@pytest.mark.parametrize(
    ("text", "translation", "is_lost"),
    [
        ("15 men", "15 Männer", False),
        ("15 men", "1 Männer", True),
        ("15 men and 15 dogs", "15 Männer und Hunde", True),
        ("5 men", "fünf Männer", False),
        ("in 1990年", "1990", False),
        ("1990年", "199年", True),
        ("１５ men", "15 Männer", False),
        ("a 3D film, 12th row, 1,024 and 10:45", "nichts", False),
        ("15 men of 15 km/h", "15 km/h Männer", True),
    ],
)
def test_whole_numbers_that_are_lost(text: str, translation: str, is_lost: bool) -> None:
    assert lost_integers(text, translation) is is_lost
    kept = [one.text for one in Finder(integers=True).spans(text)]
    assert not is_lost or not lost_integers(text, " ".join(kept))


def test_the_given_cases_hold_spans_of_all_sorts() -> None:
    lines = (Path(__file__).parent.parent / "support/spans.en").read_text(encoding="utf-8")
    kinds = {span.kind for line in lines.split("\n") for span in FIND.spans(line)}
    assert kinds == set(KINDS)
