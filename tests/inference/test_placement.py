"""Where spans come into a translation again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seq2seq.inference.placement import insert, place
from seq2seq.search.model import Floats32
from seq2seq.text.spans import Finder, without

FIND = Finder()


def pieces_of(text: str) -> list[str]:
    """Words, and the marks around them by themselves."""
    return re.findall(r"\w+|[^\w\s]", text)


def offsets_of(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer(r"\w+|[^\w\s]", text))]


def moved(source: str, target: str, weights_TS: Floats32 | None = None) -> str:
    """Puts a source's spans into a target of which each gap is free."""
    plain, left_out = without(source, FIND.spans(source))
    begins = [len(pieces_of(plain[: one.at])) for one in left_out]
    size = len(pieces_of(target)), len(pieces_of(plain))
    placed = place(left_out, begins, weights_TS, size, range(size[0] + 1))
    return insert(target, offsets_of(target), placed, left_out)


def attention(pairs: Sequence[int], source: int) -> Floats32:
    """Each target piece looks at one source piece."""
    weights = np.zeros((len(pairs), source), dtype=np.float32)
    weights[np.arange(len(pairs)), list(pairs)] = 1.0
    return weights


def test_a_span_goes_where_its_neighbours_went() -> None:
    weights = attention([3, 0, 1, 2], 4)
    found = moved("one two three %s four", "vier eins zwei drei", weights)
    assert found == "vier eins zwei drei %s"
    weights = attention([0, 1, 2, 3], 4)
    assert (
        moved("one two %s three four", "eins zwei drei vier", weights) == "eins zwei %s drei vier"
    )


def test_a_span_stands_no_later_than_it_may() -> None:
    _, left_out = without("it costs %s {a}.", FIND.spans("it costs %s {a}."))
    weights = attention([0, 1, 0], 3)  # the full stop was made of the first word
    assert place(left_out, [2, 2], weights, (3, 3), range(4)) == [(3, 0), (3, 1)]
    assert place(left_out, [2, 2], weights, (3, 3), range(4), [2, 2]) == [(2, 0), (2, 1)]


def test_tags_go_around_what_was_inside_them() -> None:
    weights = attention([0, 2, 1, 3], 4)
    source = "the <b>red</b> <i>big</i> car"
    assert moved(source, "das große rote Auto", weights) == "das <i>große</i> <b>rote</b> Auto"


def test_tags_stay_nested_whatever_the_attention() -> None:
    source = "<p>a <b>b <i>c</i> d</b> e<br/> <u>f</u></p>"
    random = np.random.default_rng(1)
    for _ in range(200):
        target = " ".join("uvwxyz"[: int(random.integers(1, 7))])
        weights = random.dirichlet(np.full(6, 0.2), len(target.split())).astype(np.float32)
        found = moved(source, target, weights)
        root = ElementTree.fromstring(f"<all>{found}</all>")
        assert "".join(root.itertext()).split() == target.split()
        assert sorted(re.findall(r"<.*?>", found)) == sorted(re.findall(r"<.*?>", source))


@pytest.mark.parametrize(
    ("source", "target", "found"),
    [
        ("Hello %s, you", "Hallo, du", "Hallo %s, du"),
        ("Write to %s.", "Schreib an.", "Schreib an %s."),
        ("%s is here", "ist hier", "%s ist hier"),
        ("See (%s) now", "Siehe () jetzt", "Siehe (%s) jetzt"),
        ("{a} {b}", "", "{a} {b}"),
        ("{a}{b} x", "y", "{a}{b} y"),
        ("a <b>b</b>.", "c d.", "c <b>d</b>."),
        ("<b>Stop</b>", "Halt", "<b>Halt</b>"),
        ("Go 😀", "Los", "Los 😀"),
        ("<b>x", "y", "<b>y"),
        ("a </i> b", "c d", "c </i> d"),
    ],
)
def test_spaces_around_spans(source: str, target: str, found: str) -> None:
    assert moved(source, target) == found


def test_deep_nesting() -> None:
    source = "<b>" * 1100 + "a" + "</b>" * 1100
    assert moved(source, "x") == source.replace("a", "x")


def test_without_words_the_order_is_kept() -> None:
    plain, left_out = without("a {x} b {y}", FIND.spans("a {x} b {y}"))
    assert place(left_out, [1, 2], None, (0, len(plain.split())), [0]) == [(0, 0), (0, 1)]


WORDS = st.sampled_from("Haus Hund und der ein 犬 é".split())
SPANS = st.sampled_from(["%s", "{name}", "😀", "https://a.example/b", "3,14 €", "__X__"])


@st.composite
def tagged(draw: st.DrawFn, depth: int = 2) -> list[str]:
    """Words and spans, some of them in nested tags."""
    parts: list[str] = []
    for kind in draw(st.lists(st.sampled_from("wwwst"), max_size=6)):
        if kind == "w":
            parts.append(draw(WORDS))
        elif kind == "s":
            parts.append(draw(SPANS))
        elif depth:
            inner = draw(tagged(depth - 1))
            name = draw(st.sampled_from("bi"))
            if any(part in "Haus Hund und der ein 犬 é" for part in inner):
                inner[0], inner[-1] = f"<{name}>{inner[0]}", f"{inner[-1]}</{name}>"
                parts += inner
    return parts


@given(tagged(), st.sampled_from(["", ".", "!?"]))
@settings(max_examples=300)
def test_a_text_translated_to_itself_has_its_spans_where_they_were(
    parts: list[str], end: str
) -> None:
    source = " ".join(parts) + end
    plain, _ = without(source, FIND.spans(source))
    target = " ".join(plain.split())
    size = len(pieces_of(target))
    found = moved(source, target, np.eye(size, dtype=np.float32))
    assert found.split() == source.split()


@given(tagged(), st.lists(WORDS, max_size=8), st.integers(0, 2**32 - 1))
def test_each_span_comes_once(parts: list[str], target: list[str], seed: int) -> None:
    source, text = " ".join(parts), " ".join(target)
    plain, _ = without(source, FIND.spans(source))
    shape = len(pieces_of(text)), len(pieces_of(plain))
    weights = np.random.default_rng(seed).random(shape).astype(np.float32)
    found = moved(source, text, weights)
    spans = sorted(span.text for span in FIND.spans(source))
    assert sorted(span.text for span in FIND.spans(found)) == spans
    rest, _ = without(found, FIND.spans(found))
    assert rest.split() == text.split()
