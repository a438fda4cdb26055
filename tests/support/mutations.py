"""Files of another structure than was written, as an attacker or another version makes them."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

SUM = "own_sha256"
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 2**63, 10**30, 1e400, "", "x", "../../x", "\0", [], [1], {}, {"x": 1},
    [[]], "y" * 5000,
)  # fmt: skip
"""What a value is replaced by."""


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value within a JSON or TOML document."""
    items: Any = ()
    if isinstance(content, dict):
        items = content.items()
    elif isinstance(content, list):
        items = enumerate(content)
    for key, below in items:
        yield (*path, key)
        yield from places(below, (*path, key))


def mutated(content: Any, random: np.random.Generator, null: Any = None) -> tuple[str, Any]:
    """What was done, in words, and a document with one value gone, renamed or replaced.

    ``null`` is what stands for no value.
    """
    changed = copy.deepcopy(content)
    ways = list(places(changed))
    way = ways[int(random.integers(len(ways)))]
    around = changed
    for key in way[:-1]:
        around = around[key]
    what = int(random.integers(10))
    if what == 0:
        del around[way[-1]]
        return f"{way} is gone", changed
    if what == 1 and isinstance(around, dict):
        around["other"] = around.pop(way[-1])
        return f"{way} is called other", changed
    value = VALUES[int(random.integers(len(VALUES)))]
    value = null if value is None else value
    around[way[-1]] = value
    return f"{way} is {str(value)[:50]!r}", changed


def as_json(content: Any) -> bytes:
    """JSON in a line, with a right checksum where there was one, as an attacker would write it."""
    if isinstance(content, dict) and SUM in content:
        plain = {key: value for key, value in content.items() if key != SUM}
        text = json.dumps(plain, sort_keys=True)
        content = {**plain, SUM: hashlib.sha256(text.encode()).hexdigest()}
    return json.dumps(content).encode()


def damaged(content: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    """Bytes of which some are others, gone, or there twice."""
    start = int(random.integers(len(content)))
    stop = min(len(content), start + int(random.integers(1, 40)))
    part = [b"", content[start:stop] * 2, random.bytes(stop - start)][int(random.integers(3))]
    words = f"bytes {start} to {stop} are {part[:20]!r}"
    return words, content[:start] + part + content[stop:]


def with_right_sums(folder: Path, name: str) -> None:
    """Makes a model's card, a checkpoint's state or a manifest name what a file now holds."""
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    for about in ("card.json", "state.json", "manifest.json"):
        if not (folder / about).is_file() or about == name:
            continue
        content = json.loads((folder / about).read_text("utf-8"))
        for key in ("files", "sha256"):
            if name in content.get(key, {}):
                content[key][name] = digest
        if about == "card.json":
            if name == "tokenizer.model":
                content["tokenizer_sha256"] = None
            if name == "recipe.toml":
                content["recipe_sha256"] = None
            if name.startswith("weights"):
                content["weights_sha256"] = digest
        (folder / about).write_bytes(as_json(content))
