"""Small JSON files that carry a checksum of themselves."""

from __future__ import annotations

import hashlib
import json
from typing import Any

SUM = "own_sha256"


def own_sum(content: dict[str, Any]) -> str:
    """The checksum of a JSON object, however it is written.

    Args:
        content: The object, without its sum.

    Returns:
        A SHA-256 in hexadecimal digits.
    """
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def sealed(content: dict[str, Any]) -> str:
    """Writes an object with its sum.

    Args:
        content: Plain values.

    Returns:
        JSON, ending in a line end.
    """
    text = json.dumps({**content, SUM: own_sum(content)}, indent=1, ensure_ascii=False)
    return text + "\n"


def unsealed(written: bytes) -> dict[str, Any]:
    """Reads an object, and checks it where it carries a sum (older files carry none).

    Args:
        written: JSON.

    Returns:
        The object, without its sum.

    Raises:
        ValueError: If it is no JSON object, or not the one that was written.
    """
    try:
        content = json.loads(written.decode("utf-8"))
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(content, dict):
        raise ValueError("it is not a JSON object")
    if SUM in content and content.pop(SUM) != own_sum(content):
        raise ValueError("it does not match its sum")
    return content
