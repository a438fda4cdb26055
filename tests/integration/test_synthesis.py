"""Distilling by a model that was trained: killed, gone on with, and ready to be trained on."""

from __future__ import annotations

import json
import shlex
import signal
from hashlib import sha256
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support.processes import run_python
from support.tiny import write_recipe

import seq2seq
from seq2seq.training.monitoring import Silent


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus and the run of a teacher."""
    folder = tmp_path_factory.mktemp("synthesis")
    recipe = seq2seq.load_recipe(str(write_recipe(folder, 80)), ["training.updates=1"])
    seq2seq.prepare(recipe, folder / "data", processes=1)
    seq2seq.train(recipe, folder / "run", data=folder / "data", threads=1, monitor=Silent())
    return folder


def distil(kill: int, begun: Path, output: Path) -> CompletedProcess[str]:
    """Distils, 32 lines at a time; is killed when it waits for the disk so often; 0: never."""
    options = "--choose chrf --keep-original --batch-size 2 --threads 1 --max-length 9"
    words = f"{begun}/run {begun}/train.en {begun}/train.de -o {output} {options}"
    return run_python("-m", "support.killed", "fsync", str(kill), "distil", *shlex.split(words))


def test_kills_change_nothing(begun: Path, tmp_path: Path) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    done = distil(0, begun, whole)
    assert done.returncode == 0, done.stderr
    expected = {one.name: one.read_bytes() for one in whole.iterdir()}
    for number in (7, 10):  # while the second lines are kept, and while the folder is written
        killed = distil(number, begun, out)
        assert killed.returncode == -signal.SIGKILL, (number, killed.stderr)
        assert not out.exists()
    last = distil(0, begun, out)
    assert last.returncode == 0, last.stderr
    assert "going on after 80 of 80 lines that are translated already" in last.stderr
    assert {one.name: one.read_bytes() for one in out.iterdir()} == expected
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out", "whole"]
    record = json.loads(expected["synthetic.json"])
    for name, about in record["outputs"].items():
        assert about == {"lines": 160, "sha256": sha256(expected[name]).hexdigest()}
    first, following = last.stdout.splitlines()
    assert first == f"{out}: 160 pairs, 80 of them as they were; next:"
    pair = f"{out}/source.txt {out}/target.txt"
    assert following == (
        f"  seq2seq train {pair} --val {begun}/val.en {begun}/val.de -o runs/student"
    )
    recipe = seq2seq.load_recipe(pair.split(), ["tokenizer.vocab_size=150"])
    assert len(seq2seq.prepare(recipe, tmp_path / "data", processes=1).train) > 80
