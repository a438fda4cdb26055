"""Checkpoints: folders that are whole or not there.

A checkpoint is written under a temporary name, synced to the disk and renamed; a process killed at
any moment leaves the older checkpoints untouched. ``state.json`` holds a checksum of every file, so
that a damaged one is noticed before it is used.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from seq2seq.data.reading.files import file_digest, sync
from seq2seq.errors import ModelError
from seq2seq.storage.atomic import umask
from seq2seq.storage.checked_json import SUM, own_sum, sealed, unsealed
from seq2seq.training.state import TrainingState

FORMAT = 1
STATE = "state.json"
TEMPORARY = ".partial-"

_MISSING = (FileNotFoundError, IsADirectoryError, NotADirectoryError)

Tensors = dict[str, Tensor]


class DamagedCheckpointError(ModelError):
    """A checkpoint of which a file is missing or is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on as if nothing had happened.

    Attributes:
        state: Where training stands.
        groups: Tensors by file: "model", "optimizer", and "average" where there is one.
        environment: What the numbers may depend on: versions, threads, precision.
    """

    state: TrainingState
    groups: dict[str, Tensors]
    environment: dict[str, Any] = field(default_factory=dict)

    def evaluated(self) -> Tensors:
        """The weights that validation judges.

        Returns:
            The moving average where there is one, else the model's own.
        """
        return self.groups.get("average", self.groups["model"])


@contextmanager
def replacing(*paths: Path) -> Iterator[list[Path]]:
    """Replaces files of one folder, one right after the other, or leaves them as they were.

    Args:
        *paths: The files.

    Yields:
        Temporary names that become the files if all goes well, and vanish if not.
    """
    partials = [path.with_name(TEMPORARY + path.name) for path in paths]
    try:
        yield partials
        for partial in partials:
            sync(partial)
        for partial, path in zip(partials, paths, strict=True):
            partial.replace(path)
    except BaseException:
        for partial in partials:
            partial.unlink(missing_ok=True)
        raise
    sync(paths[0].parent)


def write_synced(path: Path, text: str) -> None:
    """Replaces a text file in one step, or leaves it as it was.

    Args:
        path: The file.
        text: What it is to hold.
    """
    with replacing(path) as (partial,):
        partial.write_text(text, encoding="utf-8", newline="\n")


def save_tensors(path: Path, tensors: Tensors) -> str:
    """Writes a safetensors file that others than its owner can read, if the umask says so.

    Args:
        path: The file.
        tensors: What it is to hold.

    Returns:
        Its SHA-256.
    """
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)
    path.chmod(0o666 & ~umask())  # safetensors makes files that nobody else can read
    sync(path)
    return file_digest(path)


def read_object(path: Path) -> dict[str, Any]:
    """Reads one of a run's small JSON files.

    Args:
        path: The file.

    Returns:
        The object in it, without its sum.

    Raises:
        ModelError: If it holds something else, or is damaged.
    """
    try:
        return unsealed(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {error}") from error


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes a checkpoint.

    Args:
        folder: The run's checkpoints folder.
        checkpoint: What to write.

    Returns:
        The new checkpoint's folder, named after its update.
    """
    final = folder / f"update-{checkpoint.state.update:08d}"
    partial = folder / (TEMPORARY + final.name)
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        sums = {
            f"{name}.safetensors": save_tensors(partial / f"{name}.safetensors", tensors)
            for name, tensors in checkpoint.groups.items()
        }
        content = {
            "format": FORMAT,
            "sha256": sums,
            "environment": checkpoint.environment,
            "state": checkpoint.state.to_json(),
        }
        (partial / STATE).write_text(sealed(content), encoding="utf-8", newline="\n")
        sync(partial / STATE)
        sync(partial)
        if final.exists():  # the same update saved again: a validation after a plain save
            old = folder / (TEMPORARY + "old-" + final.name)
            shutil.rmtree(old, ignore_errors=True)
            final.rename(old)
            try:
                partial.rename(final)
            except OSError:
                old.rename(final)
                raise
            shutil.rmtree(old)
        else:
            partial.rename(final)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    sync(folder)
    return final


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint, all of it checked.

    Args:
        path: Its folder.

    Returns:
        The checkpoint.

    Raises:
        DamagedCheckpointError: If a file is missing or damaged.
        ModelError: If another version of the toolkit wrote it.
        OSError: If the disk does not answer; that says nothing about the checkpoint.
    """
    try:
        content = json.loads((path / STATE).read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ModelError(
                f"checkpoint {path} has format {content['format']}, this version reads {FORMAT}"
            )
        if content.pop(SUM) != own_sum(content):
            raise DamagedCheckpointError(
                f"checkpoint {path} is damaged: {STATE} does not match its sum"
            )
        groups = {}
        for name, expected in content["sha256"].items():
            file = path / Path(name).name
            if file_digest(file) != expected:
                raise DamagedCheckpointError(
                    f"checkpoint {path} is damaged: {name} does not match its sum"
                )
            groups[file.stem] = load_file(file)
        state = TrainingState.from_json(content["state"])
        return Checkpoint(state, groups, content["environment"])
    except (
        *_MISSING,
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        SafetensorError,
    ) as error:
        raise DamagedCheckpointError(f"checkpoint {path} is damaged: {error}") from error


def checkpoint_folders(folder: Path) -> list[Path]:
    """Checkpoints by name, the newest first.

    Args:
        folder: The run's checkpoints folder.

    Returns:
        Their folders; what a killed process left half-written is not among them.
    """
    if not folder.is_dir():
        return []
    named = [one for one in folder.iterdir() if re.fullmatch(r"update-\d{8,}", one.name)]
    return sorted(named, key=update_of, reverse=True)


def update_of(folder: Path) -> int:
    """Tells the update that a checkpoint was written at, by its name.

    Args:
        folder: The checkpoint's folder.

    Returns:
        The update.
    """
    return int(folder.name.removeprefix("update-"))


def recover(folder: Path) -> None:
    """Clears up after a killed process.

    Args:
        folder: The run's checkpoints folder. A checkpoint that was being replaced by a newer
            writing of the same update, and whose replacement is not whole, is put back.
    """
    for old in folder.glob(TEMPORARY + "old-*"):
        final = folder / old.name.removeprefix(TEMPORARY + "old-")
        if final.exists():
            shutil.rmtree(old)
        else:
            old.rename(final)
    for partial in folder.glob(TEMPORARY + "*"):
        shutil.rmtree(partial)


def point(link: Path, target: Path) -> None:
    """Makes a relative link to a checkpoint, in one step.

    Args:
        link: The link, beside the checkpoints folder.
        target: The checkpoint's folder.
    """
    partial = link.with_name(TEMPORARY + link.name)
    partial.unlink(missing_ok=True)
    partial.symlink_to(Path(target.parent.name) / target.name)
    partial.replace(link)
