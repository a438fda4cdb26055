"""``--set model.decoder.layers=2``: one value of a recipe, assigned on the command line."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo

from seq2seq.recipe import Recipe
from seq2seq.recipe.base import Section
from seq2seq.recipe.shape import Table, section_for, sections_in, written_out

_FORM = "is not KEY=VALUE, as in --set model.encoder.layers=2"
_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


@dataclass(frozen=True)
class Assignment:
    """A key path and the value that it gets; ``text`` is what the user wrote."""

    text: str
    path: tuple[str, ...]
    value: Any

    @classmethod
    def parse(cls, text: str) -> Assignment:
        """Reads ``a.b=c``; ``c`` is a TOML value, or else a string without quotes.

        Args:
            text: What was given to ``--set``.

        Returns:
            The assignment.

        Raises:
            ValueError: If the text has another form; the message begins with the text.
        """
        key, equals, written = (part.strip() for part in text.partition("="))
        if not equals or not _KEY.fullmatch(key):
            raise ValueError(f"--set {text}: {_FORM}")
        try:
            read = tomllib.loads(f"value = {written}")
        except (ValueError, RecursionError) as error:
            if written[:1] in ("[", "{", '"', "'"):
                reason = re.sub(r" \(at .*\)$", "", str(error))
                raise ValueError(f"--set {text}: the value is not TOML: {reason}") from None
            read = {"value": written}
        value = read["value"] if len(read) == 1 else written
        return cls(text, tuple(key.split(".")), value)

    def apply(self, table: Table) -> None:
        """Puts the value into a recipe's raw tables, making those on the way.

        Args:
            table: The whole recipe as read from TOML; changed in place.
        """
        section: type[Section] | None = Recipe
        for key in self.path[:-1]:
            field = section.model_fields.get(key) if section else None
            table[key] = _opened(field, table.get(key))
            section = section_for(field.annotation, table[key]) if field else None
            table = table[key]
        table[self.path[-1]] = self.value


def _opened(field: FieldInfo | None, value: Any) -> Table:
    """The table to set a key in: the one there, what a short form stands for, or the default's."""
    if field is None or isinstance(value, dict):
        return value if isinstance(value, dict) else {}
    if value is None and len(sections_in(field.annotation)) > 1 and field.default is not None:
        return {"kind": field.default.kind}
    value = written_out(field, value)
    return value if isinstance(value, dict) else {}
