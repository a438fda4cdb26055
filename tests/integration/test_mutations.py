"""Every file of a run, a model and prepared data of another structure: one line, no crash."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tomli_w
from support.mutations import as_json, damaged, mutated, with_right_sums
from support.tiny import write_recipe

import seq2seq
from seq2seq.cli.console import message_of
from seq2seq.data.dataset import PreparedData
from seq2seq.inference.export import export_model
from seq2seq.inference.shortlist_learning import shortlist_of
from seq2seq.models.weights import load_tensors
from seq2seq.report import page
from seq2seq.report.record import RunRecord
from seq2seq.storage.layout import plain_name
from seq2seq.tasks import task_for
from seq2seq.training.finetuning.source_model import SourceModel
from seq2seq.training.monitoring import Silent
from seq2seq.training.run import RunFolder

LINES = ["The dog sleeps.", "The old man reads a book."]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, which has its data and a checkpoint, and the model exported of it."""
    folder = tmp_path_factory.mktemp("mutations")
    settings = ["model.decoder.attention=general", "training.updates=20"]
    recipe = seq2seq.load_recipe(str(write_recipe(folder, count=150)), settings)
    run = folder / "run"
    seq2seq.train(recipe, run, threads=1, monitor=Silent())
    export_model(run, folder / "model", shortlist=shortlist_of(run, run / "data"))
    for path in [*run.glob("*-????????????????.*")]:  # as version 0.3 named them
        path.rename(run / plain_name(path.name))
    return folder


def translated(folder: Path, **options: Any) -> list[str]:
    return seq2seq.Translator.load(folder, threads=1, **options).translate(LINES, beam=1)


def gone_on_with(run: Path) -> None:
    """What ``train`` reads of a run before it goes on."""
    recipe = seq2seq.load_recipe(str(run / "recipe.toml"))
    with RunFolder(run, recipe) as folder:
        prepared = PreparedData.open(run / "data")
        prepared.check_fits(recipe)
        prepared.changed_inputs(recipe)
        prepared.mixture(recipe)
        checkpoint = folder.latest(lambda _: None)
        assert checkpoint is not None
        model = task_for(recipe).build_model(prepared.tokenizers)
        load_tensors(model, checkpoint.groups["model"], run)
        folder.claim(prepared)
        folder.published()
        folder.journal.records()


def uses_of(whole: Path, file: Path) -> list[Callable[[], object]]:
    """All that reads a file."""
    run, model = whole / "run", whole / "model"
    if file.parent == model:
        shortlist = [partial(translated, model, shortlist=True)]
        return [
            partial(translated, model),
            partial(translated, model, precision="int8"),
            *shortlist,
        ]
    uses: list[Callable[[], object]] = [
        lambda: page.render(RunRecord.read(run)),
        partial(gone_on_with, run),
    ]
    if file.parent == run and file.name not in ("run.json", "examples.json", "metrics.jsonl"):
        engines = [partial(translated, run, engine=engine) for engine in ("onnx", "torch")]
        uses += [*engines, partial(SourceModel.read, run)]
    return uses


def files_of(whole: Path) -> list[Path]:
    kinds = (".json", ".jsonl", ".toml", ".model", ".onnx", ".safetensors")
    found = [
        path
        for folder in (whole / "run", whole / "model")
        for path in sorted(folder.rglob("*"))
        if path.suffix in kinds and not {"best", "last"} & set(path.parts)
    ]
    assert len(found) > 20
    return found


def change(path: Path, random: np.random.Generator) -> tuple[str, bytes]:
    """What is done to a file, and its new content."""
    content = path.read_bytes()
    if random.random() < 0.1:
        return damaged(content, random)
    if path.suffix in (".json", ".jsonl"):
        lines = content.split(b"\n")[:-1] if path.suffix == ".jsonl" else [content]
        chosen = int(random.integers(len(lines)))
        words, found = mutated(json.loads(lines[chosen]), random)
        lines[chosen] = as_json(found)
        return words, b"\n".join(lines) + b"\n"
    if path.suffix == ".toml":
        words, found = mutated(tomllib.loads(content.decode()), random, null="none")
        return words, tomli_w.dumps(found).encode()
    if path.suffix == ".safetensors" and random.random() < 0.8:
        size = int.from_bytes(content[:8], "little")
        words, found = mutated(json.loads(content[8 : 8 + size]), random)
        header = json.dumps(found).encode()
        return words, len(header).to_bytes(8, "little") + header + content[8 + size :]
    if path.suffix == ".onnx" and random.random() < 0.3:
        other = [*path.parent.glob("*.onnx")]
        chosen_file = other[int(random.integers(len(other)))]
        return f"it is {chosen_file.name}", chosen_file.read_bytes()
    return damaged(content, random)


def complaints(whole: Path, file: Path, seed: int, most: int = 9) -> Iterator[str]:
    """Changes a file, and tells what is wrong with what its readers say, so many at ``most``."""
    random = np.random.default_rng((seed, *str(file.relative_to(whole)).encode()))
    folders = {file.parent, whole / "run"}  # going on writes run.json and the card anew
    kept = {
        path: path.read_bytes() for folder in folders for path in folder.iterdir() if path.is_file()
    }
    words, content = change(file, random)
    try:
        file.write_bytes(content)
        if random.random() < 0.7:
            with_right_sums(file.parent, file.name)
        uses = uses_of(whole, file)
        for number in random.permutation(len(uses))[:most]:
            try:
                uses[number]()
            except Exception as error:
                text, code = message_of(error)
                lines = text.count("\n")
                if isinstance(error, seq2seq.RecipeError):
                    lines -= len(error.problems)
                if code != 2 or "unexpected" in text or lines > 0 or str(whole) not in text:
                    yield f"{file.relative_to(whole)}: {words}: {code}: {text[:300]}"
            for aside in (whole / "run/checkpoints").glob("damaged-*"):
                aside.rename(aside.with_name(aside.name.removeprefix("damaged-")))
    finally:
        for path, before in kept.items():
            path.write_bytes(before)


def test_structural_mutations(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "charts", lambda *_: [])  # a second each
    files = files_of(whole)
    rounds = -(-420 // len(files))
    found = [
        text
        for seed in range(rounds)
        for file in files
        for text in complaints(whole, file, seed, 1)
    ]
    assert found == []


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_many_structural_mutations(whole: Path) -> None:
    files = files_of(whole)
    found = [
        text for seed in range(99, 199) for file in files for text in complaints(whole, file, seed)
    ]
    assert found == []
