"""What README and docs/ show is run, on a corpus that is smaller than a user's."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter
from support.tiny import write_corpus

from seq2seq.nn.recurrence import RecurrentStack
from seq2seq.recipe import model as recipe
from seq2seq.recipe.files import load_recipe
from seq2seq.recipe.registry import CELLS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(kind: str) -> list[str]:
    """The documents' fenced blocks of a kind, without their indentation."""
    text = "\n".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    parts = re.split(r"^ *```(\w*)\n", text, flags=re.MULTILINE)
    opened = zip(parts[1::4], parts[2::4], strict=True)  # every other fence closes
    return [textwrap.dedent(body) for name, body in opened if name == kind]


def written(name: str) -> str:
    """The recipe of that name."""
    (recipe,) = (block for block in blocks("toml") if f'name = "{name}"' in block)
    return recipe


def run(command: str, folder: Path) -> str:
    """What a command says, which must end well."""
    words = shlex.split(command)
    assert words[0] == "seq2seq"
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout


def test_fine_tuning(tmp_path: Path) -> None:
    for name, count in (("train", 300), ("val", 10)):
        write_corpus(tmp_path, name, count)  # type: ignore[arg-type]
    for side in ("en", "de"):
        (tmp_path / f"train.{side}").rename(tmp_path / f"domain.{side}")
        (tmp_path / f"val.{side}").rename(tmp_path / f"domain.val.{side}")
    (tmp_path / "domain.toml").write_text(written("domain"), encoding="utf-8")
    small = "training.epochs=1 model.encoder.hidden=32 model.decoder.hidden=32".split()
    settings = " ".join(f"--set {one}" for one in small)
    run(f"seq2seq train quickstart {settings} --set training.updates=2 -o runs/general", tmp_path)
    (tune,) = (line for block in blocks("") for line in block.split("\n") if "--init-from" in line)
    told = run(f"{tune} --set training.epochs=1", tmp_path)
    assert "new validation set: BLEU" in told
    assert "old validation set: BLEU" in told


def test_several_corpora(tmp_path: Path) -> None:
    (mixture,) = (block for block in blocks("toml") if "temperature" in block)
    (tmp_path / "mixed.toml").write_text(mixture, encoding="utf-8")
    parts = load_recipe(str(tmp_path / "mixed.toml"), []).data.train
    assert isinstance(parts, tuple)
    assert [(part.kind, part.weight) for part in parts] == [
        ("lines", 1.0),
        ("tsv", 3.0),
        ("lines", 0.5),
    ]


def test_your_own_two_files(tmp_path: Path) -> None:
    for split, count in (("train", 300), ("val", 10), ("test", 5)):
        write_corpus(tmp_path, split, count)  # type: ignore[arg-type]
    small = "[training]\nepochs = 1\n[translation]\nmax_ratio = 0.5\n"
    (tmp_path / "mine.toml").write_text(written("mine") + small, encoding="utf-8")
    lines = [line for block in blocks("") for line in block.split("\n")]
    first, mine = ([one for one in lines if name in one] for name in ("runs/first", "mine"))
    assert (len(first), len(mine)) == (3, 4)
    first[0] += " --set training.updates=2 --set translation.max_ratio=0.5"
    for command in (*first, *mine):
        told = run(command, tmp_path)
        if "evaluate" in command:
            assert "BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in told
    assert (tmp_path / "test.out").read_text(encoding="utf-8").count("\n") == 5


@pytest.fixture
def ugrnn() -> Iterator[None]:
    """The cell that docs/code.md adds."""
    (source,) = (block for block in blocks("python") if "class UgrnnCell" in block)
    names: dict[str, Any] = {}
    exec(source, names)
    CELLS.own["ugrnn"] = names["UgrnnCell"]
    yield
    del CELLS.own["ugrnn"]


@pytest.mark.usefixtures("ugrnn")
def test_the_cell_that_the_page_adds_works() -> None:
    torch.manual_seed(1)
    table = TypeAdapter(recipe.Cell).validate_python({"kind": "ugrnn"})
    stack = RecurrentStack(table, 3, 4, layers=2, bidirectional=True)
    for parameter in stack.parameters():
        torch.nn.init.normal_(parameter)
    lengths = torch.tensor([5, 2])
    x = torch.randn(2, 5, 3)
    outputs, finals = stack(x, lengths)
    alone, final = stack(x[1:, :2], lengths[1:])
    torch.testing.assert_close(outputs[1:, :2], alone)
    torch.testing.assert_close(finals[1][0][1:], final[1][0])
    outputs.sum().backward()
    assert all(parameter.grad is not None for parameter in stack.parameters())
