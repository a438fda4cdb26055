from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from seq2seq.errors import MissingExtraError
from seq2seq.formats import markdown

TABLE = "| {} | b |\n|---|---|\n| c | d |\n"


@pytest.mark.parametrize(
    ("text", "segments"),
    [
        ("# One *two* #\n\nthree\n===\n", ["One <x1>two</x1>", "three"]),
        (
            "a **b** _c_ ***d*** ~~e~~ f",
            ["a <x1>b</x1> <x2>c</x2> <x3><x4>d</x4></x3> <x5>e</x5> f"],
        ),
        (
            "a [b *c*](d 'e') [f][r] ![g](h) i\n\n[r]: k",
            ["a <x1>b <x2>c</x2></x1> <x3>f</x3> <x4/> i"],
        ),
        ("a `b *c*` <http://d.e> <br> <i>f</i> g", ["a <x1/> <x2/> <x3/> <x4>f</x4> g"]),
        ("a \\* &amp; &lt;b> \\<x1> snake_case 5 * 3", ["a * & <x1/> <x2/> snake_case 5 * 3"]),
        ("a\nb  \nc\\\nd", ["a b", "c", "d"]),
        ("> a\n> *b\nc* d\n\n1. e\n   - f\n\n     g", ["a <x1>b c</x1> d", "e", "f", "g"]),
        ("- [ ] a\n- [x] b [^1] c\n\n[^1]: d e", ["a", "b <x1/> c", "d e"]),
        ("a\n\n    no\n\n```\nno\n```\n<div>\nno\n</div>\n\n---\n", ["a"]),
        ("---\nno: no\n---\na", ["a"]),
        ("+++\r\nno = 1\r\n+++\r\na", ["a"]),
        (TABLE.format("a \\| *x*"), ["a | <x1>x</x1>", "b", "c", "d"]),
        ("12\n\n`x`\n\n![a](b)", []),
        ("a &foo; b \\&bar; &amp;", ["a <x1/> b &bar; &"]),
        ("a [^b_c_d] [^e", ["a <x1/> [^e"]),
    ],
)
def test_what_is_translated(text: str, segments: list[str]) -> None:
    assert markdown.read(text).segments == segments


@pytest.mark.parametrize(
    ("text", "translation", "written"),
    [
        ("a **b** c", "<x1>B</x1> c_d a * 2", "**B** c_d a * 2"),
        ("a **b** c", "*B* <x1>d</x1>", "\\*B\\* **d**"),
        ("a b", "1. b", "1\\. b"),
        ("a b", "- b", "\\- b"),
        ("a b", "# b", "\\# b"),
        ("a b", "&amp; <i>", "\\&amp; \\<i\\>"),
        ("a [b](c) d", "[x](y) <x1>b</x1>", "\\[x\\](y) [b](c)"),
        ("a **b** c", "中<x1>“文”</x1>中", "中 **“文”** 中"),
        ("a **b** c", "a<x1> b </x1>c", "a **b** c"),
        ("> a\n> b", "c d", "> c d"),
        (r"[A dog \\](http://a.b)", "Hund \\", r"[Hund \\](http://a.b)"),
        (r"[A dog \]](http://a.b)", "Hund ]", r"[Hund \]](http://a.b)"),
        (r"[\] A dog](http://a.b)", "] Hund", r"[\] Hund](http://a.b)"),
        (r"**A dog\***", "Hund*", r"**Hund\***"),
        (r"*A dog \**", "Hund *", r"*Hund \**"),
        (r"~~A dog \~~~", "Hund ~", r"~~Hund \~~~"),
        (r"\[dog\]: cat", "[Hund]: Katze", r"\[Hund\]: Katze"),
        (r"# A dog \#", "Hund #", r"# Hund \#"),
        (r"# A dog \# #", "Hund #", r"# Hund \# #"),
        ("a &foo; b", "<x1/> A", "&foo; A"),
        ("a b\r\n", "A\rB", "A B\r\n"),
    ],
)
def test_what_is_written_reads_as_it_was_given(text: str, translation: str, written: str) -> None:
    assert markdown.read(text).written([translation]) == written


def test_a_line_behind_another_begins_no_block() -> None:
    assert markdown.read("a  \nb").written(["A", "- b"]) == "A  \n\\- b"


def test_bars_in_a_table_are_escaped() -> None:
    document = markdown.read(TABLE.format("a"))
    assert document.written(["a|b", *document.segments[1:]]) == TABLE.format("a\\|b")


def shape(text: str) -> list[str]:
    """The blocks and marks of a page, without its texts."""
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    inner = (child for token in tokens for child in [token, *(token.children or [])])
    return [one.type for one in inner if one.type not in ("text", "softbreak")]


@pytest.mark.parametrize(
    ("text", "translation"),
    [
        ("a\n\nb c", ""),
        ("a\n\nb <div> c", "<x1/> B"),
        ("a\n\n[^1]: b c", "b"),  # would be where [^1] leads to
        ("a\n\n- b *c* d", "<x1></x1>"),
    ],
)
def test_what_cannot_be_written_stays_and_is_told(text: str, translation: str) -> None:
    kept: list[int] = []
    assert markdown.read(text).written(["A", translation], kept.append) == f"A{text[1:]}"
    assert kept == [3]


def test_what_two_units_break_together_stays() -> None:
    document = markdown.read("one\n\ntwo\n\nthree\n")
    sound = document.is_sound
    assert sound is not None
    assert sound("eins\n\nzwei\n\ndrei\n")
    assert not sound("eins\n\nzwei\n\n# drei\n")
    assert not sound("[eins]: x\n\nzwei\n\ndrei\n")
    picky = replace(document, is_sound=lambda text: "eins" not in text or "drei" not in text)
    kept: list[int] = []
    assert picky.written(["eins", "zwei", "drei"], kept.append) == "eins\n\nzwei\n\nthree\n"
    assert kept == [5]
    never = replace(document, is_sound=lambda text: text == document.text)
    assert never.written(["eins", "zwei", "drei"]) == document.text


PAGE = (
    "**s**\n\n[t](u)\n\n- *v*\n- w  \n  x\n\n"
    "# a *b*\n\n> c **d** [e](f)\n> g\n\n1. h `i`\n2. ~~j~~ k\n\n"
    "| l | m |\n|---|---|\n| n | o |\n"
)


@given(st.data())
def test_a_page_keeps_its_shape_whatever_is_written(data) -> None:
    document = markdown.read(PAGE)
    texts = st.text("ab .,1-*_`[]()<>&#|\\~!+=ü", min_size=1, max_size=12)
    changed = [f"{one} {data.draw(texts)} z" for one in document.segments]
    written = document.written(changed)
    assert shape(written) == shape(PAGE)


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    with pytest.raises(MissingExtraError) as caught:
        markdown.read("a")
    assert str(caught.value) == (
        "reading Markdown needs the package 'markdown-it-py', which is not installed: "
        "pip install 'seq2seq[formats]'"
    )
