"""Text of unknown origin on a page that may be shown to anyone."""

from __future__ import annotations

import re
import tomllib
import unicodedata
from typing import Any

import tomli_w

# An absolute path on any system, quoted or not; it may hold a user's name.
_PATH = re.compile(
    r"(?<![\w.…/\\~<-])(?:~[\w.-]*|[A-Za-z]:)?[/\\](?=[\w.~-])(?:[^\s'\",;:<>|()]+[/\\])*"
)


def visible(text: str) -> str:
    """Shows what would be invisible, or would move what is around it.

    Control characters become pictures (U+2400 and on), others of their kind, direction marks among
    them, numbers.
    """
    return "".join(map(_shown, text))


def _shown(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    # Joiners belong to scripts and to emoji.
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and code not in (
        0x200C,
        0x200D,
        0xAD,
    ):
        return f"⟨U+{code:04X}⟩"
    return character


def redacted(text: str) -> str:
    """Shortens absolute paths to their last part, since folders' names may be people's.

    So ``/home/me/runs/one/last`` becomes ``…/last``.
    """
    return _PATH.sub("…/", text)


def shared_recipe(toml: str) -> str:
    """A recipe as it may be shared: absolute paths shortened, control characters shown."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: walk(below) for key, below in value.items()}
        if isinstance(value, list):
            return [walk(below) for below in value]
        return visible(redacted(value)) if isinstance(value, str) else value

    return tomli_w.dumps(walk(tomllib.loads(toml)))
