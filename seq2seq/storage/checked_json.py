"""Small JSON files that carry a checksum of themselves, and the one way to read any JSON file.

What is read is checked before anything is done with it: its size, how deeply it is nested, its
numbers, and, by a pydantic model, that it has the structure which its readers rely on.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seq2seq.errors import ModelError
from seq2seq.storage import atomic
from seq2seq.storage.whole import JSON_SIZE, read_bytes

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

SUM = "own_sha256"
DIGEST = r"^[0-9a-f]{64}$"
"""A SHA-256 as a file gives it. It may become part of a file's name, so nothing else is taken."""

_LARGEST = 2**63 - 1
_MANY_DIGITS = re.compile(rb"\d{19}")


def digest(content: dict[str, Any]) -> str:
    """Hashes a JSON object, however it is written: SHA-256 in hexadecimal digits."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes an object of plain values with its checksum; a file that is there is replaced."""
    atomic.write_bytes(path, dumps(content))


def read(path: Path, shape: type[BaseModel] | None = None) -> dict[str, Any]:
    """Reads an object, and checks it where it carries a checksum (older files carry none).

    A file that is damaged, of another structure than ``shape`` or no file raises a ``ModelError``;
    one that is not there, or cannot be read, an OSError.
    """
    try:
        return loads(read_bytes(path, JSON_SIZE), shape)
    except ValueError as error:
        raise ModelError(f"{path} is damaged: {error}") from error


def dumps(content: dict[str, Any]) -> bytes:
    """What ``write`` puts into a file."""
    text = json.dumps({**content, SUM: digest(content)}, indent=1, ensure_ascii=False)
    return f"{text}\n".encode()


def loads(
    written: bytes, shape: type[BaseModel] | None = None, *, checked: bool = False
) -> dict[str, Any]:
    """Reads an object as ``read`` does; a ``ValueError`` says what is wrong with it.

    With ``checked`` there must be a checksum.
    """
    content = parse(written)
    if (checked or SUM in content) and content.pop(SUM, None) != digest(content):
        raise ValueError("it does not match its sum")
    if shape is not None:
        check_structure(written, shape)
    return content


def parse(written: bytes) -> dict[str, Any]:
    """Reads an object, and neither checks its checksum nor its structure."""
    from pydantic_core import from_json

    try:
        content = from_json(written)  # refuses what is nested more than 200 levels deep
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    if _MANY_DIGITS.search(written) and _has_large_number(content):
        raise ValueError("it has a number of more than 64 bits")
    return content


def check_structure(written: bytes, shape: type[BaseModel]) -> None:
    """A ``ValueError`` says where JSON is not as a pydantic model has it."""
    from pydantic import ValidationError

    try:
        shape.model_validate_json(written, strict=True)
    except ValidationError as error:
        raise ValueError(_in_words(error)) from None


def _has_large_number(content: object) -> bool:
    below = [content]
    while below:
        one = below.pop()
        if isinstance(one, int) and abs(one) > _LARGEST:
            return True
        if isinstance(one, dict | list):
            below.extend(one.values() if isinstance(one, dict) else one)
    return False


def _in_words(error: ValidationError) -> str:
    """The first thing that is wrong, with its place."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part)[:40] for part in first["loc"][:8])
    words = first["msg"].replace("Input should", "must", 1).replace("a valid ", "a ")
    return f"{place}: {words[:200].replace('Field required', 'missing')}"
