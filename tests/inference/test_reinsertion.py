"""Lines with spans, capitals and unknown characters, through a model that repeats its source."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from support.cases import ALL_KINDS
from support.scripted import Prefix, ScriptedModel, copying_script

from seq2seq import recipe
from seq2seq.inference.glossary import Glossary, Term
from seq2seq.inference.results import Warnings, warned
from seq2seq.inference.scoring import Scorer
from seq2seq.inference.trained_on import TrainedOn
from seq2seq.inference.translator import ScoredTranslation, Translator
from seq2seq.recipe.text import Protect
from seq2seq.search import Constraints
from seq2seq.text.tokenizer import Tokenizers, train_tokenizers

WORDS = "ein Hund läuft über die grüne Wiese und zwei Kinder spielen am Wasser".split()
LINE = "zwei Kinder spielen am Wasser."


@pytest.fixture(scope="module")
def tokenizers() -> Tokenizers:
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(WORDS, size=rng.integers(3, 9))) + "." for _ in range(400)]
    return train_tokenizers(recipe.Tokenizer(vocab_size=44), [*lines, *["Zwei a, b"] * 9], lines)


def looking_where_it_reads(source: Prefix, prefix: Prefix) -> np.ndarray:
    weights = np.zeros(len(source), dtype=np.float32)
    weights[min(len(prefix), len(source) - 1)] = 1.0
    return weights


def looking_astray(source: Prefix, prefix: Prefix) -> np.ndarray:
    """Its last piece looks at the first one."""
    weights = looking_where_it_reads(source, prefix)
    return np.roll(weights, 1) if weights[-1] else weights


Made = Callable[..., Translator]


@pytest.fixture
def copier(tokenizers: Tokenizers) -> Made:
    def made(
        text: recipe.Text | None = None,
        *,
        attention: bool = True,
        most: int | None = None,
        looks: Callable[[Prefix, Prefix], np.ndarray] = looking_where_it_reads,
    ) -> Translator:
        model = ScriptedModel(
            tokenizers.target.size,
            copying_script(tokenizers.target.size),
            looks if attention else None,
        )
        return Translator(
            model,
            tokenizers,
            recipe.Translation(),
            attention=attention,
            text=text or recipe.Text(),
            trained_on=TrainedOn(sentences=most, language="de"),
        )

    return made


@pytest.mark.parametrize("attention", [True, False])
@pytest.mark.parametrize(("span", "_"), ALL_KINDS)
def test_each_kind_comes_back_where_it_was(
    copier: Made, span: str, _: str, attention: bool
) -> None:
    lines = [f"zwei Kinder {span} spielen am Wasser.", f"{span} {LINE}", f"zwei Kinder {span}"]
    assert copier(attention=attention).translate(lines) == lines


@pytest.mark.parametrize("line", ["Zwei a, b {a}.", "Zwei a, b {a} %s.", "Zwei a, b ({a})."])
def test_what_stood_before_the_full_stop_stands_before_it(copier: Made, line: str) -> None:
    assert copier(looks=looking_astray).translate([line]) == [line]


@pytest.mark.parametrize(
    "line",
    [
        "<p>zwei <b>Kinder <i>spielen</i></b> am <br/>Wasser</p>",
        "{a}{b} zwei {a} Kinder {a}",
        "%s",
        "😀 ✓ https://a.example/",
        "<b></b>",
        "zwei Kinder ☃☃ spielen ж",
        "<b>%s</b> zwei Kinder <u>spielen {x}</u>",
    ],
)
def test_lines_with_several(copier: Made, line: str) -> None:
    assert copier().translate([line, "zwei Kinder"]) == [line, "zwei Kinder"]


def test_a_line_of_several_sentences(copier: Made) -> None:
    line = f"{LINE} {{a}} {LINE} <b>{LINE}</b> https://a.example/x?y. {LINE}"
    assert copier(most=1).translate([line]) == [line]


def test_a_glossary_reads_the_case_of_the_line(copier: Made) -> None:
    """Of a headline, which is read as usual, and of a line in capitals."""
    glossary = Glossary((Term("KINDER", ("Hund",)),))
    lines = ["Zwei KINDER Spielen Am Wasser {a}.", "ZWEI KINDER SPIELEN AM WASSER.", LINE]
    found = [copier().translate_nbest([one], glossary=glossary)[0][0].terms for one in lines]
    assert [[term.source for term in terms] for terms in found] == [["KINDER"], ["KINDER"], []]
    several = copier(most=1).translate_nbest([f"Zwei Hunde. {lines[0]}"], glossary=glossary)
    assert [term.source for term in several[0][0].terms] == ["KINDER"]


def test_capitals_come_back_as_capitals(copier: Made) -> None:
    (found,) = copier().translate_nbest(["ZWEI KINDER SPIELEN {a} ÜBER WASSER."])[0]
    assert found.text == "ZWEI KINDER SPIELEN {a} ÜBER WASSER."
    assert "".join(found.tokens) == "▁Zwei▁Kinder▁spielen▁{a}▁über▁Wasser.".replace(
        "▁Zwei", "▁Zwei"
    )


def test_what_the_recipe_does_not_name_is_read(copier: Made) -> None:
    text = recipe.Text(capitals=False, protect=Protect(kinds=("url",), patterns=(r"Kinder \w+",)))
    translator = copier(text)
    (found,) = translator.translate_nbest(["zwei Kinder spielen %s https://a.example/x"])[0]
    assert "▁Kinder spielen" in found.tokens
    assert "▁https://a.example/x" in found.tokens
    assert "%s" not in found.text  # the tokenizer cannot spell it, and nothing else keeps it
    assert [note.kind for note in found.notes] == ["unknown"]


def test_unknown_characters_are_told(copier: Made) -> None:
    found = [
        one[0] for one in copier().translate_nbest(["zwei Kinder ☃", "zwei żółty Kinder", LINE])
    ]
    assert [one.text for one in found] == ["zwei Kinder ☃", "zwei żółty Kinder", LINE]
    assert [[note.text for note in one.notes] for one in found[1:]] == [
        ["characters that the model does not know (ż, ó, ł, y) were taken over as they are"],
        [],
    ]


def test_a_number_that_the_model_would_lose_is_kept() -> None:
    lines = [f"{number} Hunde." for number in range(10, 90)]
    tokenizers = train_tokenizers(recipe.Tokenizer(vocab_size=24), lines, lines)
    size = tokenizers.target.size
    copied = copying_script(size)
    (one,), (two,) = ([tokenizers.target.vocabulary.index(digit)] for digit in "12")

    def miscounting(source: Prefix, prefix: Prefix) -> np.ndarray:
        log_probs = copied(source, prefix).copy()
        log_probs[[one, two]] = log_probs[[two, one]]
        return log_probs

    model = ScriptedModel(size, miscounting, looking_where_it_reads)
    asked = ["41 Hunde.", "33 Hunde.", "Hunde 41."]

    def translated(text: recipe.Text) -> list[str]:
        made = Translator(model, tokenizers, recipe.Translation(), attention=True, text=text)
        return made.translate(asked)

    assert translated(recipe.Text()) == ["41 Hunde.", "33 Hunde.", "Hunde 41."]
    without = recipe.Text(protect=Protect(kinds=("url",)))
    assert translated(without) == ["42 Hunde.", "33 Hunde.", "Hunde 42."]


def test_examples_of_unknown_characters_are_of_all_lines(copier: Made) -> None:
    told: list[str] = []

    def translated(*lines: str) -> None:
        list(warned(iter(copier().translate_nbest(lines)), Warnings(told.append)))

    translated("zwei ж Kinder", "zwei ż", LINE)
    assert told == [
        "2 of 3 lines (1, 2): characters that the model does not know (ж, ż) were taken over as "
        "they are"
    ]
    translated(*(f"zwei {chr(0x4E00 + n)}" for n in range(40)))
    assert "know (一, 丁, 丂, 七, 丄, 丅, 丆, 万, 丈, ...) were" in told[1]


def test_no_span_comes_into_a_term_of_a_line_in_capitals(copier: Made) -> None:
    glossary = Glossary((Term("zwei kinder", ("zwei Kinder",)),))
    (found,) = copier().translate_nbest(["ZWEI {a} KINDER SPIELEN."], glossary=glossary)[0]
    assert "ZWEI KINDER" in found.text
    assert "{a}" in found.text
    assert found.terms[0].is_met


def test_a_span_within_two_forced_phrases_is_there_once(copier: Made) -> None:
    asked = [Constraints(forced=["am Wasser", "am"])]
    text = recipe.Text(protect=Protect(patterns=(r"\bam\b",)))
    (found,) = copier(text).translate(["zwei am Wasser am Hund"], constraints=asked)
    assert len(re.findall(r"\bam\b", found)) == 2


def in_detail(translator: Translator, line: str) -> ScoredTranslation:
    options = replace(translator.search_options, attention=True)
    return translator.translate_nbest([line], options=options)[0][0]


@pytest.mark.parametrize("line", ["zwei {a} Kinder <b>spielen</b> am {b}.", f"{LINE} %s {LINE}"])
def test_details_are_of_the_line_as_it_is(copier: Made, line: str) -> None:
    found = in_detail(copier(most=1), line)
    assert "".join(found.tokens).replace("▁", " ").strip() == found.text == line
    assert found.source_tokens == found.tokens
    assert sum(found.token_log_probs) == pytest.approx(found.log_prob)
    assert len(found.token_log_probs) == len(found.tokens) + 1
    assert found.attention is not None
    assert found.attention.shape == (len(found.tokens) + 1, len(found.source_tokens) + 1)
    assert found.attention.sum(axis=1) == pytest.approx(1.0)
    assert found.alignment == [(i, i) for i in range(len(line.split()))]


def test_scores_are_those_of_the_line_without_spans(copier: Made) -> None:
    translator = copier()
    (plain,), (with_span,) = translator.translate_nbest([LINE, f"zwei %s{LINE[4:]}"])
    assert (plain.score, plain.log_prob) == (with_span.score, with_span.log_prob)


@pytest.mark.parametrize(
    "line", ["zwei {a} Kinder <b>spielen</b> am Wasser.", "zwei Kinder ☃", "%s", "ZWEI KINDER"]
)
def test_a_translation_found_has_the_score_that_is_computed_of_it(copier: Made, line: str) -> None:
    translator = copier()
    (found,) = translator.translate_nbest([line])[0]
    scorer = Scorer(translator)
    for given in (found.text, found.tokens):
        (scored,) = scorer.score([(line, given)])
        assert scored.log_prob == pytest.approx(found.log_prob)


def test_a_span_that_a_prefix_brought_does_not_come_twice(
    copier: Made, tokenizers: Tokenizers
) -> None:
    constraints = [Constraints(prefix="a, b"), Constraints(forced=["a, b"])]
    text = recipe.Text(protect=Protect(kinds=(), patterns=("a, b",)))
    lines = ["a, b zwei Kinder", "a, b zwei Kinder"]
    found = copier(text).translate(lines, constraints=constraints)
    assert [one.count("a, b") for one in found] == [1, 1]


def test_a_prefix_stays_letter_for_letter(copier: Made) -> None:
    lines = ["zwei <b>Kinder</b> spielen %s", "1.5 und 11.5 Wasser", "zwei 1.5 € Kinder"]
    prefixes = ["zwei <b>Kinder</b>", "ein 11.5 ", "Zwei a, b"]
    constraints = [Constraints(prefix=one) for one in prefixes]
    found = copier().translate(lines, constraints=constraints)
    for line, prefix, text in zip(lines, prefixes, found, strict=True):
        assert text.startswith(prefix)
        for span in ("<b>", "</b>", "%s", "11.5", "1.5 €"):
            assert text.count(span) == line.count(span)
    assert found[1].replace("11.5", "").count("1.5") == 1


def test_what_looks_like_a_span_is_none(copier: Made) -> None:
    text = recipe.Text(protect=Protect(kinds=(), patterns=("ein",)))
    (found,) = copier(text).translate(["ein Kinder"], constraints=[Constraints(forced=["ein"])])
    assert found.split().count("ein") == 1
    (found,) = copier(text).translate(["zwei Kinder ein Wasser"])  # "ein" is in no word of it
    assert found == "zwei Kinder ein Wasser"


def test_constraints_stay_as_they_are_in_capitals(copier: Made) -> None:
    constraints = [Constraints(prefix="zwei a"), Constraints(forced=["Kinder"])]
    found = copier().translate(["ZWEI KINDER SPIELEN"] * 2, constraints=constraints)
    assert found[0].startswith("zwei a")
    assert "Kinder" in found[1]
    assert "SPIELEN" in found[1]


def test_a_line_of_spans_alone_is_as_it_was(copier: Made) -> None:
    assert copier().translate(["<a  href='x'>  {{ a   b }}"]) == ["<a  href='x'>  {{ a   b }}"]


def test_truncated_lines_keep_their_spans(copier: Made) -> None:
    translator = copier()
    translator.longest = 4
    (found,) = translator.translate(["zwei Kinder spielen am Wasser %s"], long="truncate")
    assert found.endswith(" %s")


def test_control_characters_are_not_taken_over(copier: Made) -> None:
    (found,) = copier().translate(["zwei \0Kinder \x1b[31m\x85 ☃"])
    assert not any(character in found for character in "\0\x1b\x85")
    assert found.endswith(" ☃")


def test_halves_of_surrogate_pairs_are_replaced(copier: Made) -> None:
    lines = ["zwei \ud800 Kinder", "\udfff", "{a\ud800}", "<b \ud83d\ude00='\ud800'>"]
    for found in copier().translate(lines):
        found.encode("utf-8")
