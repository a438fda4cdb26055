from __future__ import annotations

import pysubs2
import pytest

from seq2seq.errors import DataError
from seq2seq.formats import read_document, srt

TIMES = "00:00:01,000 --> 00:00:02,000"


@pytest.mark.parametrize(
    ("cue", "segments", "translations", "written"),
    [
        ("One\ntwo", ["One two"], ["eins zwei drei vier"], "eins zwei\ndrei vier"),
        ("<i>One\ntwo</i>", ["One two"], ["eins zwei"], "<i>eins\nzwei</i>"),
        (
            "a <i>b\nc</i> d",
            ["a <x1>b c</x1> d"],
            ["aaa <x1>bbb ccc</x1> ddd"],
            "aaa <i>bbb\nccc</i> ddd",
        ),
        ("{\\an8}One", ["One"], ["eins\\N & <zwei>"], "{\\an8}eins\\N & <zwei>"),
        ("- One\n- Two", ["One", "Two"], ["eins", "zwei"], "- eins\n- zwei"),
        ("–One\n<i>— Two</i>", ["One", "Two"], ["eins", "zwei"], "–eins\n<i>— zwei</i>"),
        ("<i>- One\ntwo</i>", ["One two"], ["eins zwei"], "<i>- eins\nzwei</i>"),
        ("-5 degrees", ["-5 degrees"], ["-5 Grad"], "-5 Grad"),
        ("-.5 degrees", ["-.5 degrees"], ["-,5 Grad"], "-,5 Grad"),
        ("- <i>One</i>", ["One"], ["eins"], "- <i>eins</i>"),
        ("<i>- </i>One", ["One"], ["eins"], "<i>- </i>eins"),
        ("One\ntwo", ["One two"], ["eins"], "eins"),
        ("One\ntwo", ["One two"], ["一二三四五六。"], "一二三\n四五六。"),
        ("1984", [], [], "1984"),
        ("He went A --> B\n-->", ["He went A --> B -->"], ["A --> B"], "A -->\nB"),
        ("One\ntwo", ["One two"], ["日本語日本語日本語 runs in"], "日本語日本語日本語\nruns in"),
        ("One\ntwo", ["One two"], ["Lauf 1 000 000 km"], "Lauf\n1 000 000 km"),
        ("One\ntwo", ["One two"], ["{{ the price of x }} ist"], "{{ the price of x }}\nist"),
        ("One\ntwo", ["One two"], ["{{ the price of x }}"], "{{ the price of x }}"),
        ("One {{ a  b }}\ntwo", ["One {{ a  b }} two"], ["a {{ a  b }}"], "a\n{{ a  b }}"),
        ("One\n\nTwo", ["One", "Two"], ["eins", "zwei"], "eins\n\nzwei"),
    ],
)
def test_cues(cue: str, segments: list[str], translations: list[str], written: str) -> None:
    for end in ("\n", "\r\n"):
        text = f"1\n{TIMES} X1:3\n{{}}\n\n2\n{TIMES}\n\n".replace("\n", end)
        document = srt.read(text.format(cue.replace("\n", end)))
        assert document.segments == segments
        assert document.written(translations) == text.format(written.replace("\n", end))


@pytest.mark.parametrize("lines", [2, 3, 7])
def test_lines_are_of_about_the_same_length(lines: int) -> None:
    words = "a bb ccc dddd eeeee ffffff ggggggg hhhhhhhh iiiiiiiii jjjjjjjjjj k l m".split()
    cue = "One\n" * (lines - 1) + "two"
    written = srt.read(f"1\n{TIMES}\n{cue}\n").written([" ".join(words)]).split("\n")[2:-1]
    assert " ".join(written).split() == words
    assert len(written) == lines
    ideal = len(" ".join(words)) / lines
    assert all(abs(len(one) - ideal) <= 11 for one in written)  # the longest word and a space


def test_pysubs2_finds_the_same_cues() -> None:
    text = f"1\n{TIMES}\nOne\ntwo\n\n2\n{TIMES}\n<i>Three</i> four\n\n3\n{TIMES}\nA --> B\n\n"
    written = srt.read(text).written(["eins zwei", "<x1>drei</x1> vier", "B --> A"])
    before, after = (pysubs2.SSAFile.from_string(one) for one in (text, written))
    assert [(one.start, one.end) for one in before] == [(one.start, one.end) for one in after]
    assert [one.plaintext for one in after] == ["eins\nzwei", "drei vier", "B --> A"]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("One\n", 1),
        (f"\n\nx\n{TIMES}\n", 3),
        (f"1\n{TIMES}\na\n\n2\n00:01 --> 00:02\nb\n", 6),
        (f"1\n{TIMES}\na\n\n2\n-->\n00:00:02,000\nb\n", 6),
        (f"1\n{TIMES}\na 5 --> 6\n", 3),
    ],
)
def test_what_is_refused(text: str, line: int) -> None:
    with pytest.raises(DataError) as caught:
        read_document(text.encode(), "srt", "file")
    assert str(caught.value) == (
        f"file, line {line}: not SubRip: a cue begins with its number and a line of times, such as "
        "00:00:01,000 --> 00:00:02,500"
    )
