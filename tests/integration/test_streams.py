"""A stream from the recipe to translations, killed and taken up on the way."""

from __future__ import annotations

import gzip
import json
import shutil
import signal
from pathlib import Path

import pytest
from support.processes import run_python
from support.published import weights_file
from support.tiny import write_recipe

CORPORA = """train = [
  ["train.en", "train.de"],
  {path = "more.tsv.gz", weight = 0.5},
  {source_path = "talks.en", target_path = "talks.de", weight = 0.25},
]
stream = {buffer = 1024}
"""


def seq2seq_command(*arguments: str) -> str:
    done = run_python("-m", "seq2seq", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A recipe of three corpora, its data, and a run that was never interrupted."""
    folder = tmp_path_factory.mktemp("streams")
    recipe = write_recipe(folder)
    text = recipe.read_text(encoding="utf-8")
    for old, new in (
        ('train = ["train.en", "train.de"]\n', CORPORA),
        ("vocab_size = 150", "vocab_size = 150\nsampling = {alpha = 0.3}"),
        ("epochs = 2", "epochs = 'none'\nupdates = 60\ncheckpoint_every = 7"),
        ("batch_tokens = 400", "batch_tokens = 2000"),  # a buffer is some 25 updates
        ("every = 10 ", "every = 30 "),
    ):
        assert old in text
        text = text.replace(old, new)
    recipe.write_text(text, encoding="utf-8")
    lines = "".join(f"{n} dogs\t{n} Hunde\n" for n in range(500))
    (folder / "more.tsv.gz").write_bytes(gzip.compress(lines.encode()))
    for side in ("en", "de"):
        shutil.copy(folder / f"val.{side}", folder / f"talks.{side}")
    data, run = folder / "data", folder / "whole"
    seq2seq_command("prepare", str(recipe), "-o", str(data))
    done = run_python("-m", "support.killed", str(recipe), str(data), str(run), "update", "0")
    assert done.returncode == 0, done.stderr
    return recipe, data, run


def tensors(run: Path) -> dict[str, bytes]:
    files = [*(run / "last").glob("*.safetensors"), weights_file(run)]
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.timeout(300)  # six processes, which each load torch
def test_kills_change_nothing(begun: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """In the first buffer, in the writing of a checkpoint, and buffers later."""
    recipe, data, whole = begun
    run = tmp_path / "killed"
    arguments = ["-m", "support.killed", str(recipe), str(data), str(run)]
    for what, number in [("update", 9), ("sync", 9), ("update", 25)]:
        killed = run_python(*arguments, what, str(number))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    ended = run_python(*arguments, "update", "0")
    assert ended.returncode == 0, ended.stderr
    assert tensors(run) == tensors(whole)
    states = [json.loads((one / "last" / "state.json").read_bytes()) for one in (run, whole)]
    assert states[0]["state"]["place"] == states[1]["state"]["place"]
    assert states[0]["state"]["place"]["pool"] >= 2


def test_what_was_read_is_in_the_journal(begun: tuple[Path, Path, Path]) -> None:
    _, _, run = begun
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    buffers = [record for record in records if record["kind"] == "buffer"]
    assert [record["buffer"] for record in buffers] == list(range(len(buffers)))
    assert buffers[1]["counts"]["read"] == pytest.approx(2048, abs=3)
    assert buffers[1]["passes"]["train"] == 3  # 2048 * 4 / 7 rows of 300


def test_the_other_commands_need_no_training_text(
    begun: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    recipe, data, run = begun
    source, reference = recipe.parent / "val.en", recipe.parent / "val.de"
    translated = tmp_path / "out.de"
    seq2seq_command("translate", str(run), str(source), "-o", str(translated))
    assert translated.read_bytes().count(b"\n") == source.read_bytes().count(b"\n")
    assert "BLEU" in seq2seq_command("evaluate", str(run), str(source), str(reference))
    page = tmp_path / "report.html"
    seq2seq_command("report", str(run), "-o", str(page), "--data", str(data))
    assert page.stat().st_size > 1000
    assert "finished" in seq2seq_command("train", str(recipe), "--data", str(data), "-o", str(run))


def test_a_changed_file_is_told_as_ever(begun: tuple[Path, Path, Path], tmp_path: Path) -> None:
    recipe, data, _ = begun
    copy = tmp_path / "train.en"
    copy.write_bytes((recipe.parent / "train.en").read_bytes())
    wish = "data.train={corpora}"
    folder = recipe.parent
    corpora = (
        f"[['{copy}', '{folder}/train.de'], {{path='{folder}/more.tsv.gz', weight=0.5}}, "
        f"{{source_path='{folder}/talks.en', target_path='{folder}/talks.de', weight=0.25}}]"
    )
    arguments = [str(recipe), "--set", wish.format(corpora=corpora), "--data", str(data)]
    ended = seq2seq_command(
        "train", *arguments, "--set", "training.updates=2", "-o", str(tmp_path / "copied")
    )
    assert "finished" in ended  # the same content elsewhere is the same corpus
    copy.write_bytes(copy.read_bytes() + b"more\n")
    refused = run_python("-m", "seq2seq", "train", *arguments, "-o", str(tmp_path / "other"))
    assert refused.returncode == 2
    assert f"data.train[0].source_path is '{recipe.parent}/train.en' there but" in refused.stderr
