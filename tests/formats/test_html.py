from __future__ import annotations

import pytest

from seq2seq.formats import html


@pytest.mark.parametrize(
    ("page", "segments"),
    [
        ("<p>a <b>b</b> c</p><div>d</div>", ["a <x1>b</x1> c", "d"]),
        ("<p><b>whole</b></p>", ["whole"]),
        ("<p><img src=x> a <img> b<br></p>", ["a <x1/> b"]),
        ("one<br>two <b>three<br>four</b>", ["one", "two <x1>three<x2/>four</x1>"]),
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
