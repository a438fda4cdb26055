"""``distil`` and ``backtranslate``: what they say, and what they hand on to the library."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

import seq2seq


def lines_of(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").split("\n")[:-1]


@pytest.fixture
def text(here: Path, trained: Path) -> Path:
    """Two files of five lines, and a tiny run's folder."""
    for side in ("en", "de"):
        lines = (trained / f"train.{side}").read_text(encoding="utf-8").split("\n")[:5]
        (here / f"a.{side}").write_text("".join(f"{one}\n" for one in lines), encoding="utf-8")
    return trained / "run"


def test_distilling_is_translating(run, text: Path) -> None:
    lengths = ("--max-length", "9", "--beam", "3")
    done = run("distil", str(text), "a.en", "a.de", "-o", "out", *lengths)
    assert done.code == 0, done.err
    first, following = done.out.splitlines()
    assert first == "out: 5 pairs; next:"
    val = f"{text.parent}/val.en {text.parent}/val.de"
    assert following == (
        f"  seq2seq train out/source.txt out/target.txt --val {val} -o runs/student"
    )
    assert Path("out/source.txt").read_bytes() == Path("a.en").read_bytes()
    plain = run("translate", str(text), "a.en", *lengths)
    assert lines_of("out/target.txt") == plain.out.splitlines()


def test_the_ensemble_and_the_samples_are_those_of_translate(run, text: Path) -> None:
    options = f"--with {text} --sample 3 --seed 4 --max-length 9 --weights 2,1".split()
    assert run("distil", str(text), "a.en", "a.de", "-o", "out", *options).code == 0
    plain = run("translate", str(text), "a.en", *options)
    assert lines_of("out/target.txt") == plain.out.splitlines()
    record = json.loads(Path("out/synthetic.json").read_bytes())
    assert [one["path"] for one in record["models"]] == [str(text)] * 2
    assert record["options"]["weights"] == [2.0, 1.0]
    assert record["options"]["sampling"]["seed"] == 4


@pytest.mark.parametrize(("options", "count"), [("--beam 4", 4), ("--beam 4 --n-best 2", 2)])
def test_the_nearest_is_chosen_of_so_many(run, text: Path, options: str, count: int) -> None:
    words = ["a.en", "--max-length", "9"]
    chosen = [*words[:1], "a.de", "--choose", "chrf", "-o", "out", *words[1:], *options.split()]
    assert run("distil", str(text), *chosen).code == 0
    beam = ["--beam", "4", "--n-best", str(count)]
    listed = run("translate", str(text), *words, *beam).out.splitlines()
    for i, line in enumerate(lines_of("out/target.txt")):
        several = [one.split(" ||| ")[1] for one in listed if one.startswith(f"{i} |||")]
        assert line in several
    record = json.loads(Path("out/synthetic.json").read_bytes())
    assert record["options"]["n_best"] == count


@pytest.mark.parametrize("options", ["--beam 1", "--sample 1"])
def test_the_nearest_of_one_is_refused(run, text: Path, options: str) -> None:
    done = run("distil", str(text), *"a.en a.de --choose bleu -o out".split(), *options.split())
    assert (done.code, done.out) == (2, "")
    assert "choose = 'bleu' needs several translations of a line: draw 2 samples or" in done.err
    assert not Path("out.unfinished").exists()


def test_back_translation_tells_how_to_mix(run, text: Path) -> None:
    done = run("backtranslate", str(text), "a.de", "-o", "back", "--tag", "<BT>", "--beam", "1")
    assert done.code == 0, done.err
    first, following = done.out.splitlines()
    assert first == "back: 5 pairs; next:"
    words = shlex.split(following)
    assert words[:4] == ["seq2seq", "train", "RECIPE", "--set"]
    assert all(line.startswith("<BT> ") for line in lines_of("back/source.txt"))
    assert Path("back/target.txt").read_bytes() == Path("a.de").read_bytes()
    settings = [words[4].replace("SOURCE", "a.en").replace("TARGET", "a.de"), words[6]]
    recipe = seq2seq.load_recipe("quickstart", settings)
    assert [Path(part.source_path).name for part in recipe.data.train] == ["a.en", "source.txt"]
    assert recipe.tokenizer.user_defined_symbols == ("<BT>",)


def test_a_stop_says_how_to_go_on(run, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from seq2seq.inference.translator import Translator

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Translator, "run", stopped)
    done = run("distil", str(text), "a.en", "a.de", "-o", "out")
    assert (done.code, done.out) == (130, "")
    assert done.err == "the same command goes on with what is translated already\ninterrupted\n"
    assert sorted(one.name for one in Path().iterdir()) == ["a.de", "a.en"]
