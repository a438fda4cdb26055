"""Options that several verbs share, as groups: declared once, shown together in the help.

A group is a frozen dataclass of which each field is an option. A verb takes a group as one
argument, and :func:`expanded` puts the group's options into the verb's command line.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Any, get_type_hints

from typer.core import TyperCommand


class OptionGroup:
    """A frozen dataclass of options; its first line of docstring is the heading in the help."""

    @classmethod
    def heading(cls) -> str:
        """The words above the group's options.

        Returns:
            The heading, without a full stop.
        """
        return (cls.__doc__ or "").partition("\n")[0].rstrip(".")

    def given(self) -> list[str]:
        """Which of the group's options were given.

        Returns:
            Their names, such as "--beam".
        """
        return [
            f"--{field.name.strip('_').replace('_', '-')}"
            for field in fields(self)  # type: ignore[arg-type]
            if getattr(self, field.name) != field.default
        ]


def expanded(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb the options of its groups.

    Args:
        verb: A verb's function; its parameters may be groups.

    Returns:
        A function with each group's fields in the group's place.
    """
    hints = get_type_hints(verb, include_extras=True)
    groups = {
        name: kind
        for name, kind in hints.items()
        if isinstance(kind, type) and issubclass(kind, OptionGroup) and name != "return"
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(verb).parameters.items():
        if name in groups:
            parameters += _options_of(groups[name])
        else:
            annotated = parameter.replace(annotation=hints[name])
            parameters.append(annotated.replace(kind=inspect.Parameter.KEYWORD_ONLY))

    @functools.wraps(verb)
    def run(**given: Any) -> None:
        for name, kind in groups.items():
            own = {field.name: given.pop(field.name) for field in fields(kind)}  # type: ignore[arg-type]
            given[name] = kind(**own)
        verb(**given)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _options_of(group: type[OptionGroup]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    options = []
    for field in fields(group):  # type: ignore[arg-type]
        for option in hints[field.name].__metadata__:
            option.rich_help_panel = group.heading()
        options.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=hints[field.name],
            )
        )
    return options


class GroupedCommand(TyperCommand):
    """A verb whose help shows each group of options under its heading, as plain text."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options into the help.

        Args:
            ctx: The command's context.
            formatter: Takes the text.
        """
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_argument = parameter.param_type_name == "argument"
                usual = "Arguments" if is_argument else "Options"
                heading = getattr(parameter, "rich_help_panel", None) or usual
                sections.setdefault(heading, []).append(record)
        for heading in sorted(sections, key=lambda one: one != "Arguments"):
            with formatter.section(heading):
                formatter.write_dl(sections[heading])
