"""Any file of a run, with a bit flipped or its end cut off: noticed, or of no consequence."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from support.published import weights_file
from support.tiny import write_recipe

import seq2seq
from seq2seq.training.monitoring import Silent

LINES = ["The dog sleeps.", "The old man reads a book.", "We see the house."]
SETTINGS = ["training.updates=20", "training.early_stopping.patience=9"]
HARMLESS = "metrics.jsonl", "curves.png", "examples.json", "report.html"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list[str], bytes]:
    """A recipe, a run half done, what it translates to, and the weights at its end."""
    folder = tmp_path_factory.mktemp("damage")
    recipe = write_recipe(folder, count=150)
    run = folder / "run"
    half = seq2seq.load_recipe(str(recipe), [*SETTINGS, "training.updates=10"])
    seq2seq.train(half, run, threads=1, monitor=Silent())
    ended = folder / "ended"
    shutil.copytree(run, ended, symlinks=True)
    seq2seq.train(seq2seq.load_recipe(str(recipe), SETTINGS), ended, threads=1, monitor=Silent())
    weights = (ended / "last/model.safetensors").read_bytes()
    return recipe, run, seq2seq.Translator.load(run).translate(LINES), weights


def files(run: Path) -> list[Path]:
    found = [path for path in run.rglob("*") if path.is_file() and not path.is_symlink()]
    linked = {run / "best", run / "last"}
    return sorted(path.relative_to(run) for path in found if not linked & set(path.parents))


def damage(path: Path, random: np.random.Generator) -> str:
    content = bytearray(path.read_bytes())
    if not content or random.random() < 0.25:
        kept = int(random.integers(0, max(1, len(content))))
        path.write_bytes(content[:kept])
        return f"{path.name} cut to {kept} bytes"
    place, bit = int(random.integers(0, len(content))), int(random.integers(0, 8))
    content[place] ^= 1 << bit
    path.write_bytes(content)
    return f"{path.name} with bit {bit} of byte {place} flipped"


def check(whole: tuple[Path, Path, list[str], bytes], tmp_path: Path, file: Path, seed: int) -> str:
    """What translating and going on make of it: an error of ours, or what they made before."""
    recipe, run, translations, weights = whole
    copy = tmp_path / f"{seed}"
    shutil.copytree(run, copy, symlinks=True)
    random = np.random.default_rng((seed, *str(file).encode()))
    done = damage(copy / file, random)
    noticed = []
    for engine in ("onnx", "torch"):  # they read the graphs, and the weights
        try:
            found = seq2seq.Translator.load(copy, engine=engine).translate(LINES)
            assert found == translations, done
        except seq2seq.Seq2SeqError as error:
            noticed.append(str(error))
    try:
        # The run's own recipe as a user would give it, longer.
        own = copy / "recipe.toml" if file.name == "recipe.toml" else recipe
        longer = seq2seq.load_recipe(str(own), SETTINGS)
        seq2seq.train(longer, copy, threads=1, monitor=Silent())
        assert (copy / "last/model.safetensors").read_bytes() == weights, done
    except seq2seq.Seq2SeqError as error:
        noticed.append(str(error))
    for message in noticed:
        assert "\n" not in message or message.startswith("recipe "), done
    shutil.rmtree(copy)
    return done if noticed else ""


def test_every_file_is_watched(whole: tuple[Path, Path, list[str], bytes], tmp_path: Path) -> None:
    names = files(whole[1])
    assert len(names) > 15
    important = [
        one for one in names if one.name in ("card.json", "run.json", weights_file(whole[1]).name)
    ]
    important += [Path("recipe.toml"), Path("tokenizer.model"), Path("metrics.jsonl")]
    for seed, file in enumerate(important):
        check(whole, tmp_path, file, seed)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_any_bit_of_any_file(whole: tuple[Path, Path, list[str], bytes], tmp_path: Path) -> None:
    noticed: dict[str, int] = {}
    for seed in range(6):
        for file in files(whole[1]):
            found = check(whole, tmp_path, file, seed)
            noticed[str(file)] = noticed.get(str(file), 0) + bool(found)
    for name in (weights_file(whole[1]).name, "card.json", "run.json", "data/manifest.json"):
        assert noticed[name] >= 3, noticed
    assert all(noticed[name] == 0 for name in HARMLESS if name in noticed), noticed
