from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import sacrebleu

from seq2seq.cli import console
from seq2seq.cli.console import LineProgress
from seq2seq.errors import ModelError
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.inference.translator import ScoredTranslation, Translator
from seq2seq.recipe import Recipe

SOURCE = "zwei Kinder spielen am Wasser\nein Hund läuft über die grüne Wiese\n"
REFERENCE = "zwei Kinder spielen im Wasser\nEin Hund läuft über die Wiese\n"
VERSION = f"version:{sacrebleu.__version__}"


@pytest.fixture
def files(here: Path) -> None:
    Path("out.de").write_text(SOURCE, encoding="utf-8")
    Path("test.de").write_text(REFERENCE, encoding="utf-8")
    Path("other.de").write_text(SOURCE, encoding="utf-8")


def expected(lowercase: bool = False) -> list[float]:
    ours, theirs = SOURCE.splitlines(), [REFERENCE.splitlines()]
    return [
        sacrebleu.corpus_bleu(ours, theirs, lowercase=lowercase).score,
        sacrebleu.corpus_chrf(ours, theirs).score,
        sacrebleu.corpus_ter(ours, theirs).score,
    ]


@pytest.mark.usefixtures("files")
def test_score_prints_scores_with_signatures(run) -> None:
    done = run("score", "out.de", "test.de")
    assert (done.code, done.err) == (0, "")
    bleu, chrf, ter = expected()
    lines = done.out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(
        f"BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|{VERSION} = {bleu:.2f} "
    )
    assert lines[1:] == [
        f"chrF2|nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|{VERSION} = {chrf:.2f}",
        f"TER|nrefs:1|case:lc|tok:tercom|norm:no|punct:yes|asian:no|{VERSION} = {ter:.2f}",
    ]


@pytest.mark.usefixtures("files")
def test_json(run) -> None:
    done = run("score", "out.de", "test.de", "--json", "--lowercase", "--metric", "bleu")
    assert json.loads(done.out) == {
        "lines": 2,
        "scores": [
            {
                "name": "BLEU",
                "value": expected(lowercase=True)[0],
                "signature": f"nrefs:1|case:lc|eff:no|tok:13a|smooth:exp|{VERSION}",
                "confidence": None,
            }
        ],
    }
    done = run("score", "out.de", "test.de", "--json", "--bootstrap", "20")
    for score in json.loads(done.out)["scores"]:
        assert score["confidence"] >= 0
        assert "|bs:20|seed:12345|" in score["signature"]


@pytest.mark.usefixtures("files")
def test_several_references_and_standard_input(run) -> None:
    done = run("score", "-", "test.de", "other.de", "--metric", "ter", stdin=SOURCE.encode())
    assert done.out == (
        f"TER|nrefs:2|case:lc|tok:tercom|norm:no|punct:yes|asian:no|{VERSION} = 0.00\n"
    )


def test_odd_characters_do_not_break_lines(run) -> None:
    odd = "ein\u2028Hund\n\x0b\n\x00\rzwei\n"
    for name in ("a", "b"):
        Path(name).write_bytes(odd.encode())
    done = run("score", "a", "b", "--metric", "chrf", "--json")
    assert json.loads(done.out)["lines"] == 3


@pytest.mark.usefixtures("files")
def test_windows_line_ends_change_no_score(run, model) -> None:
    for name, text in (("out", SOURCE), ("test", REFERENCE)):
        Path(f"{name}.crlf").write_bytes(text.replace("\n", "\r\n").encode())
    assert run("score", "out.crlf", "test.crlf").out == run("score", "out.de", "test.de").out
    crlf = run("evaluate", model, "out.crlf", "test.crlf", "-o", "mine.de")
    assert crlf.out == run("evaluate", model, "out.de", "test.de").out
    assert Path("mine.de").read_bytes().decode() == SOURCE


def test_translations_that_look_tokenized_are_warned_about(run) -> None:
    text = "ein Hund läuft .\n" * 100
    for name in ("a", "b"):
        Path(name).write_text(text, encoding="utf-8")
    done = run("score", "a", "b", "--metric", "bleu")
    assert done.code == 0
    assert done.err.startswith("warning: That's 100 lines that end in a tokenized period ('.')\n")


@pytest.mark.usefixtures("files")
def test_evaluate_translates_and_scores(run, model) -> None:
    done = run("evaluate", model, "other.de", "test.de", "-o", "mine.de", "--beam", "2")
    assert done.code == 0
    assert Path("mine.de").read_text(encoding="utf-8") == SOURCE
    assert done.out == run("score", "mine.de", "test.de").out
    assert done.err.startswith("translating: 2 in ")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("format_", ["text", "nbest", "jsonl"])
def test_output_that_is_no_plain_text_is_told(run, model, format_: str) -> None:
    assert run("translate", model, "other.de", "-o", "mine.x", "--format", format_).code == 0
    told = (
        f"warning: mine.x: looks as if written by translate --format {format_}, and is scored as "
        "it is: give the plain text that translate writes by default\n"
    )
    assert run("score", "mine.x", "test.de").err == ("" if format_ == "text" else told)


@pytest.mark.usefixtures("no_mecab")
@pytest.mark.parametrize(
    ("reference", "tokenizer", "why"),
    [
        ("他每天买水！\n三只狗在跑。\n", "zh", "100% of the references' letters are Chinese"),
        (
            "我在家里用 Python 写代码。\n三只狗\n",
            "zh",
            "65% of the references' letters are Chinese",
        ),
        ("彼は毎日水を買う。\n三匹の犬\n", "char", "100% of the references' letters are Japanese"),
        ("เขาซื้อน้ำทุกวัน\nสุนัขสามตัววิ่ง\n", "char", "100% of the references' letters are Thai"),
        ("그는 매일 물을 산다.\n개 세 마리가 달린다.\n", "13a", ""),
        ("他 每天 买 水 ！\n三 只 狗 在 跑 。\n", "13a", ""),  # words as a tokenizer split them
        ("Er kauft 水.\n\n", "13a", ""),
        ("1 2 3\n\n", "13a", ""),
    ],
)
def test_the_text_chooses_the_tokenizer(
    run, here: Path, reference: str, tokenizer: str, why: str
) -> None:
    """By 13a a near-correct translation would have a BLEU of 0."""
    output = "".join(line[len(line) > 1 :] for line in reference.splitlines(keepends=True))
    (here / "out.x").write_text(output, encoding="utf-8")
    (here / "test.x").write_text(reference, encoding="utf-8")
    done = run("score", "out.x", "test.x", "--metric", "bleu", "--json")
    (score,) = json.loads(done.out)["scores"]
    theirs = sacrebleu.corpus_bleu(
        output.splitlines(), [reference.splitlines()], tokenize=tokenizer
    )
    assert score["value"] == theirs.score
    assert f"|tok:{tokenizer}|" in score["signature"]
    hint = (
        "" if not why else f"BLEU is tokenized by {tokenizer}: {why}, without spaces between words"
    )
    assert done.err.startswith(hint)
    assert done.err.count("\n") == bool(why)
    assert run("score", "out.x", "test.x", "--tokenize", "char").err == ""
    assert run("score", "out.x", "test.x", "--metric", "chrf").err == ""
    done = run("score", "out.x", "test.x", "--metric", "bleu", "--tokenize", "13a")
    assert ("|tok:13a|" in done.out, done.code) == (True, 0)
    doubt = f"warning: --tokenize 13a takes a whole line for one word: {why}" if why else ""
    assert done.err.startswith(doubt)
    assert done.err.count("\n") == bool(why)


@pytest.mark.usefixtures("files", "no_mecab")
@pytest.mark.parametrize("name", ["ja-mecab", "flores200"])
@pytest.mark.parametrize("verb", [("score", "out.de"), ("evaluate", "nowhere", "out.de")])
def test_a_tokenizer_that_is_not_there_is_told_before(
    run, monkeypatch, tmp_path: Path, name: str, verb: tuple[str, ...]
) -> None:
    """There is no model "nowhere", and nothing is downloaded."""
    monkeypatch.setattr("sacrebleu.utils.SACREBLEU_DIR", str(tmp_path / "none"))
    done = run(*verb, "test.de", "--tokenize", name)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: tokenize: {name} cannot be used: ")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "none").exists()


@pytest.mark.usefixtures("files")
def test_evaluate_takes_several_references(run, model) -> None:
    Path("third.de").write_text("drei Kinder\nein Hund\n", encoding="utf-8")
    names = ("test.de", "other.de", "third.de")
    done = run("evaluate", model, "out.de", *names, "-o", "mine.de", "--json")
    told = json.loads(done.out)
    lines = Path("mine.de").read_text(encoding="utf-8").splitlines()
    references = [Path(name).read_text(encoding="utf-8").splitlines() for name in names]
    assert [one["value"] for one in told["scores"]] == [
        sacrebleu.corpus_bleu(lines, references).score,
        sacrebleu.corpus_chrf(lines, references).score,
        sacrebleu.corpus_ter(lines, references).score,
    ]
    assert all(one["signature"].startswith("nrefs:3|") for one in told["scores"])
    assert json.loads(run("score", "mine.de", *names, "--json").out)["scores"] == told["scores"]
    done = run("evaluate", model, "out.de", *names, "-o", "third.de")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("error: third.de: is an input, and would be overwritten")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("verb", [("score", "out.de"), ("evaluate", "nowhere", "out.de")])
def test_each_reference_has_a_line_for_every_line(run, verb: tuple[str, ...]) -> None:
    Path("short.de").write_text("one\n", encoding="utf-8")
    done = run(*verb, "test.de", "short.de", "other.de")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: out.de has 2 lines but short.de has 1 line: "
        "line n of one must belong to line n of the other\n"
    )
    assert run(*verb, "test.de", "missing.de").err.startswith("error: missing.de: ")
    assert run(*verb, "-", "-", stdin=b"").err == (
        "error: standard input can be read only once: give - for one file only\n"
    )


@pytest.mark.usefixtures("files")
def test_the_progress_of_evaluate_is_that_of_translating(
    run, model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of lines given out, of which all of a window come at once, in the end."""
    told: list[float] = []

    class Telling(LineProgress):
        def advance(self, count: float) -> None:
            told.append(count)

    monkeypatch.setattr(console, "progress", Telling)
    assert run("evaluate", model, "other.de", "test.de").code == 0
    assert told == [2.0]


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("kind", ["lines", "tsv"])
def test_evaluate_without_files_takes_the_test_set_of_the_recipe(
    run, model, kind: str, monkeypatch
) -> None:
    expected = run("evaluate", model, "other.de", "test.de").out
    sides = [Path(name).read_text(encoding="utf-8").split("\n") for name in ("other.de", "test.de")]
    rows = ["\t".join(pair) for pair in zip(*sides, strict=True)]
    text = "\n".join(["source\ttarget", *rows]).strip() + "\n"  # the header is no pair
    Path("test.tsv").write_text(text, encoding="utf-8")
    test = ["other.de", "test.de"] if kind == "lines" else "test.tsv"
    named = SimpleNamespace(recipe=Recipe.model_validate({"name": "tiny", "data": {"test": test}}))
    monkeypatch.setattr(ModelFolder, "open", lambda path: named)
    assert run("evaluate", model).out == expected
    done = run("evaluate", model, "-o", "other.de" if kind == "lines" else "test.tsv")
    assert (done.code, done.out) == (2, "")
    assert "is an input, and would be overwritten" in done.err


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("encoding", ["utf-16", ["utf-8", "utf-16"]])
def test_evaluate_reads_the_test_set_in_its_encoding(
    run, model, encoding: str | list[str], monkeypatch
) -> None:
    expected = run("evaluate", model, "other.de", "test.de").out
    of_each = encoding if isinstance(encoding, list) else [encoding] * 2
    for name, one, of_it in zip("ab", ("other.de", "test.de"), of_each, strict=True):
        Path(name).write_bytes(Path(one).read_bytes().decode().encode(of_it))
    test = {"kind": "lines", "source_path": "a", "target_path": "b", "encoding": encoding}
    named = SimpleNamespace(recipe=Recipe.model_validate({"name": "tiny", "data": {"test": test}}))
    monkeypatch.setattr(ModelFolder, "open", lambda path: named)
    done = run("evaluate", model)
    assert (done.code, done.out) == (0, expected)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("kind", ["lines", "tsv"])
def test_evaluate_says_where_the_test_set_is_not_in_its_encoding(
    run, model, monkeypatch, kind: str
) -> None:
    Path("bad.de").write_bytes(SOURCE.encode("cp1252") + b"ein \x81\n")
    Path("good.de").write_text(REFERENCE + "ein\n", encoding="utf-8")
    Path("bad.tsv").write_bytes(b"ein \x81\tein\n" + b"zwei\tzwei\n" * 2)
    test = {
        "lines": {
            "kind": "lines",
            "source_path": "bad.de",
            "target_path": "good.de",
            "encoding": ["cp1252", "utf-8"],
        },
        "tsv": {"kind": "tsv", "path": "bad.tsv", "encoding": "cp1252"},
    }[kind]
    named = SimpleNamespace(recipe=Recipe.model_validate({"name": "tiny", "data": {"test": test}}))
    monkeypatch.setattr(ModelFolder, "open", lambda path: named)
    done = run("evaluate", model)
    assert done.code == 0
    name, line = {"lines": ("bad.de", 3), "tsv": ("bad.tsv", 1)}[kind]
    assert done.err.startswith(
        f"warning: {name}: 1 line is not cp1252 (the first is line {line}); the invalid bytes were "
        "replaced by U+FFFD\n"
    )


@pytest.mark.usefixtures("files")
def test_evaluate_needs_pairs_in_the_test_set(run, model, monkeypatch) -> None:
    Path("test.tsv").write_text("source\ttarget\n", encoding="utf-8")
    recipe = Recipe.model_validate({"name": "tiny", "data": {"test": "test.tsv"}})
    monkeypatch.setattr(ModelFolder, "open", lambda path: SimpleNamespace(recipe=recipe))
    done = run("evaluate", model)
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: model: the test set of its recipe (data.test) has no pairs\n"


@pytest.mark.usefixtures("files")
def test_evaluate_says_which_file_is_missing(run, model, monkeypatch) -> None:
    assert run("evaluate", model, "other.de").err == (
        "error: other.de: its translation is missing: give SOURCE and REFERENCE, or neither for "
        "the test set of the model's recipe\n"
    )
    named = SimpleNamespace(recipe=Recipe(name="tiny"))
    monkeypatch.setattr(ModelFolder, "open", lambda path: named)
    assert run("evaluate", model).err == (
        "error: model: its recipe names no test set (data.test): name the two files of one, "
        "'seq2seq evaluate model SOURCE REFERENCE'\n"
    )


@pytest.mark.usefixtures("files")
def test_evaluate_chooses_among_the_n_best(run, model) -> None:
    done = run("evaluate", model, "other.de", "test.de", "--mbr", "chrf", "--n-best", "2")
    assert (done.code, "BLEU" in done.out) == (0, True)
    done = run("evaluate", model, "other.de", "test.de", "--n-best", "2")
    assert done.err.startswith("error: --n-best needs --mbr NAME")
    assert done.code == 2


@pytest.mark.usefixtures("files")
def test_evaluate_json(run, model) -> None:
    done = run("evaluate", model, "-", "test.de", "--json", stdin=SOURCE.encode())
    told = json.loads(done.out)
    assert [told[key] for key in ("model", "beam", "lines")] == ["model", 5, 2]
    assert [score["value"] for score in told["scores"]] == expected()
    assert sorted(path.name for path in Path().iterdir()) == [
        "model",
        "other.de",
        "out.de",
        "test.de",
    ]


@pytest.mark.usefixtures("files")
def test_evaluate_checks_before_it_translates(run, monkeypatch) -> None:
    """There is no model here, and no one asks for it."""
    done = run("evaluate", "nowhere", "out.de", "test.de", "--tokenize", "13b")
    assert done.err.startswith("error: tokenize: unknown name '13b' (did you mean '13a'?)")
    Path("test.de").write_text("one\n", encoding="utf-8")
    done = run("evaluate", "nowhere", "out.de", "test.de")
    assert done.err == (
        "error: out.de has 2 lines but test.de has 1 line: "
        "line n of one must belong to line n of the other\n"
    )


@pytest.mark.usefixtures("files")
def test_evaluate_finds_a_bad_output_before_it_translates(run, model, monkeypatch) -> None:
    def translated(*args: object, **options: object) -> Iterator[list[ScoredTranslation]]:
        pytest.fail("translated for nothing")
        yield []

    monkeypatch.setattr(Translator, "run", translated)
    done = run("evaluate", model, "out.de", "test.de", "-o", "nowhere/mine.de")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: nowhere/mine.de: there is no folder nowhere to write it in\n"


@pytest.mark.usefixtures("files")
def test_evaluate_writes_all_translations_or_no_file(run, model, monkeypatch) -> None:
    def translated(*args: object, **options: object) -> Iterator[list[ScoredTranslation]]:
        yield [ScoredTranslation("ein Hund", 0.0, 0.0, False)]
        raise ModelError("the model's numbers are broken")

    monkeypatch.setattr(Translator, "run", translated)
    Path("mine.de").write_bytes(b"precious\n")
    before = sorted(Path().iterdir())
    done = run("evaluate", model, "out.de", "test.de", "-o", "mine.de")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: the model's numbers are broken\n"
    assert Path("mine.de").read_bytes() == b"precious\n"
    assert sorted(Path().iterdir()) == before
