"""What all formats have in common: what is not translated stays, byte for byte."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.errors import DataError
from seq2seq.formats import FORMATS, read_document
from seq2seq.formats.document import Document

UGLY = {
    "html": """<!DOCTYPE html>
<html lang=en><head><meta charset="utf-8"><title>A &amp; B</title>
<style>p > b { color: red }</style><script>if (a < b && c) { d("</p>") }</script></head>
<body class='x'><!-- not <b>this</b> --><p>One&nbsp;<b>two</b> &eacute; &#233; & three<br>
  four <I CLASS=up>five</i>
<ul><li translate="no">No<li>Yes <span class="a notranslate">not <b>me</b></span> again</ul>
<pre>  no\n  <b>no</b></pre><textarea>no</textarea><p>&lt;x1&gt; and <code>a < b</code>
 or <kbd>X</kbd>
<table><tr><td>a<td>&nbsp;b<tr><td>1 &lt; 2</table><p>a</> b </ x> c <? php ?> <![CDATA[ d ]]> e
<a href="?a=1&b=2" title='say "hi"'>link</a> </b></p> &# &unknown; <p/>x<br/>y <b""",
    "markdown": """---
title: no
---
# Head *one* #

A **bold `co*de`** [link](http://a.b "T")\\\nnext  \nlast &amp; \\* <b>x</b> a_b [^1] ![i](j)
> quote
> *more
> here* lazy
text

- [ ] task
\t- *tab*

```
no
```

    no

| A | *B* \\| C |
|---|:-:|
| a | `x|y` |

Setext
===

<div>
no
</div>

[^1]: Note.
[r]: http://x "no"
""",
    "srt": """1
00:00:01,000 --> 00:00:02,500
<i>One
two</i> three

2
00:00:03.000 --> 00:00:04.000  X1:10 Y1:20
- Who?
- {\\an8}<font color="#ff0000">Me</font> & you

2

3
0:00:05,000 --> 0:00:06,000

4
00:00:07,000 --> 00:00:08,000
1984
""",
}
VARIANTS = [
    lambda text: text,
    lambda text: text.replace("\n", "\r\n"),
    lambda text: f"\ufeff{text}",
]


def same(text: str, format_: str) -> Document:
    document = read_document(text.encode(), format_, "file")
    assert document.written(document.segments) == text
    assert not any("\n" in one or one != one.strip(" ") or not one for one in document.segments)
    return document


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("format_", UGLY)
def test_what_is_translated_to_itself_is_the_same_bytes(format_: str, variant) -> None:
    assert len(same(variant(UGLY[format_]), format_).segments) > 2


@given(st.data())
@pytest.mark.parametrize("format_", UGLY)
def test_so_is_any_soup_of_its_pieces(format_: str, data) -> None:
    ugly = UGLY[format_]
    sizes = st.tuples(st.integers(0, len(ugly) - 1), st.integers(1, 40))
    cuts = data.draw(st.lists(sizes, max_size=12))
    soup = "".join(ugly[begin : begin + size] for begin, size in cuts)
    if format_ == "srt":
        soup = "1\n00:00:01,000 --> 00:00:02,000\n" + re.sub("-+>", "->", soup)
    # Without what is refused: cut encodings, and declarations that are none.
    document = same(soup.replace("charset", "").replace("<![", ""), format_)
    written = document.written(["Ein <x1>neuer</x1> & <alter> Text"] * len(document.segments))
    read_document(written.encode(), format_, "file")


@pytest.mark.parametrize(
    ("format_", "text"),
    [
        ("html", "x </i></code>&--><! translate=no"),
        ("html", "<p/></script>&lt;'<x y &<code><!</code>&-->x y "),
        ("html", "a <b>c <i"),
        ("html", "<p>a<script>b > c </p> d"),
        ("markdown", "![**[\\\r\n[^1]\t `  \n\\&amp;](x)<http://a>*"),
        ("markdown", "`a` \nb `c`  \nd"),
        ("markdown", "***a** b*c****d**e**"),
        ("srt", "1\n00:00:01,000 --> 00:00:02,000\na\n- b\n\n\n- c"),
    ],
)
def test_what_needs_care_stays(format_: str, text: str) -> None:
    same(text, format_)


CUE = "1\n00:00:01,000 --> 00:00:02,000\n"
MESSAGE = '#, c-format\nmsgid "a %s"\nmsgstr ""\n\n'
PLURAL = 'msgid "a"\nmsgid_plural "b"\n'


@pytest.mark.parametrize(
    ("format_", "before", "repeated", "count"),
    [
        ("html", "", "<a ", 5000),
        ("html", "<p>a", "&nbsp;  ", 20000),
        ("html", "", "<meta>\n", 5000),
        ("html", "", "<?xml encoding='utf-8'>\n", 5000),
        ("markdown", "a dog ", "[^", 3000),
        ("markdown", "a dog ", "<!--a ", 3000),
        ("markdown", "a dog ", "a & b ", 6000),
        ("markdown", "a dog ", "a \\* b ", 6000),
        ("markdown", "a dog ", "[a](b) ", 1000),
        ("markdown", "", "a dog  \n", 1000),
        ("markdown", "", "| a dog", 300),
        ("srt", CUE, "a dog\n", 3000),
        ("srt", CUE, "日本\n", 3000),
        ("po", "", MESSAGE, 1000),
        ("po", "", "#, a\n", 30000),
        ("po", PLURAL, 'msgstr[{}] ""\n', 5000),
        ("po", "", 'msgid ""\nmsgstr "charset=utf-8"\n\n', 5000),
    ],
)
def test_large_documents_take_no_more_than_linear_time(
    format_: str, before: str, repeated: str, count: int
) -> None:
    """With time that grew by the square, the test's own limit would end it."""
    text = before + "".join(repeated.format(number) for number in range(4 * count))
    text += "\n|" + "-|" * 4 * count if repeated.startswith("|") else ""
    text += MESSAGE if repeated.startswith("#,") else ""
    document = read_document(text.encode(), format_, "file")
    assert len(document.lines) == len(document.segments)
    document.written(["x" if format_ == "po" else f"Ein {one}" for one in document.segments])


@pytest.mark.parametrize("format_", FORMATS)
def test_an_empty_document(format_: str) -> None:
    if format_ == "xliff":
        with pytest.raises(DataError, match=r"^file, line 1: not XML: no element found$"):
            read_document(b"", format_, "file")
        return
    for text in ("", "\n", "\ufeff"):
        assert same(text, format_).segments == []


@pytest.mark.parametrize("format_", FORMATS)
def test_what_is_not_utf8_is_refused(format_: str) -> None:
    with pytest.raises(DataError) as caught:
        read_document(b"a\r\n\xfcber\n", format_, "file")
    assert str(caught.value) == (
        "file, line 2: not UTF-8: convert it, as in: iconv -f ENCODING -t utf-8"
    )


@pytest.mark.parametrize(
    ("format_", "text", "line"),
    [
        ("html", '<p>\n<meta charset="latin1">', 2),
        ("html", '<meta http-equiv=x content="text/html; charset=latin1">', 1),
        ("html", '<?xml version="1.0" encoding="latin1"?><p>', 1),
        ("xliff", '<?xml version="1.0" encoding="latin1"?><xliff/>', 1),
        ("po", 'msgid ""\nmsgstr "Content-Type: text/plain; charset=latin1\\n"\n', 2),
    ],
)
def test_another_encoding_is_refused(format_: str, text: str, line: int) -> None:
    with pytest.raises(DataError) as caught:
        read_document(text.encode(), format_, "file")
    assert str(caught.value) == (
        f"file, line {line}: declares the encoding 'latin1', but only UTF-8 is read: convert it, "
        "as in: iconv -f latin1 -t utf-8, and declare UTF-8"
    )


def test_segments_know_their_lines() -> None:
    document = read_document(b"<p>one<br>two\n\n<p>three", "html", "file")
    assert list(zip(document.segments, document.lines, strict=True)) == [
        ("one", 1),
        ("two", 1),
        ("three", 3),
    ]


def test_as_many_translations_as_segments_are_needed() -> None:
    document = read_document(b"<p>one", "html", "file")
    with pytest.raises(ValueError, match="2 translations for 1 segments"):
        document.written(["eins", "zwei"])
    assert document.written(["ei\nns"]) == "<p>ei ns"


def test_the_case_of_fragments() -> None:
    case = Path(__file__).with_name("fragments.html")
    assert len(same(case.read_bytes().decode(), "html").segments) == 5
