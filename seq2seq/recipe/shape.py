"""What the recipe's models say about themselves: their sections, kinds and keys."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from seq2seq.recipe.base import Section

Table = dict[str, Any]

ONE, SEVERAL = "<one>", "<several>"
"""How pydantic's errors mark which form of a value was meant: a table, or a list of tables."""


def sections_in(annotation: Any) -> tuple[type[Section], ...]:
    """Finds the sections that a field may hold.

    Args:
        annotation: A field's annotation, such as a section or a union of several.

    Returns:
        The section types in the order written; empty for a plain value.
    """
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return (annotation,)
    return tuple(found for part in get_args(annotation) for found in sections_in(part))


def listed_in(annotation: Any) -> tuple[type[Section], ...]:
    """Finds the sections that a list in a field may hold.

    Args:
        annotation: A field's annotation.

    Returns:
        The section types; empty where the field holds no list of tables.
    """
    if get_origin(annotation) is tuple:
        return sections_in(annotation)
    return tuple(found for part in get_args(annotation) for found in listed_in(part))


def kind_of(section: type[Section]) -> str | None:
    """Returns the kind that picks this section from a union, if it fixes one."""
    field = section.model_fields.get("kind")
    return field.default if field is not None and isinstance(field.default, str) else None


def section_for(annotation: Any, value: Any) -> type[Section] | None:
    """Picks the section that describes a raw value.

    Args:
        annotation: The annotation of the field that holds the value.
        value: The value as read from TOML.

    Returns:
        The section, or None where the value is no table, or says no kind that is known.
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
    """Walks the tables of raw TOML beside the sections that describe them.

    Args:
        section: The section that describes the table.
        table: The table as read from TOML.

    Yields:
        The section and table given, and those within.
    """
    yield section, table
    for key, field in section.model_fields.items():
        inner = section_for(field.annotation, table.get(key))
        if inner is not None:
            yield from tables_in(inner, table[key])


def says_none(field: FieldInfo) -> bool:
    """Whether the word "none" stands for an absent value of this field.

    TOML has no null, and leaving a key out gives its default. Where a string is allowed too, the
    word is that string.
    """
    allowed = get_args(field.annotation)
    return type(None) in allowed and str not in allowed


def written_out(field: FieldInfo, value: Any) -> Any:
    """Writes a short form out: ``"lstm"`` is ``{kind = "lstm"}``, two paths are a table of two.

    Args:
        field: The field that holds the value.
        value: The value as read from TOML.

    Returns:
        The table, or the value as it was where it is no short form.
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
