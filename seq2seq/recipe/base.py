"""What all sections of a recipe share, and the raw tables, as TOML gives them, beside the sections.

``Assignment`` is ``--set model.decoder.layers=2``: one value, put into the raw tables.
"""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Self, get_args, get_origin

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

MOST = 10**12
"""No whole number of a recipe is larger: times a line's length it still fits into 64 bits."""

PositiveInt = Annotated[int, Field(ge=1, le=MOST)]
Count = Annotated[int, Field(ge=0, le=MOST)]
Size = Annotated[int, Field(ge=1, le=65536)]
Layers = Annotated[int, Field(ge=1, le=256)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Table = dict[str, Any]
Strings = Annotated[tuple[str, ...], Field(strict=False)]

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""What a recipe's name may be, and a corpus's label."""

ONE, SEVERAL = "<one>", "<several>"
"""How pydantic's errors mark which form of a value was meant: a table, or a list of tables."""

SIDES = "<sides>"
"""The same for a value that may be a table of both sides."""

OWN_KEYS = "<cell> "
"""How errors mark, with the kind after it, that a key is one of a cell's own."""

_FORM = "is not KEY=VALUE, as in --set model.encoder.layers=2"
_KEY = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")


class Section(BaseModel):
    """A table of the recipe: unknown keys are errors, and nothing changes after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False
    )

    def _broken_rules(self) -> dict[str, bool]:
        """What to say of each rule, with the names of all keys that it reads; whether it is broken.

        To be overridden by a section with rules on several values together.
        """
        return {}

    @model_validator(mode="before")
    @classmethod
    def _leaves_out_auto(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        fields = cls.model_fields
        auto = {key for key in values if key in fields and is_auto(fields[key])}
        return {key: one for key, one in values.items() if key not in auto or one != "auto"}

    @model_validator(mode="after")
    def _keeps_rules(self, info: ValidationInfo) -> Self:
        counts = checks_of(info).counts
        broken = [rule for rule, is_broken in self._broken_rules().items() if is_broken]
        if words := [rule for rule in broken if counts(rule)]:
            raise ValueError("\n".join(words))
        return self


@dataclass(frozen=True)
class Checks:
    """What a validation looks at; the context of pydantic's."""

    counts: Callable[[str], bool] = lambda words: True  # whether a rule counts, from its words
    cells: bool = False  # whether the cells' own keys are checked, which imports torch
    names: bool = True  # whether the packages of the named cells, attentions must be installed


def checks_of(info: ValidationInfo) -> Checks:
    """The checks that a validation was asked for."""
    return info.context or Checks()


class Auto:
    """Marks a key that is chosen by the data where it is left out, or is "auto".

    Until then it has its default. A key that training has chosen counts as given: what a run
    stores, and a model, are values. What ``prepare`` chooses shows in the tokenizers alone.
    """

    def __get_pydantic_json_schema__(
        self, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [handler(core_schema), {"const": "auto"}]}


AUTO = Auto()


def is_auto(field: FieldInfo) -> bool:
    """Whether the field is chosen by the data where it is left out."""
    return AUTO in field.metadata


def left_out(section: Section) -> set[str]:
    """The keys of a section that are to be chosen by the data."""
    fields = type(section).model_fields.items()
    return {key for key, field in fields if is_auto(field)} - section.model_fields_set


def _kind_alone(value: Any) -> Any:
    """Lets ``cell = "lstm"`` stand for ``cell = {kind = "lstm"}``, wherever a table has a kind."""
    return {"kind": value} if isinstance(value, str) else value


KindAlone = BeforeValidator(_kind_alone, json_schema_input_type=str | dict[str, Any])


def says_none(field: FieldInfo) -> bool:
    """Whether the word "none" stands for an absent value of this field.

    TOML has no null, and leaving a key out gives its default. Where a string is allowed too, the
    word is that string.
    """
    allowed = get_args(field.annotation)
    return type(None) in allowed and str not in allowed


def sections_in(annotation: Any) -> tuple[type[Section], ...]:
    """Finds the sections that a field may hold, in the order written; none for a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return (annotation,)
    return tuple(found for part in get_args(annotation) for found in sections_in(part))


def listed_in(annotation: Any) -> tuple[type[Section], ...]:
    """Finds the sections that a list in a field may hold."""
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
    for part in (*field.metadata, *parts_of(field.annotation)):
        if isinstance(part, BeforeValidator):
            try:
                # The two-argument form (with pydantic's context) is not used by any section.
                value = part.func(value)  # type: ignore[call-arg]
            except ValueError:
                return value
    return value


def parts_of(annotation: Any) -> Iterator[Any]:
    """Walks everything inside an annotation: a union's types, and what ``Annotated`` adds."""
    for part in get_args(annotation):
        yield part
        yield from part.metadata if isinstance(part, FieldInfo) else parts_of(part)


@dataclass(frozen=True)
class Assignment:
    """A key path and the value that it gets; ``text`` is what the user wrote."""

    text: str
    path: tuple[str, ...]
    value: Any

    @classmethod
    def parse(cls, text: str) -> Assignment:
        """Reads ``a.b=c``; ``c`` is a TOML value, or else a string without quotes.

        A text of another form raises a ValueError.
        """
        key, equals, written = (part.strip() for part in text.partition("="))
        if not equals or not _KEY.fullmatch(key):
            raise ValueError(f"--set {text}: {_FORM}")
        try:
            read = tomllib.loads(f"value = {written}")
        except (ValueError, RecursionError) as error:
            if written[:1] in ("[", "{", '"', "'"):
                reason = re.sub(r" \(at .*\)$", "", str(error))
                raise ValueError(
                    f"--set {text}: the value is not TOML: {reason}; texts stand in quotes: "
                    f"{_as_typed(key, _with_quotes(written))}"
                ) from None
            read = {"value": written}
        value = read["value"] if len(read) == 1 else written
        return cls(text, tuple(key.split(".")), value)

    def as_typed(self, value: str) -> str:
        """The assignment of a text to the same key, as it is typed in a shell."""
        return _as_typed(".".join(self.path), json.dumps(value, ensure_ascii=False))

    def apply(self, table: Table, recipe: type[Section]) -> None:
        """Puts the value into a whole recipe's raw table, in place, making tables on the way."""
        section: type[Section] | None = recipe
        for key in self.path[:-1]:
            field = section.model_fields.get(key) if section else None
            table[key] = _table_at(field, table.get(key))
            section = section_for(field.annotation, table[key]) if field else None
            table = table[key]
        table[self.path[-1]] = self.value


def _as_typed(key: str, toml: str) -> str:
    return f"--set {shlex.quote(f'{key}={toml}')}"


def _with_quotes(written: str) -> str:
    """What was meant by a value that is no TOML: with quotes around its words, or as one text."""

    def quoted(word: re.Match[str]) -> str:
        return word[0] if _is_toml(word[0]) else json.dumps(word[0], ensure_ascii=False)

    words = re.sub(r"[^][{},=\"'\s]+(?=\s*[],}])", quoted, written)
    if _is_toml(words):
        return words
    return json.dumps(written.strip("\"'"), ensure_ascii=False)


def _is_toml(value: str) -> bool:
    try:
        return len(tomllib.loads(f"value = {value}")) == 1
    except (ValueError, RecursionError):
        return False


def _table_at(field: FieldInfo | None, value: Any) -> Table:
    """The table that an assignment goes into: the one that is there, perhaps in a short form.

    Else a new one, which says the default's kind where kinds have different keys.
    """
    if field is not None and value is None and hasattr(field.default, "kind"):
        return {"kind": field.default.kind}
    if field is not None and not isinstance(value, dict):
        value = written_out(field, value)
    return value if isinstance(value, dict) else {}
