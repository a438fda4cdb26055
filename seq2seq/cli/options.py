"""How verbs declare their options: in groups that several verbs share, and singly.

A group is a frozen dataclass whose fields are options. A verb takes a group as one argument, and
:func:`expanded` puts the group's options into the verb's command line.
"""

from __future__ import annotations

import functools
import inspect
import json
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperCommand

from seq2seq.cli import console
from seq2seq.errors import Seq2SeqError


def argument(metavar: str, text: str, **more: Any) -> Any:
    """An argument: what help calls it, and what it says of it."""
    return typer.Argument(metavar=metavar, help=text, **more)


def option(metavar: str, text: str, *names: str, **more: Any) -> Any:
    """An option with a value: what help calls the value, and what it says of the option."""
    return typer.Option(*names, metavar=metavar, help=text, **more)


def flag(name: str, text: str) -> Any:
    """An option without a value."""
    return typer.Option(name, help=text)


Model = Annotated[str, argument("MODEL", "The folder of a model or a run.")]
RecipeName = Annotated[str, argument("RECIPE", "The name of a packaged recipe, or a TOML file.")]
Corpus = Annotated[
    list[str],
    argument(
        "RECIPE | SOURCE TARGET",
        "The name of a packaged recipe, or a TOML file; or the training text: two files, or one "
        "that ends in .tsv, .jsonl or .parquet.",
    ),
]
Val = Annotated[
    tuple[str, str] | None,
    option(
        "SOURCE TARGET",
        "The two files of validation pairs; the same as --set data.val=[...].  [default: the "
        "recipe's, or some of the training pairs]",
    ),
]
Settings = Annotated[
    list[str] | None,
    option(
        "KEY=VALUE",
        "Replace a value of the recipe, as in --set model.decoder.layers=2; can be repeated. "
        "Paths are relative to the current folder.",
        "--set",
    ),
]
_THREADS = "Use N processor threads.  [default: all cores{}]"
Threads = Annotated[int | None, option("N", _THREADS.format(""), min=1, max=1024)]
TrainingThreads = Annotated[
    int | None, option("N", _THREADS.format("; fewer for a small network"), min=1, max=1024)
]


def with_val(assignments: list[str] | None, val: tuple[str, str] | None) -> list[str]:
    """The assignment of ``--val``, and those of ``--set``, which may add keys to it."""
    if val is not None and any(re.match(r"\s*data\.val\s*=", one) for one in assignments or ()):
        raise Seq2SeqError("--val and --set data.val name the same pairs: leave one of them out")
    paths = [] if val is None else [f"data.val={json.dumps(val, ensure_ascii=False)}"]
    return [*paths, *(assignments or ())]


class OptionGroup:
    """A frozen dataclass of options; the first line of its docstring is their heading in help."""

    @classmethod
    def heading(cls) -> str:
        """The words above the group's options, without a full stop."""
        return (cls.__doc__ or "").partition("\n")[0].rstrip(".")

    def given(self) -> list[str]:
        """The names of those options that differ from their defaults, such as "--beam"."""
        return [
            f"--{field.name.strip('_').replace('_', '-')}"
            for field in fields(self)  # type: ignore[arg-type]
            if getattr(self, field.name) != field.default
        ]


def needs(value: object, name: str, other: object, other_name: str) -> None:
    """Refuses (``Seq2SeqError``) an option (None: not given) that does nothing without another."""
    if value is not None and other is None:
        raise Seq2SeqError(f"{name} needs {other_name}: give both, or leave {name} out")


def excludes(value: object, name: str, other: object, other_name: str) -> None:
    """Refuses (``Seq2SeqError``) two options, None if not given, that contradict each other."""
    if value is not None and other is not None:
        raise Seq2SeqError(f"{name} and {other_name} cannot be combined: leave one of them out")


def check_choice(value: str | None, name: str, allowed: tuple[str, ...]) -> None:
    """Refuses (``Seq2SeqError``) a value, None if not given, that is none of those allowed."""
    if value is not None and value not in allowed:
        raise Seq2SeqError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")


def expanded(verb: Callable[..., None]) -> Callable[..., None]:
    """Gives a verb the options of its groups."""
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


def verb_style() -> dict[str, Any]:
    """What all of typer's programs here have in common: help as plain text."""
    return {
        "add_completion": False,
        "rich_markup_mode": None,
        "context_settings": {"help_option_names": ["-h", "--help"]},
    }


def add_verb(app: typer.Typer, name: str, verb: Callable[..., None], epilog: str) -> None:
    """Makes a function a verb of a program, with its groups of options and its errors printed."""
    reported = console.reported(expanded(verb))
    app.command(name, epilog=epilog, cls=GroupedCommand)(reported)


class GroupedCommand(TyperCommand):
    """A verb whose help shows each group of options under its heading, as plain text."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parses the words after the verb; every error of usage then names the verb."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:  # a last option that lacks its value
                error.ctx = ctx  # type: ignore[attr-defined]
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Writes the options into the help."""
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
