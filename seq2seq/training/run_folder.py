"""A run's folder: the model-to-be, its checkpoints, and what was measured on the way.

``recipe.toml``, ``tokenizer.model`` (or ``source.model`` and ``target.model``),
``weights.safetensors`` and ``card.json`` make a model folder, so a run translates as soon as its
first validation is done. Beside them: ``run.json`` (which data), ``checkpoints/``, the links
``best`` and ``last`` into it, ``metrics.jsonl``, ``curves.png``, and ``data/`` where the run
prepared its own.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from seq2seq.data.dataset import PreparedData
from seq2seq.errors import ModelError, TrainingError
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import read_recipe_text, recipe_from_toml, recipe_to_toml
from seq2seq.training.checkpoint import (
    TEMPORARY,
    Checkpoint,
    DamagedCheckpointError,
    Tensors,
    checkpoint_folders,
    load_checkpoint,
    point,
    read_object,
    recover,
    save_checkpoint,
    write_synced,
    write_tensors,
)
from seq2seq.training.journal import Journal

OWN = {
    "recipe.toml", "tokenizer.model", "source.model", "target.model", "weights.safetensors",
    "card.json", "run.json", "checkpoints", "best", "last", "metrics.jsonl", "curves.png", "data",
}  # fmt: skip


class RunFolder:
    """The folder of one training, locked against other processes until it is closed.

    Args:
        path: The folder; made where it is missing.
        recipe: The recipe that is to be trained there.

    Raises:
        ModelError: If the folder is a file, holds something else or a run of another recipe, or
            another process is training there.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path = path
        self.recipe = recipe
        self.checkpoints = path / "checkpoints"
        self.journal = Journal(path / "metrics.jsonl")
        if path.exists() and not path.is_dir():
            raise ModelError(f"{path} is a file: a run needs a folder of its own")
        self.begun = (path / "run.json").exists()
        self._check_contents()
        self._check_recipe()
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self._lock = self._locked()
        recover(self.checkpoints)
        for partial in path.glob(TEMPORARY + "*"):
            partial.unlink()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *error: object) -> None:
        os.close(self._lock)

    def _locked(self) -> int:
        """Keeps other processes out for as long as the handle is open, or this process lives."""
        handle = os.open(self.checkpoints, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(handle)
            raise ModelError(
                f"another process is training in {self.path}: wait for it, stop it, or give -o "
                "another folder"
            ) from None
        return handle

    def _check_contents(self) -> None:
        """A folder without run.json is no run: whatever it holds is the user's."""
        if self.begun or not self.path.is_dir():
            return
        early = {"checkpoints", "data"}  # of a run that was killed before it wrote run.json
        names = sorted(entry.name for entry in self.path.iterdir())
        foreign = [name for name in names if name not in early and not name.startswith(".")]
        if foreign:
            raise ModelError(
                f"{self.path} holds other things ({', '.join(foreign[:3])}) and no run: "
                "give -o a new or empty folder"
            )

    def _check_recipe(self) -> None:
        file = self.path / "recipe.toml"
        if not file.is_file():
            return
        stored = recipe_from_toml(read_recipe_text(str(file)), str(file))
        ours, theirs = _flat(self.recipe), _flat(stored)
        differing = [key for key in {**ours, **theirs} if ours.get(key) != theirs.get(key)]
        if differing:
            shown = "; ".join(
                f"{key} is {theirs.get(key, 'not given')!r} there and "
                f"{ours.get(key, 'not given')!r} here"
                for key in differing[:5]
            )
            more = f" and {len(differing) - 5} more" if len(differing) > 5 else ""
            raise ModelError(
                f"{self.path} holds a run of another recipe: {shown}{more}; "
                "give -o a new folder, or train with the run's own recipe.toml"
            )

    def claim(self, prepared: PreparedData) -> None:
        """Writes what a new run begins with, or checks that a run goes on with its own data.

        Args:
            prepared: The prepared data.

        Raises:
            ModelError: If the run was begun on other data.
        """
        file = self.path / "run.json"
        if file.is_file() and read_object(file).get("data") != prepared.digest:
            raise ModelError(
                f"{self.path} was begun on other data than {prepared.folder} holds: "
                "give --data the folder it was begun with, or -o a new folder"
            )
        write_synced(file, json.dumps({"data": prepared.digest}) + "\n")
        prepared.tokenizers.save(self.path)
        write_synced(self.path / "recipe.toml", recipe_to_toml(self.recipe))

    def latest(self, say: Callable[[str], None]) -> Checkpoint | None:
        """The newest checkpoint that is whole.

        Args:
            say: Told of damaged ones.

        Returns:
            The checkpoint; None for a new run.

        Raises:
            ModelError: If there are checkpoints and none is whole, or the newest is of another
                version.
        """
        folders = checkpoint_folders(self.checkpoints)
        for folder in folders:
            try:
                checkpoint = load_checkpoint(folder)
            except DamagedCheckpointError as error:
                say(f"warning: {error}; trying the one before")
                continue
            for newer in folders[: folders.index(folder)]:
                aside = newer.with_name("damaged-" + newer.name)
                shutil.rmtree(aside, ignore_errors=True)
                newer.rename(aside)
            return checkpoint
        if folders:
            raise ModelError(
                f"none of the {len(folders)} checkpoints in {self.checkpoints} can be read: "
                "train into a new folder, or remove them to begin anew here"
            )
        return None

    def save(self, checkpoint: Checkpoint, keep: int, keep_validated: int) -> None:
        """Writes a checkpoint, moves the links, and drops checkpoints no longer needed.

        Args:
            checkpoint: What to write.
            keep: How many of the newest to keep.
            keep_validated: How many of the newest that were validated to keep.
        """
        with self._writing():
            newest = save_checkpoint(self.checkpoints, checkpoint)
            point(self.path / "last", newest)
        folders = checkpoint_folders(self.checkpoints)
        needed = set(folders[:keep])
        best = checkpoint.state.best_update
        best_folder = self.checkpoints / f"update-{best or 0:08d}"
        if best_folder in folders:
            point(self.path / "best", best_folder)
            needed.add(best_folder)
        validated = [record["update"] for record in checkpoint.state.history]
        names = {f"update-{update:08d}" for update in validated[-keep_validated:]}
        for folder in folders:
            if folder not in needed and not (keep_validated and folder.name in names):
                shutil.rmtree(folder)

    def validated_weights(self, updates: list[int]) -> Iterator[Tensors]:
        """The weights that were validated at some updates.

        Args:
            updates: Which.

        Yields:
            Them, where the checkpoint is still there.
        """
        for update in updates:
            folder = self.checkpoints / f"update-{update:08d}"
            if folder.is_dir():
                yield load_checkpoint(folder).evaluated()

    def published(self) -> int | None:
        """The update whose weights the model folder has now.

        Returns:
            It, or None where there are none yet.
        """
        card = self.path / "card.json"
        if not card.is_file() or not (self.path / "weights.safetensors").is_file():
            return None
        update = read_object(card).get("update")
        return update if isinstance(update, int) else None

    def publish(self, weights: Tensors, card: dict[str, Any]) -> None:
        """Makes weights the run's model.

        Args:
            weights: By parameter name.
            card: What is known of them.
        """
        with self._writing():
            digest = write_tensors(self.path / "weights.safetensors", weights)
            text = json.dumps({**card, "weights_sha256": digest}, indent=1, ensure_ascii=False)
            write_synced(self.path / "card.json", text + "\n")

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Says what is still whole, where the disk is full or gone."""
        try:
            yield
        except (OSError, SafetensorError) as error:
            free = shutil.disk_usage(self.path).free / 2**20
            raise TrainingError(
                f"training stopped: a checkpoint could not be written to {self.path}: {error} "
                f"({free:,.0f} MiB free); the checkpoints before it are whole: when the folder can "
                "be written again, the same command goes on"
            ) from error


def _flat(recipe: Recipe) -> dict[str, Any]:
    """A recipe's values by key path, without the data table: the data has its own digest."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, below in value.items():
                walk(f"{prefix}.{key}" if prefix else key, below)
        elif value is not None:
            flat[prefix] = value

    walk("", recipe.model_dump(exclude={"data"}))
    return flat
