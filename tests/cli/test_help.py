from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from seq2seq.cli.app import VERBS as VERBS_WITH_HELP

VERBS = [
    ("prepare",),
    ("train",),
    ("report",),
    ("inspect", "attention"),
    ("inspect", "gradients"),
    ("inspect", "gates"),
    ("inspect", "states"),
    ("distil",),
    ("backtranslate",),
    ("translate",),
    ("evaluate",),
    ("score",),
    ("recipe", "list"),
    ("recipe", "show"),
    ("recipe", "check"),
    ("recipe", "schema"),
]


def examples(help_: str) -> list[str]:
    lines = re.split(r"^  Examples?:\n", help_, flags=re.MULTILINE)[1]
    return [line.strip() for line in lines.replace("\\\n", " ").splitlines() if line.strip()]


def test_the_help_of_all_is_the_first_line_of_each(run) -> None:
    for verb, first in VERBS_WITH_HELP.items():
        told = re.split(r"\n\s*\n", run(verb, "--help").out)[1]
        assert " ".join(told.split()) == first


def test_top(run) -> None:
    done = run("--help")
    assert (done.code, done.err) == (0, "")
    for verb in ("prepare", "train", "translate", "evaluate", "score", "recipe"):
        assert re.search(rf"^  {verb} +\w.*[^.]\.$", done.out, flags=re.MULTILINE)


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_each_verb_has_an_example_whose_options_it_knows(run, verb) -> None:
    done = run(*verb, "-h")
    assert (done.code, done.err) == (0, "")
    assert done.out.isascii()
    found = examples(done.out)
    assert found
    for line in found:
        words = shlex.split(line.rpartition(" | ")[2])
        assert words[: len(verb) + 1] == ["seq2seq", *verb]
        for word in words:
            if word.startswith("-"):
                assert re.search(rf"(?<![\w-]){word}(?![\w-])", done.out), f"no {word}"


def test_the_examples_work(run, model, monkeypatch) -> None:
    """Those that need no training, in the folder and with the files that they speak of."""
    Path("runs").mkdir()
    Path(model).rename("runs/quickstart")
    from seq2seq.inference.translator import Translator

    load = Translator.load
    monkeypatch.setattr(Translator, "load", lambda path, **options: load(["model"], **options))
    for name in ("input.en", "test.en", "test.de", "output.de", "page.html"):
        Path(name).write_text("zwei Kinder spielen am Wasser\n", encoding="utf-8")
    done_any = 0
    for verb in VERBS[VERBS.index(("translate",)) :]:
        for line in examples(run(*verb, "--help").out):
            command, _, file = line.rpartition(" | ")[2].partition(" > ")
            done = run(*shlex.split(command)[1:], stdin=b"ein Hund\n")
            assert done.code == 0, (line, done.err)
            assert done.out or "-o" in command
            assert not file or file.endswith((".toml", ".json"))
            done_any += 1
    assert done_any == 12
    assert Path("output.de").read_text(encoding="utf-8") == "zwei Kinder spielen am Wasser\n"
