"""One table: options of ``seq2seq translate`` that do not stand together, and what is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.tokenizers import save

from seq2seq import recipe
from seq2seq.text.tokenizer import train_tokenizers

CONFLICTS = [
    ("--temperature 2", "--temperature needs --sample N: give both, or leave --temperature out"),
    ("--top-k 2", "--top-k needs --sample N: give both, or leave --top-k out"),
    ("--top-p 0.5", "--top-p needs --sample N: give both, or leave --top-p out"),
    ("--seed 2", "--seed needs --sample N: give both, or leave --seed out"),
    ("--diversity 1", "--diversity needs --groups N: give both, or leave --diversity out"),
    ("--combine log", "--combine needs --with MODEL: give both, or leave --combine out"),
    ("--weights 1,2", "--weights needs --with MODEL: give both, or leave --weights out"),
    (
        "--with model --weights 1",
        "--weights has 1 number for 2 models: give one for each, MODEL first",
    ),
    (
        "--with model --weights 1,x",
        "--weights is '1,x'; give numbers separated by commas: 2,1,1",
    ),
    ("--with model --combine max", "--combine is 'max'; allowed: log, probability"),
    ("--sample 2 --beam 3", "--sample and --beam cannot be combined: leave one of them out"),
    ("--sample 2 --groups 2", "--sample and --groups cannot be combined: leave one of them out"),
    (
        "--sample 2 --coverage 1",
        "--sample and --coverage cannot be combined: leave one of them out",
    ),
    (
        "--sample 2 --n-best 2",
        "--n-best is for beam search, while --sample N already draws N translations: leave "
        "--n-best out, and give --format nbest or jsonl to see all of them",
    ),
    ("--sample 1 --temperature 0", "--temperature is 0.0; it must be above 0"),
    ("--sample 1 --top-p 1.5", "--top-p is 1.5; it must be above 0 and at most 1"),
    ("--mbr bleurt", "mbr: unknown name 'bleurt' (did you mean 'bleu'?); allowed: chrf, bleu"),
    (
        "--mbr chrf --beam 1",
        "mbr chooses among several translations: draw 2 samples or more, or use a beam of 2 or "
        "more",
    ),
    (
        "--n-best 2 --format text",
        "--format text writes one translation per line, so --n-best would have no effect: leave "
        "one of them out, or give --format nbest or jsonl",
    ),
    ("--format xml", "--format is 'xml'; allowed: text, nbest, jsonl"),
    (
        "--format-in docx",
        "--format-in is 'docx'; allowed: html, markdown, po, srt, xliff",
    ),
    (
        "--format-in html --format jsonl",
        "--format-in: a document is written in its own format: leave --format out",
    ),
    (
        "--format-in po --n-best 2",
        "--format-in: a document takes one translation of each text (N are for --mbr to choose "
        "among): leave --n-best out",
    ),
    *(
        (
            f"--format-in srt {option} x",
            "--format-in: what belongs to each line of INPUT has no place, as a document is no "
            f"list of lines: leave {option} out",
        )
        for option in ("--alignments", "--attention", "--prefix", "--constraints")
    ),
    ("--length-penalty log", "--length-penalty is 'log'; allowed: none, length, gnmt"),
    (
        "--length-penalty none --alpha 1",
        "--alpha has no effect without a length penalty: leave it out, or give --length-penalty "
        "length or gnmt",
    ),
    (
        "--min-length 5 --max-length 4",
        "min_length is 5, but max_length 4: no translation has both",
    ),
    (
        "--repetition-penalty 0",
        "repetition_penalty is 0.0; numbers above 0 are allowed (1: no penalty, above 1: less "
        "repetition)",
    ),
    ("--max-ratio 1e300", "max_ratio is 1e+300; at most 1,000 is allowed"),
    ("--alpha inf", "alpha is inf; at most 10 is allowed"),
    ("--beam 1000000", "beam is 1000000; at most 1,000 is allowed"),
    (f"--min-length {10**21}", f"min_length is {10**21}; at most 100,000 is allowed"),
    (f"--batch-size {10**18}", f"batch_size is {10**18}; at most 100,000 is allowed"),
    ("--sample 2 --temperature 1e30", "temperature is 1e+30; at most 1,000 is allowed"),
    (f"--processes {10**9}", "processes is 1000000000; at most 1,024 is allowed"),
    ("--long cut", "long: unknown name 'cut'; allowed: split, truncate, keep"),
    (
        "--alignments -",
        "standard output: named for two outputs: give each its own file",
    ),
    (
        "-o out --attention -",
        "--attention writes a binary file, which cannot go to standard output: name a file",
    ),
    (
        "-o out --alignments ./out",
        "out: named for two outputs: give each its own file",
    ),
    (
        "--with one --with other -o other/card.json",
        "other/card.json: belongs to the model: write to another file",
    ),
    ("--alignments in", "in: is an input, and would be overwritten: write to another file"),
    (
        "-o wishes --constraints wishes",
        "wishes: is an input, and would be overwritten: write to another file",
    ),
    (
        "--prefix short",
        "in has 2 lines but short has 1 line: line n of one must belong to line n of the other",
    ),
    (
        "--constraints nowhere",
        "nowhere: no such file",
    ),
    ("--coverage 0.5", "this model has no attention, ..."),
    ("--alignments al", "this model has no attention, ..."),
    (
        "--engine torch --precision int4",
        "precision is 'int4' (did you mean 'int8'?); allowed: float32, int8",
    ),
    ("--engine torch --precision int8", "the engine 'torch' has no int8: ..."),
    ("--engine torch --shortlist", "the engine 'torch' has no shortlist: ..."),
]

WISHES = [
    (
        '{"prefix": "a"',
        "not JSON: Expecting ',' delimiter: write {\"prefix\": ...",
    ),
    ("[]", 'not an object: write {"prefix": "...", "force": ["..."], "avoid": ["..."]}, or {} ...'),
    (
        '{"forced": []}',
        "unknown name 'forced' (did you mean 'force'?); allowed: prefix, force, ...",
    ),
    ('{"prefix": 3}', "prefix must be a string, not 3"),
    ('{"force": "Hund"}', 'force must be a list of phrases that are not empty, not "Hund"'),
    *(
        (
            f'{{"force": {value}}}',
            f"force must be a list of phrases or lists of them that are not empty, not {value}",
        )
        for value in ('["a", []]', '[["a", " "]]', '[["a", ["b"]]]')
    ),
    ('{"avoid": [["a"]]}', 'avoid must be a list of phrases that are not empty, not [["a"]]'),
    ('{"avoid": [" "]}', 'avoid must be a list of phrases that are not empty, not [" "]'),
    ('{"force": ["a"], "force": ["b"]}', "has the key 'force' twice"),
]


@pytest.fixture
def files(trained: Path, here: Path) -> Path:
    (here / "model").symlink_to(trained / "run")
    (here / "in").write_text("the dog\na cat\n", encoding="utf-8")
    (here / "wishes").write_text("{}\n{}\n", encoding="utf-8")
    (here / "short").write_text("a\n", encoding="utf-8")
    return here


def is_said(told: str, message: str) -> bool:
    """Whether the last line is an error of these words; "..." stands for more."""
    last = told.splitlines()[-1]
    if message.endswith("..."):
        return last.startswith(f"error: {message[:-3]}")
    return last == f"error: {message}"


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("options", "message"), CONFLICTS, ids=[case[0] for case in CONFLICTS])
def test_options_that_do_not_stand_together(run, here: Path, options: str, message: str) -> None:
    before = sorted(here.iterdir())
    done = run("translate", "model", "in", *options.split())
    assert (done.code, done.out) == (2, "")
    assert is_said(done.err, message), done.err
    assert sorted(here.iterdir()) == before


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("line", "message"), WISHES, ids=[case[0] for case in WISHES])
def test_wishes_that_are_wrong(run, here: Path, line: str, message: str) -> None:
    (here / "wishes").write_text(f"\n{line}\n", encoding="utf-8")
    done = run("translate", "model", "in", "--constraints", "wishes", "-o", "out")
    assert (done.code, (here / "out").exists()) == (2, False)
    assert is_said(done.err, f"wishes, line 2: {message}"), done.err


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("batch_size", ["1", "64"])
def test_a_wish_that_cannot_be_met_names_its_line(run, here: Path, batch_size: str) -> None:
    wishes = '{"force": ["a"]}\n{"force": ["the cat"], "avoid": ["cat"]}\n'
    (here / "wishes").write_text(wishes, encoding="utf-8")
    command = ("translate", "model", "in", "--constraints", "wishes", "-o", "out")
    done = run(*command, "--batch-size", batch_size)
    assert done.code == 2
    assert is_said(
        done.err,
        "line 2: the forced phrase 'the cat' holds 'cat', which is to be avoided: "
        "leave one of them out",
    ), done.err


@pytest.mark.usefixtures("files")
def test_two_prefixes_for_a_line(run, here: Path) -> None:
    (here / "wishes").write_text('{"prefix": "a"}\n{"prefix": "b"}\n', encoding="utf-8")
    (here / "prefix").write_text("\nc\n", encoding="utf-8")
    done = run("translate", "model", "in", "--constraints", "wishes", "--prefix", "prefix")
    assert done.err == (
        "error: wishes, line 2: has a prefix, but prefix has one for the same line: "
        "remove one of them\n"
    )


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ("{}\n", "there are constraints for 1 line, but there are more lines"),
        ("{}\n{}\n{}\n", "there are more lines of constraints than lines to translate (2)"),
    ],
)
def test_counts_that_are_known_only_at_the_end(run, here: Path, wishes: str, message: str) -> None:
    (here / "wishes").write_text(wishes, encoding="utf-8")
    done = run("translate", "model", "--constraints", "wishes", "-o", "out", stdin=b"a\nb\n")
    assert (done.code, (here / "out").exists()) == (2, False)
    assert done.err.endswith(f"error: {message}\n")


@pytest.mark.usefixtures("files")
def test_models_of_different_tokenizers(run, here: Path, trained: Path) -> None:
    shutil.copytree(trained / "run", here / "other")
    lines = ["a cat and a dog", "the bird sings on a tree", "zebras quickly jump"] * 9
    save(train_tokenizers(recipe.Tokenizer(vocab_size=30), lines, lines), here / "other")
    (here / "other" / "card.json").unlink()
    done = run("translate", "model", "in", "--with", "other")
    assert done.err == (
        "error: other: its tokenizer is not that of model: models translate together only if they "
        "were trained with the same tokenizer\n"
    )
