"""What all sections of a recipe share: strictness, short forms, and names read from the code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo

PositiveInt = Annotated[int, Field(ge=1)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Strings = Annotated[tuple[str, ...], Field(strict=False)]

ONE, SEVERAL = "<one>", "<several>"
"""How pydantic's errors mark which form of a value was meant: a table, or a list of tables."""


class Section(BaseModel):
    """A table of the recipe: unknown keys are errors, and nothing changes after reading."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False
    )


def check_rules(info: ValidationInfo, broken: Mapping[str, bool]) -> None:
    """Raises one error for all the rules of a section that are broken.

    Args:
        info: The validation's; its context, if any, tells from a rule's words whether it counts.
        broken: What is to be said of each rule, with the names of all keys that it reads, and
            whether it is broken.

    Raises:
        ValueError: If any of them is; a line for each.
    """
    counts = info.context or (lambda words: True)
    if words := [words for words, is_broken in broken.items() if is_broken and counts(words)]:
        raise ValueError("\n".join(words))


def _kind_alone(value: Any) -> Any:
    """Lets ``cell = "lstm"`` stand for ``cell = {kind = "lstm"}``, wherever a table has a kind."""
    return {"kind": value} if isinstance(value, str) else value


KindAlone = BeforeValidator(_kind_alone, json_schema_input_type=str | dict[str, Any])


@cache
def registered(file: str, decorator: str) -> tuple[str, ...]:
    """Names registered in a file of ``nn/``, read as text.

    So a new cell or attention is one class in one file, and checking a recipe needs no torch.

    Args:
        file: The file's name in ``seq2seq/nn``.
        decorator: The decorator that registers a class there.

    Returns:
        The names, in the file's order.
    """
    text = (Path(__file__).parents[1] / "nn" / file).read_text(encoding="utf-8")
    return tuple(re.findall(rf'^@{decorator}\("(\w+)"\)', text, flags=re.MULTILINE))
