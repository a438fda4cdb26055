from __future__ import annotations

import re

import pytest
from lxml import etree

from seq2seq.errors import DataError
from seq2seq.formats import read_document, xliff

ONE = """<?xml version='1.0' encoding="UTF-8"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
 <file original="x" source-language="en" target-language="de" datatype="plaintext"><body>
{}
 </body></file>
</xliff>
"""
TWO = """<xliff version="2.0" xmlns="urn:oasis:names:tc:xliff:document:2.0"
 srcLang="en" trgLang="de">
<file id="f"><unit id="u">{}</unit></file></xliff>"""


def unit(inside: str, attributes: str = "") -> str:
    return ONE.format(f'  <trans-unit id="1"{attributes}>{inside}</trans-unit>')


def inner(text: str, before: str, after: str) -> str:
    start, end = before.split("{}")
    return text.removeprefix(start).removesuffix(end).removeprefix(after)


NEW = '<target state="needs-review-translation" state-qualifier="leveraged-mt">'


@pytest.mark.parametrize(
    ("source", "segment", "translation", "target"),
    [
        ("a &amp; b", "a & b", "A <&> B", "A &lt;&amp;&gt; B"),
        (' a <g id="1">b</g> c', "a <x1>b</x1> c", "<x1>B</x1> AC", ' <g id="1">B</g> AC'),
        ('a<x id="1"/> b', "a<x1/> b", "A B<x1/>", 'A B<x id="1"/>'),
        (
            'a <bpt id="1">&lt;b></bpt>b<ept id="1">&lt;/b></ept> c',
            "a <x1>b</x1> c",
            "C <x1>B</x1>",
            'C <bpt id="1">&lt;b></bpt>B<ept id="1">&lt;/b></ept>',
        ),
        (
            'a <bx id="1" rid="7"/>b<ex id="2" rid="7"/> c',
            "a <x1>b</x1> c",
            "A</x1> lost <x1>",
            'A<bx id="1" rid="7"/> lost <ex id="2" rid="7"/>',
        ),
        (
            'a <mrk mtype="protected">no <g id="1">no</g></mrk> b',
            "a <x1/> b",
            "b <x1/>",
            'b <mrk mtype="protected">no <g id="1">no</g></mrk>',
        ),
        ("a <![CDATA[<b> & c]]> d", "a <x1/> & c d", "A <x1/>", "A &lt;b&gt;"),
        ("a\n  b", "a b", "A B\x0b", "A B"),
        ("&lt;x1&gt; a", "<x1/> a", "A <x1/>", "A &lt;x1&gt;"),
    ],
)
def test_a_source_gets_a_target(source: str, segment: str, translation: str, target: str) -> None:
    text = unit(f"\n   <source>{source}</source>\n  ")
    document = xliff.read(text)
    assert document.segments == [segment]
    written = document.written([translation])
    assert written == unit(f"\n   <source>{source}</source>\n   {NEW}{target}</target>\n  ")
    etree.fromstring(written.encode())
    assert re.sub(r"(?s)\n   <target.*</target>", "", document.written([segment])) == text
    assert xliff.read(written).segments == []


@pytest.mark.parametrize(
    "inside",
    [
        "<source>a</source><target>b</target>",
        '<source><x id="1"/></source><target state="new"><x id="1"/></target>',
        '<source>1</source><target><mrk mtype="seg" mid="0"/></target>',
        '<source>a</source><target><mrk mtype="protected">b</mrk></target>',
        "<source/>",
        "<source> </source>",
        "<note>a</note>",
        '<alt-trans><source>a</source></alt-trans><source translate="no"></source>',
    ],
)
def test_what_stays(inside: str) -> None:
    document = xliff.read(unit(inside))
    assert document.segments == []
    assert document.written([]) == unit(inside)


def test_what_is_not_to_be_translated_stays() -> None:
    text = unit("<source>a</source>", ' translate="no"')
    assert xliff.read(text).written([]) == text
    group = ONE.format(
        '<group translate="no"><trans-unit><source>a</source></trans-unit>'
        '<trans-unit translate="yes"><source>b</source></trans-unit></group>'
    )
    assert xliff.read(group).segments == ["b"]


@pytest.mark.parametrize(
    ("empty", "filled"),
    [
        ("<target/>", '<target state="needs-review-translation">A</target>'),
        ("<target></target>", '<target state="needs-review-translation">A</target>'),
        (
            "<target\nstate='new' xml:lang=\"de\">\n</target>",
            '<target\nstate="needs-review-translation" xml:lang="de">A</target>',
        ),
    ],
)
def test_an_empty_target_is_filled(empty: str, filled: str) -> None:
    before = "<source>a</source><seg-source>a</seg-source>"
    assert xliff.read(unit(before + empty)).written(["A"]) == unit(before + filled)


STATE = 'state="needs-review-translation"'
SEGMENT = '<mrk mtype="seg" mid="{}">{}</mrk>'
DIVIDED = SEGMENT.format(0, "One <g id='1'>dog</g>.") + " " + SEGMENT.format(1, "Two.")
EMPTY = SEGMENT.format(0, "") + " " + SEGMENT.format(1, "")
GERMAN = SEGMENT.format(0, "Ein <g id='1'>Hund</g>.") + " " + SEGMENT.format(1, "Zwei.")


@pytest.mark.parametrize(
    ("inside", "filled"),
    [
        ("", f"{NEW}{GERMAN}</target>"),
        ("<target></target>", f"<target {STATE}>{GERMAN}</target>"),
        (f"<target>{EMPTY}</target>", f"<target {STATE}>{GERMAN}</target>"),
        (
            f"<target><!-- keep -->{SEGMENT.format(0, '')}<x id='3'/></target>",
            f"<target {STATE}><!-- keep -->{GERMAN}</target>",
        ),
    ],
)
def test_segments_are_translated_each_by_itself(inside: str, filled: str) -> None:
    before = f"<source>One dog. Two.</source><seg-source>{DIVIDED}</seg-source>"
    document = xliff.read(unit(before + inside))
    assert document.segments == ["One <x1>dog</x1>.", "Two."]
    written = document.written(["Ein <x1>Hund</x1>.", "Zwei."])
    assert written == unit(before + filled)
    etree.fromstring(written.encode())
    assert xliff.read(written).segments == []


def test_of_segments_only_those_without_a_target_are_translated() -> None:
    before = f"<source>One dog. Two.</source><seg-source>{DIVIDED}</seg-source>"
    for empty in ('<mrk mtype="seg" mid="1"/>', SEGMENT.format(1, "<x/> ")):
        inside = f"<target>{SEGMENT.format(0, 'Hund')} {empty}{SEGMENT.format(2, '')}</target>"
        document = xliff.read(unit(before + inside))
        assert document.segments == ["Two."]
        assert document.written(["Zwei."]) == unit(
            before + inside.replace(empty, SEGMENT.format(1, "Zwei."))
        )


def test_a_segment_of_a_source_that_is_not_divided() -> None:
    inside = "<source>One dog.</source><target>{}</target>"
    document = xliff.read(unit(inside.format(SEGMENT.format(0, ""))))
    assert document.segments == ["One dog."]
    assert document.written(["Ein Hund."]) == unit(
        inside.format(SEGMENT.format(0, "Ein Hund.")).replace("<target", f"<target {STATE}")
    )


@pytest.mark.parametrize("inside", ["<x id='1'/>", "<ph>&lt;br></ph>", "<g><mrk/></g>"])
def test_codes_alone_are_no_target(inside: str) -> None:
    document = xliff.read(unit(f"<source>a</source><target>{inside}</target>"))
    assert document.written(["A"]) == unit(f"<source>a</source><target {STATE}>A</target>")


def test_comments_in_a_target_stay() -> None:
    inside = "<source>a</source><target{}><!-- keep --><?keep it?>{}</target>"
    document = xliff.read(unit(inside.format("", "\n")))
    assert document.written(["A"]) == unit(inside.format(f" {STATE}", "A"))


def test_spaces_within_placeholders_stay() -> None:
    text = unit("<source>a {{ x  y }}  b</source>")
    assert xliff.read(text).segments == ["a {{ x  y }} b"]


def test_targets_of_no_language_are_warned_of() -> None:
    segment = "<segment><source>a</source>{}</segment>"
    text = TWO.replace(' trgLang="de"', "")
    assert list(xliff.read(text.format(segment.format(""))).warnings) == [
        "the targets that were added are not valid without the language that they are in: add "
        'trgLang to the outermost element, as in <xliff version="2.0" trgLang="de" ...>'
    ]
    assert not xliff.read(TWO.format(segment.format(""))).warnings
    assert not xliff.read(text.format(segment.format("<target>b</target>"))).warnings
    assert not xliff.read(unit("<source>a</source>")).warnings


def test_only_the_state_is_changed() -> None:
    empty = """<target note=" state='no' " state='new'/>"""
    filled = """<target note=" state='no' " state="needs-review-translation">A</target>"""
    assert xliff.read(unit("<source>a</source>" + empty)).written(["A"]) == (
        unit("<source>a</source>" + filled)
    )


def test_without_words_the_source_is_the_target() -> None:
    assert xliff.read(unit("<source>1&#160;&lt; 2</source>")).written([]) == (
        unit(f"<source>1&#160;&lt; 2</source>{NEW}1&#160;&lt; 2</target>")
    )


def test_lines_that_must_stay_are_segments() -> None:
    text = unit("<source>a\n  b\n\n</source>", ' xml:space="preserve"')
    document = xliff.read(text)
    assert document.segments == ["a", "b"]
    assert f"{NEW}A\n  B\n\n</target>" in document.written(["A", "B"])


def test_version_2() -> None:
    text = TWO.format(
        '<originalData><data id="d">no</data></originalData>'
        '<segment id="1">\n<source>a <pc id="1">b <ph id="2"/></pc> <sc id="3"/>c'
        '<ec startRef="3"/>.</source></segment><ignorable><source> no </source></ignorable>'
        '<segment state="final"><source>no</source><target>no</target></segment>'
        "<segment state='initial'><source>d</source><target/></segment>"
    )
    document = xliff.read(text)
    assert document.segments == ["a <x1>b <x2/></x1> <x3>c</x3>.", "d"]
    written = document.written(["<x3>C</x3> <x1><x2/> B</x1> A", "D"])
    assert written == text.replace(
        '<segment id="1">', '<segment id="1" state="translated">'
    ).replace(
        ".</source>",
        '.</source>\n<target><sc id="3"/>C<ec startRef="3"/> <pc id="1"><ph id="2"/> B</pc> A'
        "</target>",
    ).replace(
        "<segment state='initial'><source>d</source><target/>",
        '<segment state="translated"><source>d</source><target>D</target>',
    )
    etree.fromstring(written)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<xliff>\n<a></xliff>", "line 2: not XML: mismatched tag"),
        (
            "<html/>",
            'line 1: not XLIFF: the outermost element must be <xliff version="1.2"> or "2.0"',
        ),
        (unit("<source>&nbsp;</source>"), "line 4: not XML: undefined entity"),
        (
            '\n<!DOCTYPE xliff [<!ENTITY a "b">]><xliff version="1.2">&a;</xliff>',
            "line 2: has a DOCTYPE, which could define entities and which XLIFF does without: "
            "remove it",
        ),
        (
            f'<xliff version="1.2">{"<g>" * 300}',
            "line 1: elements are nested deeper than 200",
        ),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_document(text.encode(), "xliff", "file")
    assert str(caught.value) == f"file, {message}"
