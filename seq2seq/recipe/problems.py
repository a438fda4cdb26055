"""What is wrong with a recipe, in plain words: pydantic's errors by key path, with what is allowed.

Every problem is one line, ``key.path: what is wrong; what is allowed``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import reduce
from operator import getitem
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from seq2seq.errors import did_you_mean, unknown_name
from seq2seq.recipe import Recipe
from seq2seq.recipe.base import (
    ONE,
    OWN_KEYS,
    SEVERAL,
    SIDES,
    Assignment,
    Checks,
    Section,
    Table,
    is_auto,
    kind_of,
    listed_in,
    parts_of,
    says_none,
    sections_in,
)
from seq2seq.recipe.model import Cell, options_class
from seq2seq.recipe.packaged import quickstart_files
from seq2seq.recipe.registry import CELLS
from seq2seq.recipe.training import LANGUAGE

KeyPath = tuple[str | int, ...]
MOST_PROBLEMS = 100
_FEW = 4
_KIND_ERRORS = ("union_tag_invalid", "union_tag_not_found")


@dataclass(frozen=True)
class Place:
    """Where an error is: its key path, the section there, its field and the field around it."""

    path: KeyPath = ()
    section: type[Section] = Recipe
    field: FieldInfo | None = None
    outer: FieldInfo | None = None

    @property
    def annotation(self) -> Any:
        """What the field may hold; None inside a list."""
        inside_list = bool(self.path) and isinstance(self.path[-1], int)
        return None if self.field is None or inside_list else self.field.annotation


def problems_of(error: ValidationError, assignments: Sequence[Assignment] = ()) -> list[str]:
    """Puts all errors of a validation into words: one line a problem, in the recipe's order.

    The ``--set`` assignments are named where they brought the value.
    """
    details = error.errors(include_url=False)
    wrong = {one["loc"] for one in details if one["type"] != "extra_forbidden"}
    lines: list[str] = []
    for detail in details[:MOST_PROBLEMS]:
        if detail["type"] == "extra_forbidden" and (*detail["loc"][:-1], "kind") in wrong:
            continue  # which keys a table has depends on its kind, and that is wrong already
        lines += _lines(detail, assignments)
    if len(details) > MOST_PROBLEMS:
        lines.append(f"and {len(details) - MOST_PROBLEMS:,} more problems")
    return lines


def further_problems(
    table: Table, error: ValidationError, assignments: Sequence[Assignment], checks: Checks
) -> list[str]:
    """Finds the broken rules that pydantic did not look at, since something else is wrong there.

    What is wrong is removed, and the rest is validated again, until nothing more is found. A rule
    that names a removed key does not count: it would speak of the key's default. The raw ``table``
    is changed; none of the lines is among those of ``error``, which pydantic found in it.
    """
    lines: list[str] = []
    if error.error_count() > MOST_PROBLEMS:
        return lines
    reported: set[str] = set()
    removed: set[str] = set()

    def counts(rule: str) -> bool:
        return rule not in reported and removed.isdisjoint(re.findall(r"\w+", rule))

    while True:
        details = error.errors(include_url=False)
        rules = {rule for detail in details if _is_of_rules(detail) for rule in _in_words(detail)}
        wrong = _wrong_in(table, details)
        if rules <= reported and not wrong:
            return lines
        reported |= rules
        removed = removed.union(*wrong.values())
        for path in sorted(wrong, key=len, reverse=True):  # what is within a table before it
            reduce(getitem, path[:-1], table).pop(path[-1])
        try:
            Recipe.model_validate(table, context=replace(checks, counts=counts))
        except ValidationError as found:
            error = found
        else:
            return lines
        for detail in filter(_is_of_rules, error.errors(include_url=False)):
            lines += _lines(detail, assignments)


def clamp_stored(table: Table, error: ValidationError) -> bool:
    """Puts numbers that have become too large where they are at most; whether there were any.

    Older versions had no upper bounds. A model's own numbers are what its weights have: they stay.
    """
    beyond = [detail for detail in error.errors() if "le" in detail.get("ctx", {})]
    for detail in beyond:
        *path, key = _locate(detail).path
        if path[:1] != ["model"]:
            inner: Any = table
            for part in path:
                inner = inner[part]
            inner[key] = detail["ctx"]["le"]
    return bool(beyond)


def _kinds(annotation: Any) -> tuple[str, ...]:
    """Lists the kinds that a field's union of sections offers; of a cell, all that there are."""
    sections = sections_in(annotation)
    if Cell in sections:
        return CELLS.names()
    return tuple(dict.fromkeys(kind for kind in map(kind_of, sections) if kind is not None))


def _lines(detail: ErrorDetails, assignments: Sequence[Assignment]) -> list[str]:
    """An error in words: one line, or one a rule."""
    path = _place(detail).path
    prefix = f"{_dotted(path)}: " if path else ""
    origin = _origin(detail["type"], path, assignments)
    return [f"{prefix}{words}{origin}" for words in _in_words(detail)]


def _in_words(detail: ErrorDetails) -> list[str]:
    words = _WORDS.get(detail["type"], _other)(detail, _place(detail))
    return words.split("\n") if detail["type"] == "value_error" else [words]


def _is_of_rules(detail: ErrorDetails) -> bool:
    """Whether every value of a table is right, but not all of them together."""
    return detail["type"] == "value_error" and isinstance(detail["input"], dict)


def _wrong_in(table: Table, details: Iterable[ErrorDetails]) -> dict[tuple[str, ...], set[str]]:
    """What to remove, with its names: wrong values, and tables that lack a key."""
    found: dict[tuple[str, ...], set[str]] = {}
    for detail in details:
        place = _locate(detail)
        path: tuple[str, ...] = ()
        inner: Any = table
        for part in map(str, place.path):  # no table has a list item's number
            if not isinstance(inner, dict) or part not in inner:
                break
            path, inner = (*path, part), inner[part]
        if path and not _is_of_rules(detail):
            meant = get_close_matches(path[-1], place.section.model_fields, n=1)
            found.setdefault(path, set()).update((path[-1], *meant))
    return found


def _place(detail: ErrorDetails) -> Place:
    """Where an error is, to the reader: a table without a right kind lacks that key."""
    place = _locate(detail)
    if detail["type"] in _KIND_ERRORS and isinstance(detail["input"], dict):
        return Place((*place.path, "kind"), place.section, None, place.field)
    return place


def _locate(detail: ErrorDetails) -> Place:
    """Follows pydantic's location through the models and leaves out its marks for unions."""
    place = Place()
    choices: tuple[type[Section], ...] = (Recipe,)
    for part in detail["loc"]:
        if part in (ONE, SEVERAL, SIDES):
            continue
        if isinstance(part, str) and part.startswith(OWN_KEYS):
            choices = (options_class(part.removeprefix(OWN_KEYS)),)
            continue
        if isinstance(part, int) and (listed := listed_in(place.annotation)):
            choices = listed
            place = Place((*place.path, part), place.section, place.field, place.outer)
            continue
        if len(choices) > 1:  # this part says which section of the union
            choices = (next((s for s in choices if kind_of(s) == part), choices[-1]),)
            continue
        section = choices[0] if choices else place.section
        path = (*place.path, part)
        if isinstance(part, int):
            place = Place(path, section, place.field, place.outer)
            continue
        field = section.model_fields.get(part)
        place = Place(path, section, field, place.field)
        choices = sections_in(field.annotation) if field else ()
    return place


def _dotted(path: KeyPath) -> str:
    """Writes a path as TOML does, list items as ``[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            bare = re.fullmatch(r"[A-Za-z0-9_-]+", part)
            text += f"{'.' if text else ''}{part if bare else json.dumps(part)}"
    return text


def _origin(kind: str, path: KeyPath, assignments: Sequence[Assignment]) -> str:
    """Names the assignment that brought the value at a path, if one did."""
    for assignment in reversed(assignments):
        given = assignment.path
        within = path[: len(given)] == given
        leads_through = given[: len(path)] == path and kind != "value_error"
        if within or (path and leads_through):
            value = assignment.value
            if kind == "string_type" and not isinstance(value, list | dict):
                return f" (from --set {assignment.text}); a text: {assignment.as_typed(str(value))}"
            return f" (from --set {assignment.text})"
    return ""


def _shown(value: Any) -> str:
    """A value as the reader wrote it, cut to a part of a line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list" if len(value) != 0 else "an empty list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _bounds(field: FieldInfo | None, value: Any = None) -> str:
    """The allowed range in words, such as " at least 0 and below 1".

    An upper bound that only keeps numbers within what a machine holds is told to a ``value`` beyond
    it alone.
    """
    words = []
    for part in (*field.metadata, *parts_of(field.annotation)) if field else ():
        for kind, word in ((Ge, "at least"), (Gt, "above"), (Le, "at most"), (Lt, "below")):
            if isinstance(part, kind):
                bound = getattr(part, kind.__name__.lower())
                if kind is Le and bound >= 1000 and not _is_above(value, bound):
                    continue
                number = int(bound) if float(bound).is_integer() and bound < 1e15 else bound
                words.append(f"{word} {number}")
    return f" {' and '.join(words)}" if words else ""


def _is_above(value: Any, bound: float) -> bool:
    return isinstance(value, int | float) and value > bound


def _or_word(place: Place) -> str:
    """The words that may stand in a value's place."""
    if place.annotation is None or place.field is None:
        return ""
    words = {"'auto'": is_auto(place.field), "'none'": says_none(place.field)}
    return "".join(f", or {word}" for word, allowed in words.items() if allowed)


def _unknown_key(detail: ErrorDetails, place: Place) -> str:
    own = place.outer is not None and Cell in sections_in(place.outer.annotation)
    keys = (*(["kind"] if own else []), *place.section.model_fields)
    key = str(place.path[-1])
    hint = did_you_mean(key, keys)
    if len(place.path) == 1 and not hint:
        meant = [path for path in _paths_of(Recipe) if path.rpartition(".")[2] == key]
        hint = f" (did you mean {' or '.join(meant)}?)" if 0 < len(meant) <= _FEW else ""
    return f"unknown key{hint}; allowed: {', '.join(keys)}"


def _paths_of(section: type[Section], prefix: str = "") -> Iterator[str]:
    """Lists the key paths within a section, of tables that have one form."""
    for key, field in section.model_fields.items():
        yield prefix + key
        sections = sections_in(field.annotation)
        if len(sections) == 1:
            yield from _paths_of(sections[0], f"{prefix}{key}.")


def _missing(detail: ErrorDetails, place: Place) -> str:
    choices = _kinds(place.outer.annotation) if place.outer else ()
    if place.path[-1] == "kind" and choices:
        return f"missing; allowed: {', '.join(choices)}"
    return "missing"


def _unknown_kind(detail: ErrorDetails, place: Place) -> str:
    if not isinstance(detail["input"], dict):
        return _wrong_type(detail, place)
    kind = detail["input"].get("kind")
    choices = _kinds(place.outer.annotation) if place.outer else ()
    if kind == "phrasebook" and place.path[0] == "data":
        source, target = quickstart_files(str(detail["input"].get("split", "train")))
        return f'"phrasebook" is text files now: write ["{source}", "{target}"] for this table'
    if isinstance(kind, str):
        return unknown_name(kind, choices).replace("name", "kind", 1)
    return _missing(detail, place) if kind is None else f"must be a string, not {_shown(kind)}"


def _unknown_value(detail: ErrorDetails, place: Place) -> str:
    names = _names_in(None if place.field is None else place.field.annotation)
    if isinstance(detail["input"], str):
        return unknown_name(detail["input"], names).replace("name", "value", 1)
    return f"must be a string, not {_shown(detail['input'])}; allowed: {', '.join(names)}"


def _names_in(annotation: Any) -> tuple[str, ...]:
    """The names that a field, or each of its list, may have."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return next(filter(None, map(_names_in, get_args(annotation))), ())


def _rule(detail: ErrorDetails, place: Place) -> str:
    words = str(detail["ctx"]["error"])
    return words.replace("name", "kind", 1) if place.path[-1:] == ("kind",) else words


def _wrong_type(detail: ErrorDetails, place: Place) -> str:
    wanted = _TYPES.get(detail["type"], "a table")
    sections = sections_in(place.annotation)
    if len(sections) > 1 or Cell in sections:
        wanted = "a table, or the name of a kind"
    bounds = _bounds(place.field) if place.annotation is not None else ""
    return f"must be {wanted}{bounds}{_or_word(place)}, not {_shown(detail['input'])}"


def _out_of_range(detail: ErrorDetails, place: Place) -> str:
    finite = " a finite number" if detail["type"] == "finite_number" else ""
    bounds = _bounds(place.field, detail["input"])
    return f"must be{finite}{bounds}{_or_word(place)}, not {_shown(detail['input'])}"


def _pattern(detail: ErrorDetails, place: Place) -> str:
    wanted = "letters, digits, '.', '_' and '-' that begin with a letter or digit"
    if detail["ctx"]["pattern"] == LANGUAGE:
        wanted = "two or three small letters, such as 'de'"
    return f"must be {wanted}, not {_shown(detail['input'])}"


def _other(detail: ErrorDetails, place: Place) -> str:
    words = detail["msg"].removeprefix("Input should").replace("a valid ", "a ").strip()
    words = f"must {words}" if detail["msg"].startswith("Input should") else words
    return f"{words}, not {_shown(detail['input'])}"


_RANGE_ERRORS = (
    "finite_number", "greater_than", "greater_than_equal", "less_than", "less_than_equal",
)  # fmt: skip
_TYPES = {
    "bool_type": "true or false",
    "float_type": "a number",
    "int_type": "a whole number",
    "model_attributes_type": "a table",
    "model_type": "a table",
    "string_type": "a string",
    "tuple_type": "a list",
}
_WORDS: dict[str, Callable[[ErrorDetails, Place], str]] = {
    **dict.fromkeys(_TYPES, _wrong_type),
    **dict.fromkeys(_RANGE_ERRORS, _out_of_range),
    **dict.fromkeys(_KIND_ERRORS, _unknown_kind),
    "extra_forbidden": _unknown_key,
    "literal_error": _unknown_value,
    "missing": _missing,
    "string_pattern_mismatch": _pattern,
    "string_too_short": lambda *_: "must not be empty",
    "value_error": _rule,
}
