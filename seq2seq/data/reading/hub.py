"""Data sets of the Hugging Face hub, read as streams that can be taken up again.

``datasets`` can tell where a stream is and go on from there. What it tells was wrong in some of its
releases once a stream had been taken up, so it is believed only where it moves; else the rows are
passed over by their number.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from seq2seq.errors import DataError, MissingExtraError
from seq2seq.recipe.data import HubSource


class HubRows:
    """The rows of a data set, in order.

    Args:
        source: The recipe's table.
        mark: Where to begin, from ``mark`` of an earlier reading; None: at the beginning.
    """

    def __init__(self, source: HubSource, mark: Mapping[str, Any] | None = None) -> None:
        self._source = source
        self._state = None if mark is None else mark["state"]
        self._skip: int = 0 if mark is None else mark["skip"]
        self._before: int = 0 if mark is None else mark["rows"]
        self._read = 0
        self._data: Any = None
        self._first: Any = None

    def __iter__(self) -> Iterator[Mapping[str, Any]]:
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        try:
            import datasets
        except ModuleNotFoundError as error:
            raise MissingExtraError("the hub", "train", "datasets") from error
        source = self._source
        name = f"data set {source.name!r}, split {source.split!r}"
        try:
            self._data = datasets.load_dataset(
                source.name,
                name=source.config,
                split=source.split,
                revision=source.revision,
                streaming=True,
            )
            self._first = self._told()
            if self._state is not None:
                self._data.load_state_dict(self._state)
            left = self._skip
            for row in self._data:
                if left:
                    left -= 1
                    continue
                self._read += 1
                yield row
        except DataError:
            raise
        # What it raises is not documented, differs between releases, and nearly always is the
        # network, the name, the configuration or the split: all of them the user's to mend.
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            rows = self._before + self._read
            place = f", after row {rows}" if rows else ""
            raise DataError(f"{name}{place}: cannot be read: {reason}") from None
        if not self._before + self._read:
            raise DataError(f"{name}: the split is empty")

    def _told(self) -> Any:
        """Where the stream is, as ``datasets`` tells it; None if it does not, or not for JSON."""
        try:
            return json.loads(json.dumps(self._data.state_dict()))
        except (AttributeError, TypeError):
            return None

    def mark(self) -> dict[str, Any]:
        """Where the next row is.

        Returns:
            Plain values for JSON, which a later reading takes.
        """
        told = self._told() if self._read else None
        rows = self._before + self._read
        if told is None or told == self._first:
            return {"state": self._state, "skip": self._skip + self._read, "rows": rows}
        return {"state": told, "skip": 0, "rows": rows}
