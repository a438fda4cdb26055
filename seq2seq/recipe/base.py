"""What all sections of a recipe share: strictness, short forms, and names read from the code."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo
from pydantic.fields import FieldInfo

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Strings = Annotated[tuple[str, ...], Field(strict=False)]

ONE, SEVERAL = "<one>", "<several>"
"""How pydantic's errors mark which form of a value was meant: a table, or a list of tables."""

OWN_KEYS = "<cell> "
"""How errors mark, with the kind after it, that a key is one of a cell's own."""


class Section(BaseModel):
    """A table of the recipe: unknown keys are errors, and nothing changes after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False
    )


@dataclass(frozen=True)
class Checks:
    """What a validation looks at; the context of pydantic's.

    Attributes:
        counts: Tells from a rule's words whether it counts.
        cells: Whether the cells' own keys are checked, which imports torch.
    """

    counts: Callable[[str], bool] = lambda words: True
    cells: bool = False


def checks_of(info: ValidationInfo) -> Checks:
    """The checks that a validation was asked for."""
    return info.context or Checks()


def check_rules(info: ValidationInfo, broken: Mapping[str, bool]) -> None:
    """Raises one error for all the rules of a section that are broken.

    Args:
        info: The validation's.
        broken: What is to be said of each rule, with the names of all keys that it reads, and
            whether it is broken.

    Raises:
        ValueError: If any of them is; a line for each.
    """
    counts = checks_of(info).counts
    if words := [words for words, is_broken in broken.items() if is_broken and counts(words)]:
        raise ValueError("\n".join(words))


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
