"""Small JSON files that carry a checksum of themselves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from seq2seq.errors import ModelError
from seq2seq.storage import atomic

SUM = "own_sha256"


def digest(content: dict[str, Any]) -> str:
    """Hashes a JSON object, however it is written: SHA-256 in hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes an object of plain values with its checksum; a file that is there is replaced."""
    atomic.write_bytes(path, dumps(content))


def read(path: Path) -> dict[str, Any]:
    """Reads an object, and checks it where it carries a checksum (older files carry none).

    A file that is damaged, or holds something else, raises a ``ModelError``.
    """
    try:
        return loads(path.read_bytes())
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {error}") from error


def dumps(content: dict[str, Any]) -> bytes:
    """What ``write`` puts into a file."""
    text = json.dumps({**content, SUM: digest(content)}, indent=1, ensure_ascii=False)
    return f"{text}\n".encode()


def loads(written: bytes, *, checked: bool = False) -> dict[str, Any]:
    """Reads an object as ``read`` does; a ``ValueError`` says what is wrong with it.

    With ``checked`` there must be a checksum.
    """
    try:
        content = json.loads(written.decode("utf-8"))
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    if (checked or SUM in content) and content.pop(SUM, None) != digest(content):
        raise ValueError("it does not match its sum")
    return content
