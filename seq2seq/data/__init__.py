"""Corpora: read, cleaned, tokenized, stored as memory-mapped Arrow, and cut into batches."""

from __future__ import annotations

from seq2seq.errors import MissingExtraError

try:
    import pyarrow  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError("preparing and reading a corpus", "train", "pyarrow") from error
