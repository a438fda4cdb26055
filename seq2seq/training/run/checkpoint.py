"""Checkpoints: folders that are whole or not there.

A checkpoint is written under a temporary name, synced to the disk and renamed; a process killed at
any moment leaves the older checkpoints untouched. ``state.json`` holds a checksum of every file, so
that a damaged one is noticed before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file
from torch import Tensor

from seq2seq.errors import ModelError
from seq2seq.storage import checked_json
from seq2seq.storage.atomic import file_digest, new_folder, usual_permissions
from seq2seq.storage.layout import STATE, checkpoint_name
from seq2seq.storage.whole import JSON_SIZE, read_bytes
from seq2seq.training.state import TrainingState

FORMAT = 1

Tensors = dict[str, Tensor]


class StateShape(BaseModel):
    """What is relied on of ``state.json``."""

    sha256: dict[str, str]
    environment: dict[str, Any]
    state: TrainingState
    run: str | None = None


class DamagedCheckpointError(ModelError):
    """A checkpoint of which a file is missing or is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """All that a run needs to go on as if nothing had happened."""

    state: TrainingState
    groups: dict[str, Tensors]  # by file: "model", "optimizer", and "average" where there is one
    environment: dict[str, Any] = field(default_factory=dict)  # versions, threads, precision
    run: str | None = None  # the "id" of its run; None: of a run of an older version

    def evaluated(self) -> Tensors:
        """The weights that validation sees: the moving average where there is one."""
        return self.groups.get("average", self.groups["model"])


def save_tensors(path: Path, tensors: Tensors) -> str:
    """Writes a safetensors file in a new folder; returns its SHA-256."""
    with usual_permissions(path):
        save_file(_on_cpu(tensors), path)
    return file_digest(path)


def tensor_bytes(tensors: Tensors) -> bytes:
    """The content of a safetensors file."""
    return save(_on_cpu(tensors))


def _on_cpu(tensors: Tensors) -> Tensors:
    return {name: value.detach().cpu().contiguous() for name, value in tensors.items()}


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes a checkpoint, or replaces that of the same update; returns its folder."""
    final = folder / checkpoint_name(checkpoint.state.update)
    with new_folder(final, overwrite=True) as partial:
        sums = {
            f"{name}.safetensors": save_tensors(partial / f"{name}.safetensors", tensors)
            for name, tensors in checkpoint.groups.items()
        }
        content = {
            "format": FORMAT,
            "sha256": sums,
            "environment": checkpoint.environment,
            "state": checkpoint.state.to_json(),
            **({} if checkpoint.run is None else {"run": checkpoint.run}),
        }
        checked_json.write(partial / STATE, content)
    return final


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint, all of it checked.

    Raises ``DamagedCheckpointError`` if a file is missing or damaged, ``ModelError`` if another
    version wrote it, and ``OSError`` if the disk does not answer, which says nothing about the
    checkpoint.
    """
    try:
        written = read_bytes(path / STATE, JSON_SIZE)
        version = checked_json.parse(written)["format"]
        if version != FORMAT:
            raise ModelError(f"checkpoint {path} has format {version}, this version reads {FORMAT}")
        content = checked_json.loads(written, StateShape, checked=True)
        groups = {}
        for name, expected in content["sha256"].items():
            file = path / Path(name).name
            if file_digest(file) != expected:
                raise ValueError(f"{name} does not match its sum")
            groups[file.stem] = load_file(file)
        if "model" not in groups:
            raise ValueError("it has no model.safetensors")
        state = TrainingState.from_json(content["state"])
        return Checkpoint(state, groups, content["environment"], content.get("run"))
    except (
        FileNotFoundError, IsADirectoryError, NotADirectoryError, ValueError, LookupError,
        TypeError, AttributeError, SafetensorError,
    ) as error:  # fmt: skip
        raise DamagedCheckpointError(f"checkpoint {path} is damaged: {error}") from error
