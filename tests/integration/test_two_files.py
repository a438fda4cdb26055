"""From two text files to a model, without a recipe."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
from support.processes import run_python
from support.published import weights_file
from support.tiny import write_corpus

import seq2seq
from seq2seq.data.dataset import PairDataset, PreparedData
from seq2seq.recipe.files import load_recipe
from seq2seq.recipe.packaged import quickstart_files
from seq2seq.training.monitoring import Silent

SETTINGS = """
    tokenizer.vocab_size=150 model.encoder={embedding=12,hidden=16}
    model.decoder={embedding=12,hidden=16} training.epochs=1 training.batch_tokens=400
    training.validation.every=10 training.checkpoint_every=4
""".split()
SETS = [word for one in SETTINGS for word in ("--set", one)]


def write(dataset: PairDataset, folder: Path, name: str) -> list[str]:
    paths = [folder / f"{name}.en", folder / f"{name}.de"]
    for path, texts in zip(paths, dataset.texts(np.arange(len(dataset))), strict=True):
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="\n")
    return list(map(str, paths))


def test_a_killed_run_resumes_to_the_weights_of_named_validation_pairs(tmp_path: Path) -> None:
    """The very pairs that it holds out, given as files, are another way to the same model."""
    files, run = write_corpus(tmp_path, "train", 300), tmp_path / "mine"
    command = ["train", *map(str, files), "-o", str(run), "--threads", "1", *SETS]
    killed = run_python("-m", "support.killed", "SIGKILL", "9", *command)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert "  validation: on 30 pairs held out of the training text\n" in killed.stderr
    again = run_python("-m", "seq2seq", *command)
    assert again.returncode == 0, again.stderr
    assert "resuming from update 8" in again.stderr
    stored = load_recipe(str(run / "recipe.toml"))
    assert (stored.name, stored.data) == ("mine", load_recipe([*files]).data)
    assert json.loads((run / "card.json").read_bytes())["trained_on"]["language"] == "en"

    data = PreparedData.open(run / "data")
    left, held = write(data.train, tmp_path, "left"), write(data.val, tmp_path, "held")
    recipe = load_recipe(left, [*SETTINGS, f"data.val={json.dumps(held)}"])
    seq2seq.train(recipe, tmp_path / "named", threads=1, monitor=Silent())
    assert weights_file(tmp_path / "named").read_bytes() == weights_file(run).read_bytes()


def test_from_python(tmp_path: Path) -> None:
    files = write_corpus(tmp_path, "train", 100)
    data = seq2seq.prepare(files, tmp_path / "corpus", processes=1)
    assert (data.recipe.name, len(data.train), len(data.val)) == ("corpus", 90, 10)
    assert data.recipe == load_recipe([*map(str, files)], folder=tmp_path / "corpus")
    named = load_recipe([*files], [f"data.val={json.dumps(quickstart_files('val'))}"])
    assert named.name == "mine"
    assert len(seq2seq.prepare(named, tmp_path / "named", processes=1).train) == 100
