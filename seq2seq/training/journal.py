"""``metrics.jsonl``: what training measured, a JSON object a line."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from seq2seq.training.checkpoint import write_synced


class Journal:
    """Appends records to a file, and forgets those that a resumed run makes again.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def records(self) -> list[dict[str, Any]]:
        """All whole records.

        Returns:
            Them, in order; a line that a killed process left unfinished is left out.
        """
        if not self.path.is_file():
            return []
        records = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").split("\n"):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict) and isinstance(record.get("update", 0), int):
                records.append(record)
        return records

    def rewind(self, update: int) -> None:
        """Drops records after an update.

        Args:
            update: The update that training goes on from.
        """
        if self.path.is_file():
            kept = [record for record in self.records() if record.get("update", 0) <= update]
            write_synced(self.path, "".join(json.dumps(record) + "\n" for record in kept))

    def append(self, record: dict[str, Any]) -> None:
        """Adds a record.

        Args:
            record: Plain values; it should have an "update".
        """
        with self.path.open("a", encoding="utf-8", newline="\n") as file:
            file.write(json.dumps(_finite(record)) + "\n")


def _finite(value: Any) -> Any:
    """JSON has no infinities: a number that is not finite becomes null."""
    if isinstance(value, dict):
        return {key: _finite(below) for key, below in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
