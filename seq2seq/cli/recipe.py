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
from seq2seq.cli.options import RecipeName, Settings, add_verb, flag, verb_style

app = typer.Typer(
    help="List, show and check recipes.",
    no_args_is_help=True,
    epilog=console.example("seq2seq recipe show quickstart > mine.toml"),
    **verb_style(),
)


def list_recipes() -> None:
    """List the packaged recipes and their scores."""
    from seq2seq.recipe.packaged import packaged_recipes

    rows = [(name, _comment(path, "Score")) for name, path in packaged_recipes().items()]
    if sys.stdout.isatty():
        from rich.console import Console
        from rich.table import Table

        table = Table("recipe", "score")
        for row in rows:
            table.add_row(*row)
        Console(markup=False, emoji=False).print(table)
    else:
        width = max((len(name) for name, _ in rows), default=0)
        for name, score in rows:
            console.show(f"{name:{width}}  {score}".rstrip())


def show(
    recipe: RecipeName,
    assignments: Settings = None,
    full: Annotated[
        bool,
        flag("--full", "Print every key with its value, defaults included (implied by --set)."),
    ] = False,
) -> None:
    """Print a recipe.

    It is printed as it was written, to read or to start your own from.
    """
    from seq2seq.recipe.files import load_recipe, read_recipe_text, recipe_to_toml

    if full or assignments:
        text = recipe_to_toml(load_recipe(recipe, assignments or ()))
    else:
        text = read_recipe_text(recipe).replace("\r\n", "\n")
    console.show(text.removesuffix("\n"))


def check(recipe: RecipeName, assignments: Settings = None) -> None:
    """Check a recipe.

    All problems are reported at once. Training data that is not named, or files that are missing,
    are only warnings (exit code 0): the recipe may be meant for other data or another machine.
    """
    from seq2seq.recipe import Section
    from seq2seq.recipe.files import load_recipe
    from seq2seq.recipe.registry import own_keys_known

    def missing(key: str, value: object) -> Iterator[str]:
        if isinstance(value, Section):
            for name in type(value).model_fields:
                yield from missing(f"{key}.{name}" if key else name, getattr(value, name))
        elif isinstance(value, tuple):  # several corpora
            for number, one in enumerate(value):
                yield from missing(f"{key}[{number}]", one)
        elif key.endswith(_PATHS) and isinstance(value, str):
            path = Path(value)
            if not path.exists():
                yield f"warning: {key}: {value}: no such file"
            elif not path.is_file() and not path.is_dir():
                yield f"warning: {key}: {value}: a device or a pipe, where a file is expected"

    read = load_recipe(recipe, assignments or ())
    if not own_keys_known():
        console.tell("all is checked but the cells' own keys: that needs torch (seq2seq[train])")
    unnamed = read.data.missing()
    for line in (*map("warning: {}".format, unnamed), *missing("", read)):
        console.tell(line)
    remark = "; it cannot train before its data are named" if unnamed else ""
    console.show(f"{recipe}: a valid recipe{remark}")


_PATHS = ("path", "tokenizer.model", "source_model", "target_model")


def schema() -> None:
    """Print the JSON Schema of recipes.

    An editor that knows it can complete and check recipes while you type.
    """
    from seq2seq.recipe.schema import json_schema

    console.show(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _comment(path: Path, what: str) -> str:
    """What the comments at the top of a recipe say about its cost or score."""
    found = re.search(rf"^# {what}: *(.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return found[1] if found else ""


add_verb(app, "list", list_recipes, console.example("seq2seq recipe list"))
add_verb(app, "show", show, console.example("seq2seq recipe show quickstart > mine.toml"))
add_verb(app, "check", check, console.example("seq2seq recipe check quickstart --set seed=2"))
add_verb(app, "schema", schema, console.example("seq2seq recipe schema > recipe.schema.json"))
