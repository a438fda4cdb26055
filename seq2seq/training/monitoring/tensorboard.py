"""TensorBoard: the records of ``metrics.jsonl`` as scalars."""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from seq2seq.errors import MissingExtraError

_NOT_SCALARS = ("kind", "update", "time")


def check_installed() -> None:
    """Checks that TensorBoard's package is there, before hours are spent.

    Raises:
        MissingExtraError: If it is not.
    """
    if find_spec("tensorboard") is None:
        raise MissingExtraError("training.tensorboard", "tensorboard", "tensorboard")


class TensorBoard:
    """Writes event files.

    Args:
        folder: Where to; files of earlier sessions stay, and are read before the new one.
        first: The first update that this session makes: what TensorBoard has from there on, left
            by a session that was killed, is shown no more.

    Raises:
        MissingExtraError: If the package is not installed.
    """

    def __init__(self, folder: Path, first: int) -> None:
        check_installed()
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(folder), purge_step=first)

    def record(self, record: dict[str, Any]) -> None:
        """Adds the numbers of a record, under its kind.

        Args:
            record: As ``metrics.jsonl`` has it; those of sessions have no numbers to show.
        """
        if record["kind"] not in ("train", "validation"):
            return
        for name, value in _scalars(record):
            self.writer.add_scalar(f"{record['kind']}/{name}", value, record["update"])

    def close(self) -> None:
        """Waits for the disk."""
        self.writer.close()


def _scalars(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _scalars(value, f"{prefix}{name}/")
        elif name not in _NOT_SCALARS and isinstance(value, int | float) and math.isfinite(value):
            yield prefix + name, float(value)
