"""Codes in segments: whatever a translation does to them, each comes out once, and nested."""

from __future__ import annotations

import re
from collections import Counter
from html import escape

from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from seq2seq.formats import html, xliff
from seq2seq.text.spans import Finder

WORDS = st.lists(
    st.sampled_from(
        ["red", "car", "a &amp; b", "&lt;b&gt;", "&lt;x1&gt;", "2 &gt; 1", "ü", "&#60;"]
    ),
    max_size=3,
).map(" ".join)


def trees(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    names = st.sampled_from(["b", "i", "a", "span"])
    pairs = st.tuples(names, inner).map(lambda one: f'<{one[0]} id="&lt;">{one[1]}</{one[0]}>')
    empties = st.sampled_from(["<br/>", "<img/>", "<!-- <b> -->", "<code>x <b>y</b></code>"])
    return st.lists(st.one_of(WORDS, pairs, empties), max_size=4).map(" ".join)


MARKUP = st.recursive(WORDS, trees, max_leaves=12)
TAGS = re.compile(r"<[^>]*>")
MARKER = re.compile(r"(</?x\d+/?>)")


def as_xml(text: str) -> str:
    return f'<div xmlns="x">{text}</div>'


@given(MARKUP)
def test_every_code_of_a_segment_is_found_as_a_tag(text: str) -> None:
    for segment in html.read(as_xml(text)).segments:
        spans = [one for one in Finder().spans(segment) if one.kind == "tag"]
        assert [one.text for one in spans] == MARKER.findall(segment)
        names = [one.tag for one in spans]
        assert len({*names}) == len(names)  # unique


@given(MARKUP, st.randoms(use_true_random=False))
def test_codes_come_out_once_and_nested_whatever_happens_to_them(text: str, random) -> None:
    page = as_xml(text)
    document = html.read(page)
    mangled = []
    for segment in document.segments:
        tokens = MARKER.split(segment) + random.choices(MARKER.split(segment), k=2)
        random.shuffle(tokens)
        mangled.append(" ".join(tokens[: random.randint(0, len(tokens))]) + " & <x99> neu")
    written = document.written(mangled)
    etree.fromstring(written)  # well-formed
    assert Counter(TAGS.findall(written)) == Counter(TAGS.findall(page))


@given(MARKUP)
def test_a_translation_reads_as_it_was_given(text: str) -> None:
    document = html.read(as_xml(text))
    changed = [segment.replace("red", "rot & <gut>") + " Ende." for segment in document.segments]
    again = html.read(document.written(changed)).segments
    plain = [MARKER.sub("", segment) for segment in again]
    expected = [MARKER.sub("", one.replace(" <gut>", " ")) for one in changed]
    assert [" ".join(one.split()) for one in plain] == [" ".join(one.split()) for one in expected]


@given(MARKUP)
def test_the_order_of_words_may_change_and_codes_go_with_them(text: str) -> None:
    source = f'<xliff version="1.2"><trans-unit><source>a <g id="1">{escape("b<")}</g> c</source>'
    document = xliff.read(f"{source}</trans-unit></xliff>")
    assert document.segments == ["a <x1>b<</x1> c"]
    written = document.written(["<x1>B<</x1> c a"])
    assert '><g id="1">B&lt;</g> c a</target>' in written


def test_halves_of_pairs_that_lie_in_several_segments_keep_their_order() -> None:
    document = html.read("<p>a <b>b <i>c<p>d</i> e</b> f")
    assert document.segments == ["a <x1/>b <x2/>c", "d<x1/> e<x2/> f"]
    assert document.written(["<x2/>A B<x1/> C", "<x2/>D <x1/>E F"]) == (
        "<p><b>A B<i> C<p></i>D </b>E F"
    )


def test_what_is_nested_too_deeply_stays_as_it_is() -> None:
    deep = "<p>" + "a <b>" * 5000 + "b" + "</b>" * 5000 + "<p>c"
    assert html.read(deep).segments == ["c"]
