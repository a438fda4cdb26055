"""A recipe's raw tables, as TOML gives them, beside the sections that describe them.

``Assignment`` is ``--set model.decoder.layers=2``: one value, put into the raw tables.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from seq2seq.recipe import Recipe
from seq2seq.recipe.base import Section

Table = dict[str, Any]

_FORM = "is not KEY=VALUE, as in --set model.encoder.layers=2"
_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")

OWN_KEYS = "<cell> "
"""How errors mark, with the kind after it, that a key is one of a cell's own."""


def sections_in(annotation: Any) -> tuple[type[Section], ...]:
    """Finds the sections that a field may hold, in the order written; none for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return (annotation,)
    return tuple(found for part in get_args(annotation) for found in sections_in(part))


def listed_in(annotation: Any) -> tuple[type[Section], ...]:
    """Finds the sections that a list in a field may hold; none where there is no such list."""
    if get_origin(annotation) is tuple:
        return sections_in(annotation)
    return tuple(found for part in get_args(annotation) for found in listed_in(part))


def kind_of(section: type[Section]) -> str | None:
    """The kind that picks this section from a union, if it fixes one."""
    field = section.model_fields.get("kind")
    return field.default if field is not None and isinstance(field.default, str) else None


def section_for(annotation: Any, value: Any) -> type[Section] | None:
    """Picks the section that describes a raw value of a field with this annotation.

    None where the value is no table, or says no kind that is known.
    """
    if not isinstance(value, dict):
        return None
    sections = sections_in(annotation)
    if len(sections) == 1:
        return sections[0]
    for section in sections:
        if "kind" in value and kind_of(section) == value["kind"]:
            return section
    return next((section for section in sections if kind_of(section) is None), None)


def tables_in(section: type[Section], table: Table) -> Iterator[tuple[type[Section], Table]]:
    """Walks the tables of raw TOML beside the sections that describe them, the outermost first."""
    yield section, table
    for key, field in section.model_fields.items():
        inner = section_for(field.annotation, table.get(key))
        if inner is not None:
            yield from tables_in(inner, table[key])


def written_out(field: FieldInfo, value: Any) -> Any:
    """Writes a short form out: ``"lstm"`` is ``{kind = "lstm"}``, two paths are a table of two.

    What is no short form is given back as it was.
    """
    if not sections_in(field.annotation):
        return value
    for part in (*field.metadata, *_metadata_in(field.annotation)):
        if isinstance(part, BeforeValidator):
            try:
                # The two-argument form (with pydantic's context) is not used by any section.
                value = part.func(value)  # type: ignore[call-arg]
            except ValueError:
                return value
    return value


def _metadata_in(annotation: Any) -> Iterator[Any]:
    for part in get_args(annotation):
        if isinstance(part, BeforeValidator):
            yield part
        yield from _metadata_in(part)


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
        """Puts the value into a whole recipe's raw table, in place, making tables on the way."""
        section: type[Section] | None = Recipe
        for key in self.path[:-1]:
            field = section.model_fields.get(key) if section else None
            table[key] = _table_at(field, table.get(key))
            section = section_for(field.annotation, table[key]) if field else None
            table = table[key]
        table[self.path[-1]] = self.value


def _table_at(field: FieldInfo | None, value: Any) -> Table:
    """Finds or makes the table that an assignment goes into.

    Args:
        field: What the table is described by; None: the recipe knows no such key.
        value: What is there now: a table, a short form of one, or nothing.

    Returns:
        The table that is there; the short form, written out; or a new table, which says the
        default's kind where kinds have different keys.
    """
    if field is None or isinstance(value, dict):
        return value if isinstance(value, dict) else {}
    if value is None and hasattr(field.default, "kind"):
        return {"kind": field.default.kind}
    value = written_out(field, value)
    return value if isinstance(value, dict) else {}
