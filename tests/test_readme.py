"""What README shows is run, on a corpus that is smaller than a user's."""

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
from support.tiny import write_corpus

from seq2seq.nn import cells
from seq2seq.nn.recurrence import RecurrentStack

README = Path(__file__).parents[1] / "README.md"


def blocks(kind: str) -> list[str]:
    """README's fenced blocks of a kind, without their indentation."""
    parts = re.split(r"^ *```(\w*)\n", README.read_text(encoding="utf-8"), flags=re.MULTILINE)
    opened = zip(parts[1::4], parts[2::4], strict=True)  # every other fence closes
    return [textwrap.dedent(body) for name, body in opened if name == kind]


def test_your_own_two_files(tmp_path: Path) -> None:
    for split, count in (("train", 300), ("val", 10), ("test", 5)):
        write_corpus(tmp_path, split, count)  # type: ignore[arg-type]
    (recipe,) = blocks("toml")
    small = recipe.replace("vocab_size = 8000", "vocab_size = 200").replace(
        "epochs = 20", "epochs = 1"
    )
    assert small != recipe
    small += "[translation]\nmax_ratio = 0.5\n"
    (tmp_path / "mine.toml").write_text(small, encoding="utf-8")
    commands = [
        line for block in blocks("") for line in block.split("\n") if re.search(r"\bmine\b", line)
    ]
    assert len(commands) == 5
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "seq2seq"
        done = subprocess.run(
            [sys.executable, "-m", *words],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
    assert (tmp_path / "test.out").read_text(encoding="utf-8").count("\n") == 5
    assert "BLEU|nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:" in done.stdout


@pytest.fixture
def mgu() -> Iterator[type[cells.Cell]]:
    """The cell that README adds."""
    (source,) = (block for block in blocks("python") if "@cell" in block)
    names: dict[str, Any] = dict(vars(cells))
    exec(source, names)
    yield cells.CELLS["mgu"]
    del cells.CELLS["mgu"]


def test_the_cell_that_readme_adds_works(mgu: type[cells.Cell]) -> None:
    class Options:
        kind = "mgu"

    torch.manual_seed(1)
    stack = RecurrentStack(Options(), 3, 4, layers=2, bidirectional=True)
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
