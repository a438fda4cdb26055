from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest

SOURCE = "The dog sees a cat.\n\nShe reads.\n"


@pytest.fixture
def found(run, attending: Path, here: Path) -> list[dict]:
    """What translate reports; the files in and out are there afterwards."""
    Path("in").write_text(SOURCE, encoding="utf-8")
    done = run("translate", str(attending / "run"), "in", "--format", "jsonl", "--beam", "4")
    best = [json.loads(line)["hypotheses"][0] for line in done.out.splitlines()]
    Path("out").write_text("".join(one["text"] + "\n" for one in best), encoding="utf-8")
    return best


@pytest.mark.parametrize("options", [(), ("--length-penalty", "gnmt"), ("--coverage", "0.3")])
def test_the_number_that_translate_reports(run, attending: Path, here: Path, options) -> None:
    model = str(attending / "run")
    Path("in").write_text(SOURCE, encoding="utf-8")
    translated = run("translate", model, "in", "--format", "jsonl", "--beam", "4", *options)
    best = [json.loads(line)["hypotheses"][0] for line in translated.out.splitlines()]
    Path("out").write_text("".join(one["text"] + "\n" for one in best), encoding="utf-8")
    done = run("score", "--model", model, "in", "out", "--format", "jsonl", *options)
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["text"] for row in rows] == [one["text"] for one in best]
    same = [
        (row, one)
        for row, one in zip(rows, best, strict=True)
        if row["tokens"] == one["tokens"] and not one["truncated"]  # as below
    ]
    assert len(same) >= 1  # the empty line at least; others where the pieces are the same
    for row, one in same:
        assert row["log_prob"] == pytest.approx(one["log_prob"], abs=1e-4)
        assert row["score"] == pytest.approx(one["score"], abs=1e-4)
        assert row["token_log_probs"] == pytest.approx(one["token_log_probs"], abs=1e-4)


@pytest.mark.parametrize(
    "options", [("--beam", "4"), ("--beam", "4", "--n-best", "4"), ("--sample", "3")]
)
def test_what_was_found_in_other_pieces_has_the_number_that_was_reported(
    run, attending: Path, here: Path, options
) -> None:
    model = str(attending / "run")
    Path("in").write_text(SOURCE, encoding="utf-8")
    done = run("translate", model, "in", "--format", "jsonl", *options, "-o", "out.jsonl")
    assert done.code == 0, done.err
    written = Path("out.jsonl").read_text(encoding="utf-8").splitlines()
    found = [one for line in written for one in json.loads(line)["hypotheses"]]
    done = run("score", "--model", model, "in", "out.jsonl", "--format", "jsonl")
    assert done.code == 0, done.err
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert len(rows) == len(found) >= 3
    for row, one in zip(rows, found, strict=True):
        assert row["tokens"] == one["tokens"]
        if one["truncated"]:  # a loop: its text was cut, its number is of all that was found
            continue
        assert row["log_prob"] == pytest.approx(one["log_prob"], abs=1e-4)
        assert row["score"] == pytest.approx(one["score"], abs=1e-4)


@pytest.mark.parametrize("line", ["{", "[]", '{"hypotheses": [{}]}', '{"hypotheses": 3}'])
def test_json_lines_that_are_not_translates(run, attending: Path, here: Path, line: str) -> None:
    Path("in").write_text("The dog\n", encoding="utf-8")
    Path("out.jsonl").write_text(line + "\n", encoding="utf-8")
    done = run("score", "--model", str(attending / "run"), "in", "out.jsonl")
    assert done.code == 2
    assert done.err == (
        'error: out.jsonl, line 1: must be an object with "hypotheses", each with its "tokens", as '
        "seq2seq translate --format jsonl writes it\n"
    )


def test_pieces_of_another_tokenizer(run, attending: Path, here: Path) -> None:
    Path("in").write_text("The dog\n", encoding="utf-8")
    line = '{"hypotheses": [{"tokens": ["\u2581none", "such"]}]}'
    Path("out.jsonl").write_text(line + "\n", encoding="utf-8")
    done = run("score", "--model", str(attending / "run"), "in", "out.jsonl")
    assert done.code == 2
    assert "none' is none of the model's" in done.err


def test_text_has_three_columns_and_the_corpus_a_perplexity(run, attending, found) -> None:
    model = str(attending / "run")
    rows = [
        json.loads(line)
        for line in run(
            "score", "--model", model, "in", "out", "--format", "jsonl"
        ).out.splitlines()
    ]
    done = run("score", "--model", model, "in", "out")
    table = [[float(word) for word in line.split("\t")] for line in done.out.splitlines()]
    assert len(table) == 3
    assert table[1] == [0.0, 0.0, 1.0]
    total = sum(row["log_prob"] for row in rows)
    tokens = sum(len(row["token_log_probs"]) for row in rows)
    for row, (log_prob, score, perplexity) in zip(rows, table, strict=True):
        steps = max(len(row["token_log_probs"]), 1)
        assert log_prob == pytest.approx(row["log_prob"], abs=1e-5)
        assert score == pytest.approx(row["score"], abs=1e-5)
        assert perplexity == pytest.approx(math.exp(-row["log_prob"] / steps), rel=1e-4)
    assert done.err == (
        f"out: perplexity {math.exp(-total / tokens):.4f}, log-probability {total:.4f}, 3 lines, "
        f"{tokens} tokens (ends of sentences included)\n"
    )


def test_n_best_lists_and_several_files(run, attending, found) -> None:
    model = str(attending / "run")
    Path("nbest").write_text("2 ||| Sie\n0 ||| Der ||| Hund ||| -1.5\n2 ||| \n", encoding="utf-8")
    done = run("score", "--model", model, "in", "nbest", "nbest", "--n-best", "--format", "jsonl")
    rows = [json.loads(line) for line in done.out.splitlines()]
    assert [row["source"] for row in rows] == [
        "She reads.",
        "The dog sees a cat.",
        "She reads.",
    ] * 2
    assert [row["text"] for row in rows[:3]] == ["Sie", "Der", ""]
    assert rows[:3] == rows[3:]
    assert done.err.count("nbest: perplexity ") == 2


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("nowhere", "nowhere: no such file"),
        ("folder", "folder: a folder, where a file is expected"),
        ("short", "in has 3 lines but short has 1 line: line n of one must belong to line n"),
        ("packed", "packed: not plain text but gzip data: its name must end in .gz"),
    ],
)
def test_all_files_are_looked_at_before_the_first_is_scored(
    run, attending, found, second: str, message: str
) -> None:
    Path("folder").mkdir()
    Path("short").write_text("one\n", encoding="utf-8")
    Path("packed").write_bytes(gzip.compress(b"one\ntwo\nthree\n"))
    done = run("score", "--model", str(attending / "run"), "in", "out", second)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_batches_change_nothing(run, attending, found) -> None:
    model = str(attending / "run")
    Path("many").write_text("The dog.\n" * 9 + SOURCE, encoding="utf-8")
    command = ("score", "--model", model, "many", "many", "--batch-size")
    tables = [
        [
            [float(word) for word in line.split("\t")]
            for line in run(*command, size).out.splitlines()
        ]
        for size in ("1", "5", "64")
    ]
    for other in tables[1:]:
        for row, same in zip(tables[0], other, strict=True):
            assert row == pytest.approx(same, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("in out --metric bleu", "--metric applies only without --model: leave it out"),
        ("in nbest --n-best", "nbest, line 2: must be INDEX ||| TEXT, or INDEX ||| TEXT ||| SCORE"),
        (
            "in far --n-best",
            "far, line 1: has the index 3, but in has 3 lines: the index must be from 0 to 2",
        ),
        ("in short", "in has 3 lines but short has 1 line: line n of one must belong to line n"),
        ("in out --format xml", "--format is 'xml'; allowed: text, jsonl"),
        ("- out", "standard input and out have different numbers of lines: one ends after line 1"),
    ],
)
def test_what_is_refused(run, attending, found, command: str, message: str) -> None:
    Path("nbest").write_text("0 ||| a\nb\n", encoding="utf-8")
    Path("far").write_text("3 ||| a\n", encoding="utf-8")
    Path("short").write_text("a\n", encoding="utf-8")
    done = run("score", "--model", str(attending / "run"), *command.split(), stdin=b"a\n")
    assert done.code == 2

    assert f"error: {message}" in done.err


def test_model_options_without_a_model(run, here: Path) -> None:
    done = run("score", "a", "b", "--alpha", "1", "--threads", "2")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: --alpha, --threads apply only with --model: leave them out\n"


def test_pictures_of_attention(run, attending, found) -> None:
    model = str(attending / "run")
    done = run("inspect", "attention", model, "in", "-o", "own", "--threads", "1")
    assert (done.code, done.out) == (0, "own: 2 pictures\n")
    done = run("inspect", "attention", model, "in", "out", "-o", "given", "--lines", "1")
    assert (done.code, done.out) == (0, "given: 1 picture\n")
    pictures = sorted([*Path("own").iterdir(), *Path("given").iterdir()])
    assert [str(one) for one in pictures] == [
        "given/line-0001.png",
        "own/line-0001.png",
        "own/line-0003.png",
    ]
    assert all(one.read_bytes().startswith(b"\x89PNG\r\n") for one in pictures)


def test_pictures_that_cannot_be(
    run, trained: Path, attending: Path, here: Path, monkeypatch
) -> None:
    Path("in").write_text("a $a$ 漢字\n", encoding="utf-8")
    done = run("inspect", "attention", str(attending / "run"), "in", "-o", "p")
    assert (done.code, done.out) == (0, "p: 1 picture\n")
    done = run("inspect", "attention", str(trained / "run"), "in", "-o", "q")
    assert done.code == 2
    assert "this model has no attention to draw" in done.err
    assert not Path("q").exists()
    done = run("inspect", "attention", str(attending / "run"), "in", "-o", "in")
    assert (done.code, done.err) == (2, "error: in: cannot be created: File exists\n")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    done = run("inspect", "attention", str(attending / "run"), "in", "-o", "q")
    assert done.err == (
        "error: drawing attention needs the package 'matplotlib', which is not installed: "
        "pip install 'seq2seq[train]'\n"
    )
