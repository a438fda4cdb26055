from __future__ import annotations

import polib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.errors import DataError
from seq2seq.formats import po, read_document

HEADER = 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8\\n{}"\n\n'


def test_only_entries_without_a_translation_are_written() -> None:
    text = """# Comment
#, fuzzy
msgid ""
msgstr ""
"Project-Id-Version: x\\n"

#. extracted
#: file.c:1
msgctxt "menu"
msgid "Open"
msgstr ""

msgid "Close"
msgstr "Schließen"

#, fuzzy, c-format
#| msgid "Old"
msgid "New"
msgstr "Alt"

#~ msgid "Gone"
#~ msgstr ""
"""
    document = po.read(text)
    assert document.segments == ["Open"]
    assert document.written(['Öff\\nen\t"x"']) == text.replace(
        'msgid "Open"\nmsgstr ""', 'msgid "Open"\nmsgstr "Öff\\\\nen\\t\\"x\\""'
    )


def test_lines_are_segments_and_keep_their_ends() -> None:
    text = 'msgid ""\n"Usage: <b>x</b>\\n"\n"  two\\tthree \\n"\n"\\n"\nmsgstr ""\n'
    document = po.read(text)
    assert document.segments == ["Usage: <x1>x</x1>", "two", "three"]
    assert document.written(["<x1>X</x1> A", "zwei", "drei"]) == text.replace(
        'msgstr ""\n', 'msgstr ""\n"<b>X</b> A\\n"\n"  zwei\\tdrei \\n"\n"\\n"\n'
    )
    same = document.written(document.segments)
    assert same == text + text.removeprefix('msgid ""\n').removesuffix('msgstr ""\n')


@pytest.mark.parametrize(
    ("rule", "one", "forms"),
    [
        ("", "%d file", ["eins", "mehr"]),
        ("nplurals=1; plural=0;", "%d file", ["mehr"]),
        ("nplurals=2; plural=(n > 1);", "%d file", ["eins", "mehr"]),
        ("nplurals=2; plural=(n > 1);", "One file", ["mehr", "mehr"]),
        ("nplurals=2; plural=(n != 1);", "One file", ["eins", "mehr"]),
        (
            "nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 ? 1 : 2);",
            "%d file",
            ["eins", "mehr", "mehr"],
        ),
        ("nplurals=3; plural=(n==1 ? 2 : n==2 ? 1 : 0);", "One file", ["mehr", "mehr", "eins"]),
        ("nplurals=2; plural=__import__;", "%d file", ["eins", "mehr"]),
    ],
)
def test_plural_forms(rule: str, one: str, forms: list[str]) -> None:
    head = HEADER.format(f"Plural-Forms: {rule}\\n" if rule else "")
    entry = f'msgid "{one}"\nmsgid_plural "%d files"\n'
    document = po.read(f'{head}{entry}msgstr[0] ""\nmsgstr[1] ""\n\n')
    assert document.segments == [one, "%d files"]
    written = document.written(["eins", "mehr"])
    shown = [*forms, *["mehr"] * (2 - len(forms))]
    assert (
        written.removeprefix(head + entry)
        == "".join(f'msgstr[{n}] "{form}"\n' for n, form in enumerate(shown)) + "\n"
    )


@pytest.mark.parametrize(
    ("translation", "written"),
    [
        ("%d Dateien in %s", "%s Dateien in %d"),  # a program would take a name for a number
        ("%s und %d", "%s und %d"),
        ("nur %s", ""),
        ("%s %d %d", ""),
    ],
)
def test_placeholders_of_formats_keep_their_order(translation: str, written: str) -> None:
    text = '#, c-format\nmsgid "%s has %d"\nmsgstr ""\n'
    kept: list[int] = []
    found = po.read(text).written([translation], kept.append)
    assert found == text.replace('msgstr ""', f'msgstr "{written}"')
    assert kept == ([] if written else [3])
    plain = text.replace("c-format", "no-c-format")
    assert f'msgstr "{translation}"' in po.read(plain).written([translation])


@pytest.mark.parametrize(
    ("raw", "segment"),
    [
        ("Stra\\303\\237e", "Straße"),
        ("Stra\\xc3\\x9fe", "Straße"),
        ("a\\377b", "a\ufffdb"),
        ("a\\\\303", "a\\303"),
        ('say \\"x\\"', 'say "x"'),
    ],
)
def test_escaped_bytes_are_utf_8(raw: str, segment: str) -> None:
    text = f'msgid "{raw}"\nmsgstr ""\n'
    document = po.read(text)
    assert document.segments == [segment]
    assert document.written(["neu"]) == text.replace('msgstr ""', 'msgstr "neu"')


@pytest.mark.parametrize(
    "rule",
    [
        f"nplurals={'9' * 5000}; plural=0;",
        f"nplurals=2; plural={'9' * 5000};",
        f"nplurals=2; plural={'9' * 900};",
        f"nplurals=2; plural={'(' * 400}n{')' * 400};",
    ],
)
def test_absurd_plural_rules_are_no_rules(rule: str) -> None:
    entry = 'msgid "a"\nmsgid_plural "b"\nmsgstr[0] ""\nmsgstr[1] ""\n'
    document = po.read(HEADER.format(f"Plural-Forms: {rule}\\n") + entry)
    assert document.written(["eins", "mehr"]).endswith('msgstr[0] "eins"\nmsgstr[1] "mehr"\n')


def test_spaces_within_placeholders_stay() -> None:
    text = 'msgid "a  b {a:  >5}  {{ x  y }}"\nmsgstr ""\n'
    document = po.read(text)
    assert document.segments == ["a b {a:  >5} {{ x  y }}"]
    written = document.written(["A {a:  >5} {{ x  y }}"])
    assert 'msgstr "A {a:  >5} {{ x  y }}"' in written


TEXTS = st.text(st.sampled_from('ab \n\t"\\%s<x1>/&é#'), min_size=1, max_size=20)


@given(st.lists(TEXTS, min_size=1, max_size=4, unique=True))
def test_polib_reads_what_is_written(messages: list[str]) -> None:
    catalogue = polib.POFile()
    catalogue.metadata = {"Content-Type": "text/plain; charset=UTF-8"}
    for message in messages:
        catalogue.append(polib.POEntry(msgid=message))
    text = f"{catalogue}"
    document = po.read(text)
    same = polib.pofile(document.written(document.segments))
    assert [entry.msgstr for entry in same] == messages
    other = polib.pofile(document.written([f'{one} "neu\\' for one in document.segments]))
    assert [entry.msgid for entry in other] == messages
    assert all(other[n].msgstr.count("\n") == one.count("\n") for n, one in enumerate(messages))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", 'line 1: not PO: expected a comment, or msgid, msgstr and the like with "..." each'),
        (
            'msgid "a\nmsgstr ""',
            'line 1: not PO: expected a comment, or msgid, msgstr and the like with "..." each',
        ),
        ('\n"a"', "line 2: not PO: a text cannot stand here"),
        ('msgid "a"\nmsgid "b"', "line 2: not PO: msgid cannot stand here"),
        ('msgstr "a"', "line 1: not PO: msgstr cannot stand here"),
        (
            'msgid "a"\nmsgid_plural "b"\nmsgstr[1] ""',
            "line 3: not PO: msgstr[1] cannot stand here",
        ),
        (
            f'msgid "a"\nmsgid_plural "b"\nmsgstr[{"0" * 5000}] ""',
            'line 3: not PO: expected a comment, or msgid, msgstr and the like with "..." each',
        ),
        ('msgid "a"\n', "line 2: not PO: the last entry has no msgstr: is the file cut off?"),
    ],
)
def test_what_is_refused(text: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_document(text.encode(), "po", "file")
    assert str(caught.value) == f"file, {message}"
