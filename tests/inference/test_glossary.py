"""Glossaries: read, found in text, and met by translations."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.scripted import ScriptedModel

from seq2seq import Glossary, recipe
from seq2seq.errors import DataError, Seq2SeqError
from seq2seq.ids import EOS, UNK
from seq2seq.inference.glossary import Term, UsedTerm, used_terms
from seq2seq.inference.trained_on import TrainedOn
from seq2seq.inference.translator import Translator
from seq2seq.search import Constraints, Sampling, SearchOptions
from seq2seq.text.tokenizer import Tokenizers, train_tokenizers

SOURCE = ["the man plays a guitar.", "two dogs see a red car.", "a bicycle, and a man: red!"]
TARGET = ["Der Mann spielt Gitarre.", "zwei Hunde sehen ein rotes Auto.", "ein Klampfe Drahtesel"]
TERMS = "guitar\tKlampfe\nbicycle\tDrahtesel|Drahtesels\nred car\tfeuerroter Wagen\n"


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    options = recipe.Tokenizer(vocab_size=60)
    more = ["Drahtesels feuerroter Wagen DIN A B C E F G I K N O R S T"]
    return train_tokenizers(options, SOURCE * 20, [*TARGET, *more] * 20)


def translator(tokenizers: Tokenizers, said: str = "ein Hunde.") -> Translator:
    """Says the same of every source, if nothing is asked for; of a longer one, twice."""
    (tokens,) = tokenizers.target.encode([said])

    def script(source: tuple[int, ...], prefix: tuple[int, ...]) -> np.ndarray:
        log_probs = np.full(tokenizers.target.size, -6.0, dtype=np.float32)
        at = next((n for n in range(len(tokens)) if [*prefix][-1:] == tokens[n - 1 : n]), 0)
        log_probs[EOS if len(prefix) >= len(tokens) else tokens[at]] = -0.1
        return log_probs

    model = ScriptedModel(tokenizers.target.size, script)
    taken = TrainedOn(longest=60, sentences=1)
    return Translator(model, tokenizers, recipe.Translation(), trained_on=taken)


def read(folder: Path, text: str | bytes) -> Glossary:
    path = folder / "terms.tsv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Glossary.load(path)


def found(glossary: Glossary, text: str) -> list[str]:
    return [one.term.source for one in glossary.find(text)]


def times(form: str, text: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(form)}(?!\w)", text))


# -- reading ----------------------------------------------------------------------------------


def test_a_file_as_it_may_be_written(tmp_path: Path) -> None:
    text = (
        "\ufeff# terms\r\n\r\nSource\tTarget\tnote\r\nred  car\t feuerroter Wagen \tnoun\r\n"
        "DIN\tDIN\tcase\r\nbicycle\tDrahtesel| Drahtesels|Drahtesel\r\nBicycle\tDrahtesels|"
        "Drahtesel\r\nsource\tQuelle"
    )
    assert read(tmp_path, text).terms == (
        Term("red car", ("feuerroter Wagen",), line=4),
        Term("DIN", ("DIN",), exact=True, line=5),
        Term("bicycle", ("Drahtesel", "Drahtesels"), line=6),
        Term("source", ("Quelle",), line=8),
    )
    assert read(tmp_path, "").terms == read(tmp_path, "# nothing\n").terms == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a\tb\nguitar Klampfe\n",
            "line 2: has 1 column; write a term, a tab and its translation, and a note behind "
            "another tab or none",
        ),
        (
            "a\tb\tc\td\n",
            "line 1: has 4 columns; write a term, a tab and its translation, and a note behind "
            "another tab or none",
        ),
        ("\n \tb\n", "line 2: a term is empty: write one, or leave the line out"),
        ("a\tb|\n", "line 1: a translation is empty: write one, or leave the line out"),
        ("a\t \n", "line 1: a translation is empty: write one, or leave the line out"),
        (
            "source\ttarget\na\tb\n#\nA\tc\n",
            "line 4: 'A' has another translation in line 2: write all forms in one line, with | "
            "between them",
        ),
        (b"a\tb\nc\t\xe4\n", "line 2: not UTF-8: convert the file to it"),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(DataError) as error:
        read(tmp_path, text)
    assert str(error.value) == f"{tmp_path}/terms.tsv, {message}"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere: no such file$"):
        Glossary.load(tmp_path / "nowhere")


# -- finding ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("A guitar, two guitars, my-guitar", ["guitar", "guitar"]),
        ("GUITAR guitarist", ["guitar"]),
        ("a red car and a red\u00a0 bicycle car", ["red car", "red"]),
        ("red  \t car car", ["red car"]),
        ("redcar", []),
        ("US and us, the iPod, an ipod", ["US", "iPod"]),
        ("Polish polish POLISH", ["Polish", "polish", "polish"]),
        ("it is it", ["it is", "it"]),
        ("我有吉他吉他。", ["吉他", "吉他"]),
        ("cafe\u0301 café", ["café", "café"]),
        ("C++ C+++", ["C++", "C++"]),
        ("", []),
    ],
)
def test_whole_words_and_the_longest(text: str, terms: list[str]) -> None:
    words = ["guitar", "red", "red car", "US", "iPod", "polish", "it", "it is", "吉他", "C++"]
    known = [Term(one, ("x",)) for one in (*words, "cafe\u0301")]
    glossary = Glossary((*known, Term("Polish", ("y",), exact=True)))
    assert found(glossary, text) == terms


def test_case_is_that_in_which_the_line_was_written() -> None:
    glossary = Glossary((Term("US", ("USA",)), Term("us", ("uns",))))

    def stand(*texts: str) -> list[str]:
        return [one.term.source for one in glossary.find(*texts)]

    assert stand("The us economy", "The US Economy") == ["US"]
    assert stand("The us economy") == ["us"]
    assert stand("Tell us now") == ["us"]
    assert stand("the us", "The longer US") == ["us"]  # that is another text


def test_of_a_line_in_capitals_both_cases_count() -> None:
    glossary = Glossary((Term("NASA", ("NASA",)), Term("dog", ("Köter",), exact=True)))
    found = glossary.find("A dog of Nasa.", "A DOG OF NASA.", loud=True)
    assert [one.term.source for one in found] == ["dog", "NASA"]
    assert not glossary.find("A Dog of Nasa.", "A Dog Of Nasa.")


@given(st.lists(st.sampled_from("a b ab ba a-b, A B.".split()), max_size=9), st.data())
def test_finding_is_looking_at_every_place(words: list[str], data: st.DataObject) -> None:
    text = " ".join(words)
    terms = data.draw(st.lists(st.sampled_from(["a", "b", "a b", "ab", "b a b"]), unique=True))
    expected, at = [], 0
    while at < len(text):
        fitting = [
            term
            for term in terms
            if re.match(rf"{term}(?!\w)", text[at:], re.IGNORECASE)
            and not re.match(r"\w", text[at - 1 : at])
        ]
        if fitting:
            expected.append(max(fitting, key=len))
        at += len(expected[-1]) if fitting else 1
    assert found(Glossary(tuple(Term(one, ("x",)) for one in terms)), text) == expected


@pytest.mark.parametrize(
    ("text", "forms"),
    [
        ("a red car", ("roter Wagen",)),
        ("red car", ("roter Wagen", "Roter Wagen")),
        ("“red car”", ("roter Wagen", "Roter Wagen")),
        ("a Red Car", ("roter Wagen", "Roter Wagen")),
        ("Stop. red car", ("roter Wagen", "Roter Wagen")),
        ("a red car, a RED car", ("roter Wagen", "Roter Wagen")),
        ("din", ()),
        ("DIN", ("din",)),
    ],
)
def test_capitals_of_translations(text: str, forms: tuple[str, ...]) -> None:
    terms = Term("red car", ("roter Wagen",)), Term("DIN", ("din",), exact=True)
    assert {one.forms for one in Glossary(terms).find(text)} == ({forms} if forms else set())


def test_each_form_meets_one_term() -> None:
    glossary = Glossary((Term("bike", ("Rad", "Räder")), Term("dog", ("Hund",))))
    demands = glossary.find("bike, bike and dog")
    for text, met in (
        ("Rad", [True, False, False]),
        ("räder und RAD, HUND", [True, True, True]),
        ("Räder-Rad", [True, True, False]),
        ("Radweg Hunde", [False, False, False]),
    ):
        assert [one.is_met for one in used_terms(demands, text)] == met
    assert used_terms(demands[2:], "")[0] == UsedTerm("dog", ("Hund",), is_met=False)


# -- translating ------------------------------------------------------------------------------


def test_terms_are_met_and_other_lines_are_as_before(
    tokenizers: Tokenizers, tmp_path: Path
) -> None:
    glossary = read(tmp_path, TERMS)
    lines = [
        "the man plays a guitar.",
        "two dogs.",
        "",
        "A bicycle, a red  car, a Bicycle.",
        "a guitars",
    ]
    ours = translator(tokenizers)
    plain = ours.translate(lines)
    for asked in ({"beam": 1}, {"beam": 4, "n_best": 3}, {"batch_size": 1}, {"mbr": "chrf"}):
        texts = ours.translate(lines, glossary=glossary, **asked)  # type: ignore[arg-type]
        assert times("Klampfe", texts[0]) == 1
        assert times("Drahtesel", texts[3]) + times("Drahtesels", texts[3]) == 2
        assert times("feuerroter Wagen", texts[3]) == 1
        without = ours.translate(lines, **asked)  # type: ignore[arg-type]
        assert [texts[n] for n in (1, 2, 4)] == [without[n] for n in (1, 2, 4)]
    assert plain == ours.translate(lines, glossary=Glossary(()))
    sampling = SearchOptions(sampling=Sampling(), n_best=4)
    for several in ours.stream(lines[:1], options=sampling, glossary=glossary):
        assert all(times("Klampfe", one.text) for one in several)
        assert all(one.terms == (UsedTerm("guitar", ("Klampfe",), True),) for one in several)


def test_each_part_of_a_line_gets_its_terms(tokenizers: Tokenizers, tmp_path: Path) -> None:
    glossary = read(tmp_path, TERMS)
    ours = translator(tokenizers)
    line = "a guitar. a man! the red car."
    (several,) = ours.stream([line], glossary=glossary)
    parts = ours.translate(["a guitar.", "a man!", "the red car."], glossary=glossary)
    assert several[0].text == " ".join(parts)
    assert [note.kind for note in several[0].notes] == ["split"]
    assert [one.source for one in several[0].terms] == ["guitar", "red car"]
    (whole,) = ours.stream([line], glossary=glossary, constraints=[Constraints(forced=["Hunde"])])
    assert [note.kind for note in whole[0].notes] == ["whole"]
    assert all(times(word, whole[0].text) == 1 for word in ("Hunde", "Klampfe", "feuerroter Wagen"))
    kept = ours.translate_nbest([line], glossary=glossary, long="keep")[0][0]
    assert [one.is_met for one in kept.terms] == [True, True]
    cut = Translator(ours.model, tokenizers, recipe.Translation(max_source=12))
    (short,) = cut.translate_nbest([line], glossary=glossary, long="truncate")
    assert len(short[0].source_tokens) == 12
    assert [one.source for one in short[0].terms] == ["guitar"]


def test_with_constraints_of_the_line(tokenizers: Tokenizers, tmp_path: Path) -> None:
    glossary = read(tmp_path, TERMS)
    ours, lines = translator(tokenizers), ["two dogs.", "a bicycle."]
    forced = Constraints(prefix="Der ", forced=["ein Drahtesel"], avoided=["Mann"])
    _, text = ours.translate(lines, glossary=glossary, constraints=[Constraints(), forced])
    assert text.startswith("Der ")
    assert times("ein Drahtesel", text) == times("Drahtesel", text) == 1
    avoiding = [Constraints(), Constraints(avoided=["Drahtesels"])]
    with pytest.raises(Seq2SeqError) as error:
        ours.translate(lines, glossary=glossary, constraints=avoiding)
    assert str(error.value) == (
        f"line 2: 'Drahtesels' is to be avoided, but {tmp_path}/terms.tsv translates 'bicycle' so: "
        "leave one of them out"
    )


def test_what_the_length_cap_leaves_no_room_for_is_not_met(
    tokenizers: Tokenizers, tmp_path: Path
) -> None:
    glossary = read(tmp_path, TERMS)
    sizes = dict(
        zip(
            ["Klampfe", "feuerroter Wagen"],
            map(len, tokenizers.target.encode(["Klampfe", "feuerroter Wagen"])),
            strict=True,
        )
    )
    for room, met in (
        (sizes["Klampfe"], [True, False]),
        (sum(sizes.values()) - 1, [True, False]),
        (sum(sizes.values()), [True, True]),
    ):
        options = SearchOptions(max_length=room)
        (several,) = translator(tokenizers).stream(
            ["a guitar, a red car"], options=options, glossary=glossary
        )
        assert [one.is_met for one in several[0].terms] == met


def test_what_a_model_cannot_spell(tokenizers: Tokenizers, tmp_path: Path) -> None:
    glossary = read(tmp_path, "guitar\tKlampfe\nred\trot|☃\n")
    with pytest.raises(DataError) as error:
        translator(tokenizers).translate(["two dogs."], glossary=glossary)
    assert str(error.value) == (
        f"{tmp_path}/terms.tsv: translations with characters that the model's tokenizer does not "
        "know: '☃' (line 2); spell them otherwise, or leave them out"
    )


def test_a_capital_that_the_model_cannot_spell_is_no_form(tokenizers: Tokenizers) -> None:
    assert UNK in tokenizers.target.encode(["Zwei"])[0]
    glossary = Glossary((Term("two", ("zwei",)),))
    (demand,) = glossary.find("two dogs")
    assert demand.forms == ("zwei", "Zwei")
    assert times("zwei", translator(tokenizers).translate(["two dogs"], glossary=glossary)[0]) == 1


def test_a_shortlist_may_lack_the_words(tokenizers: Tokenizers, tmp_path: Path) -> None:
    ours = translator(tokenizers)
    ours.has_shortlist = True
    with pytest.raises(Seq2SeqError, match=r"terms.tsv: a shortlist may lack the pieces"):
        ours.translate(["two dogs."], glossary=read(tmp_path, TERMS))


def test_only_lines_with_terms_have_a_larger_beam(tokenizers: Tokenizers, tmp_path: Path) -> None:
    glossary = read(tmp_path, TERMS)
    ours = translator(tokenizers)
    assert isinstance(ours.model, ScriptedModel)
    for beam, groups, least in ((2, 1, 10), (3, 3, 12), (20, 1, 20)):
        options = SearchOptions(beam=beam, groups=groups)
        for line, expected in (("a guitar", least), ("two dogs", beam)):
            ours.model.sizes.clear()
            ours.translate([line], options=options, glossary=glossary)
            assert max(ours.model.sizes) == expected
