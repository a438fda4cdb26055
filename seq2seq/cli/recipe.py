"""``seq2seq recipe``: list, show and check recipes, and describe them to editors."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from seq2seq.cli import console

app = typer.Typer(
    help="List, show and check recipes.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=console.example("seq2seq recipe show quickstart > mine.toml"),
)

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A packaged recipe's name, or a TOML file.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Put a value in the place of the recipe's, as in --set model.decoder.layers=2; "
        "repeatable. Paths are relative to the current folder.",
    ),
]


def list_recipes() -> None:
    """List the packaged recipes and their scores."""
    from seq2seq.recipe.files import packaged_recipes

    rows = [(name, _said(path, "Score")) for name, path in packaged_recipes().items()]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table("recipe", "score")
        for row in rows:
            table.add_row(*row)
        Console().print(table)
    else:
        width = max((len(name) for name, _ in rows), default=0)
        for name, said in rows:
            console.show(f"{name:{width}}  {said}".rstrip())


def show(
    recipe: RecipeName,
    assignments: Settings = None,
    full: Annotated[
        bool,
        typer.Option("--full", help="All keys with their values, defaults too (so with --set)."),
    ] = False,
) -> None:
    """Print a recipe.

    It is printed as it is written, to read or to begin your own with.
    """
    from seq2seq.recipe.files import load_recipe, read_recipe_text, recipe_to_toml

    if full or assignments:
        text = recipe_to_toml(load_recipe(recipe, assignments or ()))
    else:
        text = read_recipe_text(recipe)
    console.show(text.removesuffix("\n"))


def check(recipe: RecipeName, assignments: Settings = None) -> None:
    """Check a recipe.

    All problems are told at once. Files that it names are looked for, too: one that is missing is
    a warning, and the recipe still valid (exit code 0), since it may be for another machine.
    """
    from seq2seq.recipe import Section
    from seq2seq.recipe.files import load_recipe

    def missing(key: str, value: object) -> Iterator[str]:
        if isinstance(value, Section):
            for name in type(value).model_fields:
                yield from missing(f"{key}.{name}" if key else name, getattr(value, name))
        elif isinstance(value, tuple):  # several corpora
            for number, one in enumerate(value):
                yield from missing(f"{key}[{number}]", one)
        elif key.endswith(_PATHS) and isinstance(value, str) and not Path(value).exists():
            yield f"warning: {key}: there is no file {value}"

    read = load_recipe(recipe, assignments or ())
    for line in missing("", read):
        console.tell(line)
    console.show(f"{recipe}: a valid recipe")


_PATHS = ("path", "tokenizer.model", "source_model", "target_model")


def schema() -> None:
    """Print the JSON Schema of recipes.

    Editors that know it complete and check recipes as they are written.
    """
    from seq2seq.recipe.files import json_schema

    console.show(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _said(path: Path, what: str) -> str:
    """What a recipe's opening comment says of its cost or score."""
    found = re.search(rf"^# {what}: *(.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return found[1] if found else ""


app.command("list", epilog=console.example("seq2seq recipe list"))(console.reported(list_recipes))
app.command("show", epilog=console.example("seq2seq recipe show quickstart > mine.toml"))(
    console.reported(show)
)
app.command("check", epilog=console.example("seq2seq recipe check quickstart --set seed=2"))(
    console.reported(check)
)
app.command("schema", epilog=console.example("seq2seq recipe schema > recipe.schema.json"))(
    console.reported(schema)
)
