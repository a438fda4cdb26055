from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

LINES = "zwei Kinder spielen am Wasser\n\nein Hund und ein Hund\nein Hunde\n"
TERMS = "source\ttarget\nHund\tWiese|Kinder\nzwei  Kinder\tüber Wasser\n"


@pytest.fixture
def here(here: Path) -> Path:
    (here / "in").write_text(LINES, encoding="utf-8")
    (here / "terms.tsv").write_text(TERMS, encoding="utf-8")
    return here


@pytest.mark.parametrize("more", [(), ("--beam", "1"), ("--sample", "3"), ("--batch-size", "1")])
def test_terms_are_translated_as_the_file_says(run, model, more: tuple[str, ...]) -> None:
    done = run("translate", model, "in", "--glossary", "terms.tsv", "--verbose", *more)
    assert done.code == 0
    first, empty, both, plain = done.out.splitlines()
    assert "über Wasser" in first
    assert empty == ""
    assert len(re.findall(r"Wiese\b|Kinder\b", both)) >= 2
    assert done.err.splitlines()[-1] == "glossary: 3 terms in 2 of 4 lines; 3 met"
    assert plain == run("translate", model, "in", *more).out.splitlines()[3]


def test_what_is_not_met_is_told(run, model) -> None:
    """One piece is room for one of two words, and for none of two pieces."""
    short = ("--glossary", "terms.tsv", "--max-length", "1", "-o", "out")
    done = run("translate", model, "in", *short)
    assert done.code == 0
    report = done.err.splitlines()[-1]
    assert report == "glossary: 3 terms in 2 of 4 lines; 1 met"
    assert "über Wasser" not in done.err
    verbose = run("translate", model, "in", *short, "--verbose")
    told = [line for line in verbose.err.splitlines() if "glossary" in line]
    assert told == [
        "warning: line 1: glossary: 'zwei Kinder' was not translated as 'über Wasser'",
        "warning: line 3: glossary: 'Hund' was not translated as 'Wiese' or 'Kinder'",
        report,
    ]


def test_with_alternatives_in_constraints(run, model, here: Path) -> None:
    forced = {"force": [["grüne", "Wiese"], "am"], "avoid": ["über"]}
    lines = "".join(f"{json.dumps(one)}\n" for one in ({}, {}, {}, forced))
    (here / "wishes").write_text(lines, encoding="utf-8")
    done = run("translate", model, "in", "--constraints", "wishes", "--glossary", "terms.tsv")
    assert done.code == 0
    assert re.search(r"\b(grüne|Wiese)\b", done.out.splitlines()[3])
    assert "am" in done.out.splitlines()[3].split()
    (here / "wishes").write_text('{"avoid": ["Wasser"]}\n{}\n{}\n{}\n', encoding="utf-8")
    done = run("translate", model, "in", "--constraints", "wishes", "--glossary", "terms.tsv")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: line 1: 'Wasser' is to be avoided, but terms.tsv translates 'zwei Kinder' so: "
        "leave one of them out\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--glossary nowhere", "nowhere: no such file"),
        ("--glossary terms.tsv -o terms.tsv", "terms.tsv: is an input, and would be overwritten"),
        ("--glossary in", "in, line 1: has 1 column; write a term, a tab"),
        ("--glossary unknown.tsv", "unknown.tsv: translations with characters that the model's"),
        ("--glossary - --prefix -", "standard input can be read only once"),
    ],
)
def test_what_is_refused(run, model, here: Path, options: str, message: str) -> None:
    (here / "unknown.tsv").write_text("Hund\t☃\n", encoding="utf-8")
    done = run("translate", model, "in", *options.split())
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {message}")
    assert (here / "terms.tsv").read_text(encoding="utf-8") == TERMS


def test_several_processes_and_evaluate(run, trained: Path, here: Path) -> None:
    lines = "the dog sleeps\na cat and a dog\n" * 20
    (here / "some.en").write_text(lines, encoding="utf-8")
    (here / "some.de").write_text(lines, encoding="utf-8")
    (here / "some.tsv").write_text("dog\tHund|Hunde\n", encoding="utf-8")
    model, glossary = str(trained / "run"), ("--glossary", "some.tsv")
    alone = run("translate", model, "some.en", *glossary)
    assert alone.code == 0, alone.err
    assert all(re.search(r"\bHunde?\b", line) for line in alone.out.splitlines())
    report = "glossary: 40 terms in 40 of 40 lines; 40 met"
    assert alone.err.splitlines()[-1] == report
    pooled = run("translate", model, "some.en", *glossary, "--processes", "2", "--batch-size", "4")
    assert (pooled.out, pooled.err) == (alone.out, alone.err)
    scored = run("evaluate", model, "some.en", "some.de", *glossary, "-o", "out", "--json")
    assert scored.code == 0, scored.err
    assert (here / "out").read_text(encoding="utf-8") == alone.out
    assert report in scored.err.splitlines()
    json.loads(scored.out)
