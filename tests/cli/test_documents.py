"""Documents are translated as what they are: ``seq2seq translate --format-in``."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from seq2seq.inference.translator import Translator
from seq2seq.recipe.text import Text
from seq2seq.storage import lines

PAGE = "<h1>zwei Kinder</h1>\r\n<p title='x'>ein <b>Hund</b> l&auml;uft<!-- c --></p>\r\n"


@pytest.fixture
def model(model: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model that says everything again, and leaves spans out before."""
    load = Translator.load

    def loaded(*paths: object, **options: object) -> Translator:
        one = load(*paths, **options)  # type: ignore[arg-type]
        return Translator(one.model, one.tokenizers, one.options, text=Text())

    monkeypatch.setattr(Translator, "load", loaded)
    return model


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_file_to_a_file(run, model, mark) -> None:
    Path("in.html").write_bytes((mark + PAGE).encode())
    done = run("translate", model, "in.html", "--format-in", "html", "-o", "out.html")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("translating: 2 in ")
    assert Path("out.html").read_bytes().decode() == mark + PAGE


def test_standard_input_to_standard_output(run, model) -> None:
    done = run("translate", model, "--format-in", "html", stdin=PAGE.encode())
    assert (done.code, done.out, done.err) == (0, PAGE, "")


def test_each_segment_is_translated(run, model, monkeypatch) -> None:
    seen: list[str] = []
    translate = Translator.run

    def watched(self: Translator, given: list[str], *rest: object, **more: object) -> object:
        seen.extend(given)
        return translate(self, [one.replace("Hund", "Wiese") for one in given], *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Translator, "run", watched)
    done = run("translate", model, "--format-in", "html", stdin=PAGE.encode())
    assert seen == ["zwei Kinder", "ein <x1>Hund</x1> läuft"]
    assert done.out == PAGE.replace("Hund", "Wiese").replace("&auml;", "ä")


def test_packed_documents(run, model) -> None:
    Path("in.srt.gz").write_bytes(gzip.compress(b"1\n00:00:01,000 --> 00:00:02,000\nein Hund\n"))
    done = run("translate", model, "in.srt.gz", "--format-in", "srt")
    assert (done.code, done.out) == (0, "1\n00:00:01,000 --> 00:00:02,000\nein Hund\n")


@pytest.mark.parametrize("format_", ["html", "markdown", "po", "srt"])
def test_an_empty_document(run, model, format_) -> None:
    Path("empty").touch()
    for arguments in (("empty", "-o", "out"), ("empty",)):
        done = run("translate", model, *arguments, "--format-in", format_)
        assert (done.code, done.out) == (0, "")
    assert Path("out").read_bytes() == b""


def test_a_damaged_document_leaves_nothing(run, model) -> None:
    Path("in.po").write_text('msgid "a"\nmsgstr ""\n\nmsgid "b\n', encoding="utf-8")
    done = run("translate", model, "in.po", "--format-in", "po", "-o", "out.po")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: in.po, line 4: not PO: expected a comment, or msgid, msgstr and the like with "
        '"..." each\n'
    )
    assert not Path("out.po").exists()


def test_nothing_is_written_of_a_translation_that_fails(run, model, monkeypatch) -> None:
    def broken(*_: object, **__: object) -> object:
        raise OSError("no more")

    Path("out").write_bytes(b"precious")
    monkeypatch.setattr(Translator, "run", broken)
    done = run("translate", model, "--format-in", "html", "-o", "out", stdin=PAGE.encode())
    assert done.code != 0
    assert Path("out").read_bytes() == b"precious"


def test_a_document_that_is_too_large(run, model, monkeypatch) -> None:
    monkeypatch.setattr("seq2seq.cli.translate.LARGEST", {"html": 2**20})
    Path("in").write_bytes(b"a" * (2**20 + 1))
    for arguments, name in ((("in",), "in"), ((), "standard input")):
        done = run("translate", model, *arguments, "--format-in", "html", stdin=b"a" * (2**20 + 1))
        assert (done.code, done.out) == (2, "")
        assert done.err == f"error: {name}: larger than 1 MiB, the most for a document\n"
    assert lines.input_bytes("in", 2**20 + 1) == b"a" * (2**20 + 1)


def test_warnings_name_the_line_of_the_document(run, model) -> None:
    text = "<p>ein\n\n<p>" + "Hund " * 300
    long = ("--long", "truncate", "--beam", "1")
    done = run("translate", model, "--format-in", "html", *long, stdin=text.encode())
    assert done.code == 0
    assert done.err == (
        "warning: line 3: 300 pieces, but the model takes at most 200: the rest was left out\n"
    )


def test_mbr_may_choose_among_several(run, model) -> None:
    chosen = ("--n-best", "2", "--beam", "2", "--mbr", "chrf")
    done = run("translate", model, "--format-in", "html", *chosen, stdin=b"<p>Wasser")
    assert (done.code, done.out) == (0, "<p>Wasser")


@pytest.mark.parametrize(
    ("count", "told"), [(1, "1 text (line 3)"), (7, "7 texts (lines 3, 7, 11, 15, 19, ...)")]
)
def test_texts_that_lost_what_a_program_needs(run, model, monkeypatch, count, told) -> None:
    text = '#, c-format\nmsgid "ein Hund läuft %s"\nmsgstr ""\n\n' * count
    translate = Translator.run

    def lost(self: Translator, given: list[str], *rest: object, **more: object) -> object:
        return translate(self, [one.replace("%s", "") for one in given], *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Translator, "run", lost)
    done = run("translate", model, "--format-in", "po", stdin=text.encode())
    assert (done.code, done.out) == (0, text)
    assert done.err == (
        "warning: left without a translation, since placeholders such as %s were lost or doubled: "
        f"{told}; translate by hand what a program is to show\n"
    )


def test_a_text_that_would_read_as_other_marks(run, model, monkeypatch) -> None:
    translate = Translator.run

    def lost(self: Translator, given: list[str], *rest: object, **more: object) -> object:
        return translate(self, ["" for _ in given], *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Translator, "run", lost)
    done = run("translate", model, "--format-in", "markdown", stdin=b"- ein Hund")
    assert (done.code, done.out) == (0, "- ein Hund")
    assert done.err == (
        "warning: left without a translation, which would read as other marks than the source's: "
        "1 text (line 1); translate by hand\n"
    )


def test_warnings_of_a_document(run, model) -> None:
    text = '<xliff version="2.0"><segment><source>ein</source></segment></xliff>'
    done = run("translate", model, "--format-in", "xliff", stdin=text.encode())
    assert done.code == 0
    assert "<target>" in done.out
    assert done.err == (
        "warning: the targets that were added are not valid without the language that they are in: "
        'add trgLang to the outermost element, as in <xliff version="2.0" trgLang="de" ...>\n'
    )
