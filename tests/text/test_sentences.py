"""Sentence ends: hand-made cases in several languages, and laws for any text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seq2seq.text.sentences import language_of, split_sentences


@pytest.mark.parametrize(
    ("language", "sentences"),
    [
        ("en", ["A man sleeps. ", "Two dogs run. ", "A woman reads."]),
        ("en", ["Dr. Miller arrived at 5 p.m. on the 3rd of May. ", "He was tired!"]),
        ("en", ['"Is it cold?" she asked. ', '"No," he said. ', "Then they left."]),
        ("en", ["It cost $3.50, i.e. little. ", "See www.example.com. ", "Really?! ", "Yes."]),
        ("en", ["He is 3. ", "She is 5."]),
        ("en", ["1. First item. ", "2. Second item."]),
        ("en", ["a man sleeps.  ", "a dog runs ."]),
        ("en", ["Hello.World is a name."]),
        ("en", ["Yes ... ", "No. ..."]),
        ("de", ["Am 3. Mai kam Dr. Müller um 5 Uhr. ", "Er war müde."]),
        ("de", ["Der 2. Weltkrieg endete 1945. ", "Im 19. Jahrhundert war es z. B. anders."]),
        (None, ["Am 3. Mai kam er. ", "Sie ging."]),
        ("fr", ["M. Dupont est là. ", "« Fait-il froid ? » demanda-t-elle. ", "Oui."]),
        (
            "ja",
            [
                "男性が寝ている。",
                "犬が走る！",
                "「寒い？」と彼女は聞いた。",
                "３．５メートルです。",
            ],
        ),
        ("ja", ["「はい。」", "「いいえ。」と言った。"]),
        ("zh", ["一个男人在睡觉。", "“你好吗？”她问。"]),
        ("hi", ["वह आया। ", "मैं गया।"]),
        ("ar", ["هل جاء؟ ", "نعم."]),
        ("th", ["ผู้ชายนอนหลับ สุนัขวิ่ง"]),
        ("xx", ["One is here. ", "Two is there."]),
        ("en", []),
    ],
)
def test_sentences(language: str | None, sentences: list[str]) -> None:
    assert split_sentences("".join(sentences), language) == sentences


@pytest.mark.parametrize("space", ["\u2028", "\u3000", "\xa0", "\x85", "\u2009"])
def test_a_wide_space_behind_an_initial(space: str) -> None:
    """The segmenter takes it for one byte."""
    for text in (f"B{space}.", f"Mr. B{space}. sees C{space}.D. He sleeps."):
        assert "".join(split_sentences(text, "en")) == text
    assert split_sentences(f"A man sleeps.{space}A dog runs.") == [
        f"A man sleeps.{space}",
        "A dog runs.",
    ]


@given(
    st.text(alphabet="aB1.!? \u3000。「」\"'\ud800\u2028é\x01"), st.sampled_from([None, "de", "ja"])
)
def test_nothing_is_lost(text: str, language: str | None) -> None:
    sentences = split_sentences(text, language)
    assert "".join(sentences) == text
    assert all(sentences)


def test_a_long_line_has_all_its_sentences() -> None:
    assert len(split_sentences("A man sleeps. " * 20_000, "en")) == 20_000


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("data/train.de", "de"),
        ("train.en.gz", "en"),
        ("train.pt-BR", "pt"),
        ("train.hsb", "hsb"),
        ("train.txt", None),
        ("train.raw", None),
        ("train.out", None),
        ("train.xx", None),
        ("train.gz", None),
        ("train", None),
        ("", None),
    ],
)
def test_the_language_of_a_file(path: str, language: str | None) -> None:
    assert language_of(path) == language
