"""The Hugging Face hub, read through ``datasets`` as a stream: nothing is kept on the disk."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from seq2seq.data.reading.rows import Start, pair_at_keys
from seq2seq.errors import DataError, MissingExtraError
from seq2seq.recipe.data import HubSource
from seq2seq.text.cleaning import RawPair


class HubRows:
    """The rows of a data set, in order, as a stream that can be taken up again.

    ``datasets`` can tell where a stream is and go on from there. What it tells was wrong in some of
    its releases once a stream had been taken up, so it is believed only where it moves; else the
    rows are passed over by their number. Reading begins at a mark of an earlier one, if any.
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
        name = _name(source)
        _check_name(source.name)
        try:
            self._data = datasets.load_dataset(
                source.name,
                name=source.config,
                split=source.split,
                revision=source.revision,
                streaming=True,
            )
            self._first = self._position()
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

    def _position(self) -> Any:
        """Where the stream is, as ``datasets`` tells it; None if it does not, or not for JSON."""
        try:
            return json.loads(json.dumps(self._data.state_dict()))
        except (AttributeError, TypeError):
            return None

    def mark(self) -> dict[str, Any]:
        """Where the next row is, in plain values for JSON, from which reading can go on."""
        position = self._position() if self._read else None
        rows = self._before + self._read
        if position is None or position == self._first:
            return {"state": self._state, "skip": self._skip + self._read, "rows": rows}
        return {"state": position, "skip": 0, "rows": rows}


def read_hub(source: HubSource, start: Start) -> Iterator[RawPair]:
    """Reads the rows of a data set."""
    rows = islice(HubRows(source), start.lines, None)
    for number, row in enumerate(rows, start.lines + 1):
        yield hub_pair(number, row, source)


def hub_pair(number: int, row: Mapping[str, Any], source: HubSource) -> RawPair:
    """Takes a pair from a row of a data set, which is numbered from 1."""
    return pair_at_keys(number, row, source, f"{_name(source)}, row {number}")


def _check_name(name: str) -> None:
    """Refuses names that ``datasets`` takes for something other than a data set of the hub."""
    from datasets import packaged_modules

    if name in getattr(packaged_modules, "_PACKAGED_DATASETS_MODULES", ()):
        raise DataError(
            f"data set {name!r}: reads files of a kind, those of the current folder, and is no "
            "data set of the hub: name one as OWNER/NAME, or give the files themselves"
        )
    if not Path(name).is_absolute() and Path(name).exists():
        raise DataError(
            f"data set {name!r}: there is a file or folder of this name here, which would be read "
            "instead of the hub: start from another folder"
        )


def _name(source: HubSource) -> str:
    return f"data set {source.name!r}, split {source.split!r}"
