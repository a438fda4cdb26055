"""The model of ours that is measured: trained here, or the user's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import run
from benchmarks.text import Text, digest
from seq2seq.inference.model_folder import ModelFolder
from seq2seq.storage.layout import WEIGHTS

RECIPE = Path(__file__).with_name("recipe.toml")


@dataclass(frozen=True)
class Ours:
    """A model of ours.

    Attributes:
        run: Where its weights lie.
        exported: The folder that ``seq2seq export`` has made of it.
        data: The prepared corpus, where it was trained here.
    """

    run: Path
    exported: Path
    data: Path | None

    @property
    def tokenizer(self) -> Path:
        """What its target pieces are made by."""
        joint = self.run / "tokenizer.model"
        return joint if joint.exists() else self.run / "target.model"


def prepared(
    text: Text, work: Path, settings: Sequence[str] = (), recipe: str = str(RECIPE)
) -> Path:
    """Prepares the text, unless it is.

    Args:
        text: The text.
        work: The benchmark's folder.
        settings: What is set in the recipe.
        recipe: The recipe, by its file or name.

    Returns:
        The prepared folder; the model's lie beside it.
    """
    settings = [*text.settings, *settings]
    read = recipe.encode() if not Path(recipe).is_file() else Path(recipe).read_bytes()
    contents = [read, text.train.source.read_bytes(), text.train.target.read_bytes()]
    data = work / f"{text.name}-{digest(*contents, *settings)}" / "data"
    if not (data / "manifest.json").exists():
        run(["prepare", recipe, *options(settings), "-o", str(data)])
    return data


def trained(text: Text, work: Path, threads: int, settings: Sequence[str] = ()) -> Ours:
    """Trains the benchmark's model, goes on with it, or takes the one that is there.

    Args:
        text: What to train on.
        work: The benchmark's folder.
        threads: Processor threads.
        settings: What is set in the recipe.

    Returns:
        The model.
    """
    data = prepared(text, work, settings)
    folder, finished = data.with_name("run"), data.with_name("run-finished")
    if not finished.exists():
        command = ["train", str(RECIPE), *options([*text.settings, *settings])]
        run([*command, "--data", str(data), "-o", str(folder), "--threads", str(threads)])
        finished.touch()
    return Ours(folder, data.with_name("exported"), data)


def given(model: Path, work: Path) -> Ours:
    """Takes the user's model.

    Args:
        model: A run's folder, or one that was exported.
        work: The benchmark's folder.

    Returns:
        The model.
    """
    if ModelFolder.open(model).is_exported:
        return Ours(model, model, None)
    weights = ModelFolder.open(model).file(WEIGHTS).read_bytes()
    return Ours(model, work / f"exported-{digest(weights)}", None)


def export(ours: Ours) -> None:
    """Makes the folder for ONNX Runtime, unless it is there.

    Args:
        ours: The model.
    """
    if not any(ours.exported.glob("*.onnx")):
        run(["export", str(ours.run), "-o", str(ours.exported)])


def options(settings: Sequence[str]) -> list[str]:
    """Says settings on a command line.

    Args:
        settings: KEY=VALUE each.

    Returns:
        The words.
    """
    return [word for one in settings for word in ("--set", one)]
