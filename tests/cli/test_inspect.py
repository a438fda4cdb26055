"""``inspect gradients``, ``gates`` and ``states``; pictures of attention are tried with scores."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support.told import Told

import seq2seq
from seq2seq.cli.inspect import _opened
from seq2seq.inspection.opening import open_run, random_batch
from seq2seq.recipe.packaged import packaged_recipes

SMALL = [
    word
    for side in ("encoder", "decoder")
    for key in ("hidden=8", "embedding=8", "cell=rnn")
    for word in ("--set", f"model.{side}.{key}")
]


@pytest.fixture
def text(here: Path) -> None:
    (here / "in").write_text("the old man sleeps .\n\nthe dog sees the cat .\n", encoding="utf-8")
    (here / "out").write_text("der alte Mann schläft .\n\nein Hund .\n", encoding="utf-8")


@pytest.mark.usefixtures("text")
def test_gradients_of_a_run(run, attending: Path) -> None:
    model = str(attending / "run")
    done = run("inspect", "gradients", model, "in", "out", "-o", "g.svg", "--threads", "1")
    assert (done.code, done.err) == (0, "")
    head, *rows = done.out.splitlines()
    assert head.split()[:4] == ["model", "cell", "state", "steps"]
    cells = ["encoder forward", "encoder backward", "decoder"]
    names = [f"{cell:16}  {part}" for cell in cells for part in "hc"]
    assert [row[len(model) + 2 :][:19] for row in rows] == names
    assert Path("g.svg").read_text(encoding="utf-8").startswith("<?xml")

    done = run("inspect", "gradients", model, "in", "out", "--json", "--lines", "1")
    (one,) = json.loads(done.out)["models"]
    assert one["model"] == model
    first = one["cells"][0]
    assert (first["stack"], first["direction"], first["state"]) == ("encoder", "forward", "h")
    assert first["steps"] == list(range(1 - len(first["norms"]), 1))
    assert set(first["lines"]) == {1}
    own = run("inspect", "gradients", model, "in", "--json", "--lines", "1")
    again = json.loads(own.out)["models"][0]["cells"][0]
    assert (again["steps"], again["norms"]) != (first["steps"], first["norms"])
    assert len(again["steps"]) == len(first["steps"])  # of the source


def test_a_problem_s_recipe_has_the_sizes_of_its_training(here: Path) -> None:
    data = 'kind = "problem"\nproblem = "adding"\nlength = 20\ntrain_size = 64\n'
    text = f'name = "p"\n[data]\n{data}'
    (here / "p.toml").write_text(f"{text}[training]\nupdates = 1\n", encoding="utf-8")
    seq2seq.train("p.toml", "trained", threads=1, monitor=Told())
    trained = {name: one.shape for name, one in open_run("trained").model.state_dict().items()}
    opened = _opened("p.toml", "p", [])
    assert {name: one.shape for name, one in opened.model.state_dict().items()} == trained
    assert len(random_batch(opened, 5, 7)) == 7


def test_gradients_of_several_models(run, attending: Path) -> None:
    model = str(attending / "run")
    varied = ["--vary", "model.recurrent_init=identity  training.clip_norm=none"]
    words = ["quickstart", *SMALL, *varied, "--with", model, "--length", "9", "--lines", "2"]
    done = run("inspect", "gradients", *words, "--json", "-o", "g.html")
    assert (done.code, done.err) == (0, "")
    models = json.loads(done.out)["models"]
    assert [one["model"] for one in models] == ["quickstart", f"quickstart {varied[1]}", model]
    assert [len(one["cells"]) for one in models] == [3, 3, 6]
    cells = [cell for one in models for cell in one["cells"]]
    assert all(len(cell["norms"]) == 9 and set(cell["lines"]) == {2} for cell in cells)
    first, second = (one["cells"][0]["factor"] for one in models[:2])
    assert first != second
    assert model in Path("g.html").read_text(encoding="utf-8")


@pytest.mark.usefixtures("text")
def test_gates_and_states(run, attending: Path) -> None:
    model = str(attending / "run")
    for verb, key, what in (("gates", "cells", "gates"), ("states", "blocks", "norms")):
        done = run("inspect", verb, model, "in", "out", "--line", "3", "--json")
        assert (done.code, done.err) == (0, "")
        found = json.loads(done.out)
        assert (found["model"], found["line"]) == (model, 3)
        assert len(found[key]) == 3
        assert all(one[what] for one in found[key])
        done = run("inspect", verb, model, "-", "-o", f"{verb}.png", stdin=b"the old man\n")
        assert (done.code, done.err) == (0, "")
        assert len(done.out.splitlines()) > 6
        assert Path(f"{verb}.png").read_bytes().startswith(b"\x89PNG")
    assert "forget" in run("inspect", "gates", model, "in").out.splitlines()[0]


def test_gates_and_states_of_a_problem_s_model_need_no_text(run, here: Path) -> None:
    tiny = "data.length=10 model.encoder.hidden=3 training.updates=1 data.val_size=4".split()
    settings = [word for one in tiny for word in ("--set", one)]
    assert run("train", "adding", *settings, "-o", "adding").code == 0
    for verb, what in (("gates", "cells"), ("states", "blocks")):
        done = run("inspect", verb, "adding", "--line", "2", "--json")
        assert (done.code, done.err) == (0, "")
        assert len(json.loads(done.out)[what]) == 1
    Path("in").write_text("a\n", encoding="utf-8")
    done = run("inspect", "gates", "adding", "in")
    assert done.code == 2
    assert done.err.endswith("sequences, and no text: leave out INPUT\n")


@pytest.mark.usefixtures("text")
@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "states MODEL many",
            "many, line 1: 402 pieces, and at most 300 can be looked at: --line N takes another "
            "one",
        ),
        ("gates MODEL", "MODEL reads text: give INPUT, a file, or - for standard input"),
        (
            "gradients runs/none",
            "runs/none: no such model: give the folder of a run, the name of a packaged recipe "
            f"({', '.join(packaged_recipes())}) or a recipe's file, which ends in .toml",
        ),
        (
            "gradients quickstart in",
            "quickstart: a recipe, which has no tokenizer, so that it cannot read a text: give "
            "the run of a translation model, or look at its gradients alone ('inspect gradients' "
            "without INPUT)",
        ),
        ("gradients none.toml", "recipe none.toml: there is no such file"),
        (
            "gradients MODEL in --length 5",
            "INPUT and --length cannot be combined: leave one of them out",
        ),
        (
            "gradients MODEL --set seed=2",
            "--set and --vary change a recipe, and MODEL is a folder: leave them out",
        ),
        ("gradients MODEL empty", "the text has no line in which MODEL can read anything"),
        ("gradients MODEL none", "the text has no line in which MODEL can read anything"),
        ("attention MODEL empty -o p", "the text has no line in which MODEL can read anything"),
        ("attention MODEL none -o p", "the text has no line in which MODEL can read anything"),
        ("gradients MODEL gone", "gone: no such file"),
        (
            "gradients MODEL in two",
            "in has 3 lines but two has 2 lines: line n of one must belong to line n of the other",
        ),
        ("gradients MODEL in -o x.gif", "x.gif: a picture's name must end in .png, .svg, .html"),
        ("gates MODEL in -o no/x.png", "no/x.png: there is no folder no to write it in"),
        ("gates MODEL in.svg -o in.svg", "in.svg: is an input, and would be overwritten: write to "
         "another file"),
        (
            "gates MODEL in --line 2",
            "in, line 2: nothing to read in it: --line N takes another one",
        ),
        ("states MODEL in --line 4", "in has 3 lines: there is no line 4 (--line)"),
        ("states MODEL - -", "standard input can be read only once: give - for one file only"),
        (
            "states quickstart in",
            "quickstart: no such folder; expected one that seq2seq train or export wrote",
        ),
        ("gates in in", "in: a file, but a model is a folder: give the folder that it is in"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(run, attending: Path, command: str, message: str) -> None:
    model = str(attending / "run")
    Path("empty").write_text("\n\n", encoding="utf-8")
    Path("none").touch()
    Path("two").write_text("a\nb\n", encoding="utf-8")
    Path("many").write_text("the " * 400 + "\n", encoding="utf-8")
    Path("in.svg").write_text("a\n", encoding="utf-8")
    done = run("inspect", *command.replace("MODEL", model).split(), stdin=b"a\n")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: {message.replace('MODEL', model)}\n"
    assert not [*Path().glob("*.png"), *Path().glob("*.gif")]
    assert Path("in.svg").read_text(encoding="utf-8") == "a\n"


@pytest.mark.usefixtures("text")
def test_what_torch_needs_is_named(run, monkeypatch) -> None:
    for name in [*sys.modules]:
        if name.startswith("seq2seq.inspection"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    done = run("inspect", "gates", "model", "in")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: looking into a model needs the package 'torch', which is not installed: "
        "pip install 'seq2seq[train]'\n"
    )
