from __future__ import annotations

import pytest

from seq2seq.formats import html


@pytest.mark.parametrize(
    ("page", "segments"),
    [
        ("<p>a <b>b</b> c</p><div>d</div>", ["a <x1>b</x1> c", "d"]),
        ("<p><b>whole</b></p>", ["whole"]),
        ("<p><img src=x> a <img> b<br></p>", ["a <x1/> b"]),
        ("one<br>two <b>three<br>four</b>", ["one", "two <x1>three <x2/> four</x1>"]),
        ("<p>use <code>x <b>y</b></code> now</p>", ["use <x1/> now"]),
        ("<p>a <!-- <i>no</i> --> b</p>", ["a <x1/> b"]),
        ("<p>&lt;b&gt; is a tag, &lt;x1&gt; too</p>", ["<x1/> is a tag, <x2/> too"]),
        ("<p>AT&T &amp; 1 < 2 &amp;amp;</p>", ["AT&T & 1 < 2 &amp;"]),
        ("<p>a\n\t b&nbsp;c</p>", ["a b\xa0c"]),
        ("<td>&nbsp; a &nbsp;</td>", ["a"]),
        ("<p>12 : 30</p><p>&amp;</p>", []),
        ("<script>var a = '<p>no</p>'</script><style>no</style><pre>no</pre>yes", ["yes"]),
        ("<textarea>no</textarea><select><option>no</select>yes", ["yes"]),
        ("<div translate=no>no<p>no</p></div>yes", ["yes"]),
        ("<ul><li class='a notranslate'>no<li>yes</ul>", ["yes"]),
        ("<p translate=no>no<div>yes</div>", ["yes"]),
        ("<p>a <span translate=NO>no <i>no</i></span> b</p>", ["a <x1/> b"]),
        ("<title>T &amp; t</title><meta charset=UTF-8>", ["T & t"]),
        ("<a title='no' href=no>yes</a><input value=no>", ["yes"]),
        ("<my-own>a</my-own>b", ["a", "b"]),
        ("a</b> b", ["a<x1/> b"]),
        ("<script>no", []),
        (
            "<p>a <kbd>X <b>y</b></kbd> <samp>no</samp> <var>no</var> b</p>",
            ["a <x1/> <x2/> <x3/> b"],
        ),
        ("<xmp></p>no</xmp><textarea></p>no <b>no</b></textarea><p>yes", ["yes"]),
        ("<iframe></p>no</iframe><video>no <p>no</video><audio>no</audio>yes", ["yes"]),
        ("<p>a <math><mi>x</mi></math> b", ["a <x1/> b"]),
        ("<title>a <b> c</title><p>yes", ["a <x1/> c", "yes"]),
        ("<p>a &foo; b &ampx; c&bar;", ["a <x1/> b &x; c<x2/>"]),
        ("<p>a {{ x  y }}  b", ["a {{ x  y }} b"]),
        ("<p>a {{ x\n  y }}\n  {b:  >5}\n</p>", ["a {{ x y }} {b:  >5}"]),
    ],
)
def test_what_is_translated(page: str, segments: list[str]) -> None:
    assert html.read(page).segments == segments


def test_a_translation_is_escaped_and_its_surroundings_stay() -> None:
    page = "<p\nclass=x>\n  The <A HREF='?a&b'>red</A> car&hellip;\n</p >"
    document = html.read(page)
    assert document.segments == ["The <x1>red</x1> car…"]
    assert document.written(["Das <rote> & <x1>r</x1>ote"]) == (
        "<p\nclass=x>\n  Das &lt;rote&gt; &amp; <A HREF='?a&b'>r</A>ote\n</p >"
    )


NUMBERS = [f"&#{'1' * 5000}", f"&#{'1' * 5000};", "&#x" + "1" * 5000 + ";", "&#99999999;"]


@pytest.mark.parametrize("number", NUMBERS)
def test_numbers_of_no_characters_are_read_as_browsers_read_them(number: str) -> None:
    page = f"<p title='{number}'>a {number} <a href={number}>b</a></p>"
    document = html.read(page)
    assert document.segments == ["a \ufffd <x1>b</x1>"]
    assert document.written(["A <x1>B</x1>"]) == f"<p title='{number}'>A <a href={number}>B</a></p>"


def test_zeros_before_a_number_are_none() -> None:
    assert html.read(f"<p>a &#{'0' * 5000}65;").segments == ["a A"]


@pytest.mark.parametrize(
    ("page", "translation", "written"),
    [
        ("a <b>c<br>d</b>", "A <x1>C <x2/> D</x1>", "A <b>C<br>D</b>"),
        ("a <b>c <br>\n d</b>", "A <x1>C<x2/>D</x1>", "A <b>C <br>\n D</b>"),
        ("a <b>c<br><i>d</i></b>", "A <x1>C <x2/> <x3>D</x3></x1>", "A <b>C<br><i>D</i></b>"),
        ("a &foo; b", "B <x1/> A", "B &foo; A"),
        ("a {{ x  y }} b", "B  {{ x  y }} A", "B  {{ x  y }} A"),
    ],
)
def test_what_was_there_is_there_again(page: str, translation: str, written: str) -> None:
    assert html.read(page).written([translation]) == written
