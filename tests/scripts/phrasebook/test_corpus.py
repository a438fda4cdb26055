"""The phrasebook's promises as a corpus, and its numbers against lists written by hand."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import unicodedata
from itertools import islice
from pathlib import Path

import pytest
from phrasebook import corpus, grammar
from phrasebook.numbers import clock_time, english_number, german_number, year

SPLITS = ("train", "val", "test")


# ------------------------------------------------------------------------------------- the corpus


@pytest.fixture(scope="module")
def splits() -> dict[str, list[tuple[str, str]]]:
    return {split: list(corpus.pairs(split)) for split in SPLITS}


def _digest(pairs: list[tuple[str, str]]) -> str:
    text = "\n".join(f"{en}\t{de}" for en, de in pairs)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def test_sizes(splits):
    assert {split: len(pairs) for split, pairs in splits.items()} == {
        "train": 19_000,
        "val": 500,
        "test": 500,
    }


def test_corpus_is_the_same_everywhere(splits):
    # pinned: if this changes, every score that was reported on the phrasebook is out of date
    assert _digest(splits["train"]) == "b70e91e99a9f1c68a8a342c2827e191a"


def test_corpus_does_not_depend_on_hashing_or_locale(splits):
    code = (
        "import sys, hashlib; from phrasebook.corpus import pairs\n"
        "assert 'torch' not in sys.modules\n"
        "text = '\\n'.join(f'{en}\\t{de}' for en, de in pairs('train'))\n"
        "print(hashlib.blake2b(text.encode(), digest_size=16).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711", "LC_ALL": "C"}
    environment["PYTHONPATH"] = str(Path(corpus.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == _digest(splits["train"])


def test_seeds_give_other_sentences(splits):
    other = list(corpus.pairs("val", seed=2))
    assert len(other) == 500
    assert len(set(other) & set(splits["val"])) < 250


@pytest.mark.parametrize("side", [0, 1])
def test_sentences_are_distinct_within_and_across_splits(splits, side):
    sentences = [pair[side] for pairs in splits.values() for pair in pairs]
    assert len(set(sentences)) == len(sentences) == 20_000


@pytest.mark.parametrize("side", [0, 1])
def test_every_held_out_word_is_in_train(splits, side):
    known = {word for pair in splits["train"] for word in corpus.words(pair[side])}
    for split in ("val", "test"):
        for pair in splits[split]:
            assert set(corpus.words(pair[side])) <= known, pair


def test_lengths(splits):
    for side in (0, 1):
        lengths = [len(corpus.words(pair[side])) for pair in splits["train"]]
        assert 7.5 < sum(lengths) / len(lengths) < 12
        assert max(lengths) <= 25
        assert min(lengths) >= 2


def test_typography(splits):
    # a word, single spaces, commas and no other punctuation inside, . ? or ! at the end
    shape = re.compile(r"[A-ZÄÖÜ][A-Za-zÄÖÜäöüß',.? -]*[A-Za-zäöüß][.?!]")
    for pairs in splits.values():
        for pair in pairs:
            for text in pair:
                assert unicodedata.is_normalized("NFC", text)
                assert shape.fullmatch(text), text
                assert "  " not in text
                assert not re.search(r" [,.?!]|,[^ ]|,,", text), text
                assert not re.search(r"\b(in dem|von dem|zu dem|zu der|an dem|bei dem) \1\b", text)


def test_german_clauses_have_commas(splits):
    subordinators = re.compile(r"\b(weil|dass|obwohl|wenn|ob|bevor|aber)\b")
    for _, de in (pair for pairs in splits.values() for pair in pairs):
        for match in subordinators.finditer(de):
            assert de[: match.start()].endswith(", "), de
    for name, _, de in corpus.tagged("train"):
        if name == "relative clause":
            assert re.search(r", (\w+ )?(der|die|das|den|dem|denen) ", de), de


def test_phenomena_have_their_shares():
    shares = {name: share / 200 for name, (share, _) in grammar.PHENOMENA.items()}
    assert sum(shares.values()) == pytest.approx(1)
    assert corpus.phenomena() == tuple(shares)
    train = [entry[0] for entry in corpus.tagged("train")]
    test = [entry[0] for entry in corpus.tagged("test")]
    for name, share in shares.items():
        assert train.count(name) / len(train) == pytest.approx(share, rel=0.1), name
        assert test.count(name) >= max(1, 0.2 * share * len(test)), name


def test_english_determines_german():
    known: dict[str, str] = {}
    for name in corpus.phenomena():
        for en, de in islice(grammar.sample(name, 7), 1_500):
            assert known.setdefault(en, de) == de


def test_size_takes_the_beginning(splits):
    assert list(corpus.pairs("train", size=10)) == splits["train"][:10]
    assert list(corpus.pairs("test", size=500)) == splits["test"]


def test_bad_arguments_are_refused_at_once():
    with pytest.raises(
        ValueError, match="no split 'dev' in the phrasebook: choose one of train, val, test"
    ):
        corpus.pairs("dev")  # type: ignore[arg-type]
    with pytest.raises(
        ValueError, match="size must be between 1 and 500 for the val split, but is 0"
    ):
        corpus.pairs("val", size=0)
    with pytest.raises(ValueError, match="between 1 and 19000 for the train split, but is 19001"):
        corpus.pairs("train", size=19_001)


# ----------------------------------------------------------------------------- numbers and clocks

NUMBERS = """
0 zero null
1 one eins
2 two zwei
6 six sechs
7 seven sieben
11 eleven elf
12 twelve zwölf
13 thirteen dreizehn
16 sixteen sechzehn
17 seventeen siebzehn
18 eighteen achtzehn
19 nineteen neunzehn
20 twenty zwanzig
21 twenty-one einundzwanzig
22 twenty-two zweiundzwanzig
26 twenty-six sechsundzwanzig
27 twenty-seven siebenundzwanzig
30 thirty dreißig
31 thirty-one einunddreißig
37 thirty-seven siebenunddreißig
40 forty vierzig
43 forty-three dreiundvierzig
50 fifty fünfzig
55 fifty-five fünfundfünfzig
60 sixty sechzig
66 sixty-six sechsundsechzig
70 seventy siebzig
77 seventy-seven siebenundsiebzig
80 eighty achtzig
88 eighty-eight achtundachtzig
90 ninety neunzig
99 ninety-nine neunundneunzig
100 one_hundred einhundert
101 one_hundred_and_one einhunderteins
111 one_hundred_and_eleven einhundertelf
121 one_hundred_and_twenty-one einhunderteinundzwanzig
143 one_hundred_and_forty-three einhundertdreiundvierzig
200 two_hundred zweihundert
616 six_hundred_and_sixteen sechshundertsechzehn
777 seven_hundred_and_seventy-seven siebenhundertsiebenundsiebzig
999 nine_hundred_and_ninety-nine neunhundertneunundneunzig
1000 one_thousand eintausend
1001 one_thousand_and_one eintausendeins
1234 one_thousand_two_hundred_and_thirty-four eintausendzweihundertvierunddreißig
7000 seven_thousand siebentausend
21000 twenty-one_thousand einundzwanzigtausend
101000 one_hundred_and_one_thousand einhunderteintausend
999000 nine_hundred_and_ninety-nine_thousand neunhundertneunundneunzigtausend
"""


@pytest.mark.parametrize("line", NUMBERS.split("\n")[1:-1])
def test_numbers(line):
    digits, en, de = line.split()
    assert english_number(int(digits)) == en.replace("_", " ")
    assert german_number(int(digits)) == de


def test_numbers_are_distinct():
    assert len({german_number(n) for n in range(10_000)}) == 10_000
    assert len({english_number(n) for n in range(10_000)}) == 10_000


@pytest.mark.parametrize("n", [-1, 1_000_000])
def test_numbers_out_of_range(n):
    message = f"a number must be between 0 and 999999, but is {n}"
    with pytest.raises(ValueError, match=message):
        german_number(n)
    with pytest.raises(ValueError, match=message):
        english_number(n)


def test_years():
    assert year(1900) == ("nineteen hundred", "neunzehnhundert")
    assert year(1905) == ("nineteen oh five", "neunzehnhundertfünf")
    assert year(1916) == ("nineteen sixteen", "neunzehnhundertsechzehn")
    assert year(1987) == ("nineteen eighty-seven", "neunzehnhundertsiebenundachtzig")
    with pytest.raises(ValueError, match="a year must be between 1100 and 1999, but is 2000"):
        year(2000)


@pytest.mark.parametrize(
    ("hour", "minute", "en", "de"),
    [
        (1, 0, "one o'clock", "ein Uhr"),
        (3, 0, "three o'clock", "drei Uhr"),
        (12, 0, "twelve o'clock", "zwölf Uhr"),
        (1, 5, "five past one", "fünf nach eins"),
        (7, 10, "ten past seven", "zehn nach sieben"),
        (1, 15, "quarter past one", "Viertel nach eins"),
        (6, 20, "twenty past six", "zwanzig nach sechs"),
        (3, 25, "twenty-five past three", "fünf vor halb vier"),
        (12, 25, "twenty-five past twelve", "fünf vor halb eins"),
        (3, 30, "half past three", "halb vier"),
        (11, 30, "half past eleven", "halb zwölf"),
        (12, 30, "half past twelve", "halb eins"),
        (3, 35, "twenty-five to four", "fünf nach halb vier"),
        (8, 40, "twenty to nine", "zwanzig vor neun"),
        (4, 45, "quarter to five", "Viertel vor fünf"),
        (12, 45, "quarter to one", "Viertel vor eins"),
        (9, 50, "ten to ten", "zehn vor zehn"),
        (10, 55, "five to eleven", "fünf vor elf"),
    ],
)
def test_clock_times(hour, minute, en, de):
    assert clock_time(hour, minute) == (en, de)


def test_clock_times_out_of_range():
    with pytest.raises(ValueError, match="an hour must be between 1 and 12, but is 13"):
        clock_time(13, 0)
    with pytest.raises(ValueError, match="a minute must be a multiple of 5 from 0 to 55, but is 7"):
        clock_time(1, 7)
