"""A run's folder for the processes of a training that leave it to another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from seq2seq.data.dataset import PreparedData
from seq2seq.recipe import Recipe
from seq2seq.training.run.checkpoint import Checkpoint, Tensors
from seq2seq.training.run.folder import RunFolder
from seq2seq.training.run.journal import Journal


class Unwritten(Journal):
    """A journal that has no records and takes none."""

    def rewind(self, update: int) -> None:
        """Does nothing.

        Args:
            update: Any.
        """

    def append(self, record: dict[str, Any]) -> None:
        """Does nothing.

        Args:
            record: Any.
        """


class AbsentFolder(RunFolder):
    """Has nothing and keeps nothing: this process need not even see the folder.

    Args:
        path: The run's folder, for messages.
        recipe: The recipe.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self.path, self.recipe = path, recipe
        self.checkpoints = path / "checkpoints"
        self.journal = Unwritten(path / "metrics.jsonl")
        self.begun, self.changed = False, {}

    def close(self) -> None:
        """Does nothing: nothing is locked."""

    def claim(self, prepared: PreparedData, init: dict[str, Any] | None = None) -> None:
        """Does nothing.

        Args:
            prepared: Any.
            init: Any.
        """

    def latest(self, say: Callable[[str], None]) -> None:
        """Has no checkpoint.

        Args:
            say: Told nothing.
        """

    def good(self, before: int, say: Callable[[str], None]) -> None:
        """Has no checkpoint.

        Args:
            before: Any.
            say: Told nothing.
        """

    def kept(self) -> str:
        """Says where to look.

        Returns:
            A part of a sentence.
        """
        return f"the last checkpoint, if there is one, is {self.path / 'last'}"

    def save(self, checkpoint: Checkpoint, keep: int, keep_validated: int) -> None:
        """Does nothing.

        Args:
            checkpoint: Any.
            keep: Any.
            keep_validated: Any.
        """

    def validated_weights(self, updates: list[int]) -> Iterator[Tensors]:
        """Has none.

        Args:
            updates: Any.

        Returns:
            Nothing to go through.
        """
        return iter(())

    def published(self) -> None:
        """Has no model."""
