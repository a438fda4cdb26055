"""Recipes in files: TOML read, checked and written; packaged recipes found by name.

TOML has no null, and a key that is left out has its default. So the word "none" stands for an
absent value wherever a key may be absent but is by default not (``training.clip_norm = "none"``).
Likewise "auto" leaves out a key that is then chosen by the data.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from seq2seq.errors import RecipeError, check_names, did_you_mean
from seq2seq.recipe import Recipe
from seq2seq.recipe.base import (
    NAME,
    Assignment,
    Checks,
    Section,
    Table,
    is_auto,
    left_out,
    says_none,
    tables_in,
)
from seq2seq.recipe.data import kind_of_file
from seq2seq.recipe.packaged import packaged_recipes, with_absolute_paths, without_phrasebook
from seq2seq.recipe.problems import clamp_stored, further_problems, problems_of
from seq2seq.recipe.registry import own_keys_known
from seq2seq.storage.whole import RECIPE_SIZE, read_bytes

_ALLOWED = (
    "give a recipe, or a corpus: two text files, line n of one translating line n of the other, or "
    "one file that ends in .tsv, .jsonl or .parquet"
)
_DEEPEST = 20  # tables in tables
_MOST_VALUES = 100_000


def load_recipe(
    name_or_path: str | Path | Sequence[str | Path],
    assignments: Sequence[str] = (),
    *,
    folder: str | Path | None = None,
) -> Recipe:
    """Reads a recipe, or makes one of defaults for a training corpus.

    Paths in the file are relative to the file, all others to the current folder.

    Args:
        name_or_path: A packaged recipe's name, or the path of a TOML file. Or a training corpus: a
            list of two text files, or a file that ends in .tsv, .jsonl or .parquet.
        assignments: Values to put in place of the file's, each ``key.path=value`` with a TOML
            value (or a string without quotes).
        folder: The folder to be made, whose name is that of a recipe for a corpus; None: "mine".

    Returns:
        The recipe, its paths absolute.

    Raises:
        RecipeError: If there is no such recipe, it is not TOML, or anything in it is wrong; all
            problems at once. Also if ``assignments`` is one string.
    """
    given: Sequence[str | Path] = (
        [name_or_path] if isinstance(name_or_path, str | Path) else name_or_path
    )
    words = [str(one) for one in given]
    check_names(*words)
    name_or_path = " ".join(words)
    if isinstance(assignments, str):
        raise RecipeError(
            name_or_path, [f"assignments must be a list of strings, such as [{assignments!r}]"]
        )
    if len(words) != 1 or kind_of_file(words[0]):
        text = tomli_w.dumps({"name": _name_by(folder), "data": {"train": _corpus(words)}})
        return _read(text, name_or_path, Path.cwd(), assignments, cells=True)
    try:
        path = _find(name_or_path)
        text = _read_text(path, name_or_path)
        table = _parse(text, name_or_path)
    except RecipeError as error:
        is_name = "." not in name_or_path and not Path(name_or_path).exists()
        if is_name or name_or_path.endswith(".toml"):
            raise
        if re.search(r"\.[a-z]{2,3}$", name_or_path) and Path(name_or_path).is_file():
            raise RecipeError(name_or_path, [_not_a_recipe(name_or_path)]) from None
        raise RecipeError(error.origin, [f"{error.problems[0]}; {_ALLOWED}"]) from None
    if not table:  # a recipe of defaults alone; more likely a lost file
        remedy = "'seq2seq recipe show quickstart' prints one to begin with"
        raise RecipeError(name_or_path, [f"there is nothing in it: {remedy}"])
    return _read(text, name_or_path, path.absolute().parent, assignments, cells=True)


def _not_a_recipe(name: str) -> str:
    """What to say of a file whose name ends as that of a table or text: .csv, .txt, .en, .gz."""
    if ".csv" in Path(name).suffixes:
        return f"make it tab-separated, without quotes, with a name that ends in .tsv; {_ALLOWED}"
    return f"one text file, without its translation, and no recipe (.toml); {_ALLOWED}"


def _corpus(files: list[str]) -> str | list[str]:
    """What ``data.train`` is where the files of a corpus stand for a recipe."""
    recipe = [one for one in files if one.endswith(".toml") or one in packaged_recipes()]
    problem = ""
    if recipe:
        problem = f"the recipe {recipe[0]} stands alone: --set names other files for it"
    elif len(files) not in (1, 2):
        problem = f"{len(files)} names"
    elif len(files) == 2 and Path(files[0]).absolute() == Path(files[1]).absolute():
        problem = "the same file twice"
    if problem:
        raise RecipeError(" ".join(files), [f"{problem}; {_ALLOWED}"])
    return files if len(files) == 2 else files[0]


def _name_by(folder: str | Path | None) -> str:
    name = "" if folder is None else Path(folder).absolute().name
    return name if re.fullmatch(NAME, name) else "mine"


def read_recipe_text(name_or_path: str) -> str:
    """Reads a recipe's file, as ``load_recipe`` finds it, as it is written, comments included."""
    path = _find(name_or_path)
    text = _read_text(path, name_or_path)
    return with_absolute_paths(text) if path in packaged_recipes().values() else text


def recipe_from_toml(
    text: str, origin: str, base: Path | None = None, *, cells: bool = True, stored: bool = True
) -> Recipe:
    """Reads a recipe from a text, such as one that a run of an older version has stored.

    ``origin`` is what messages call it, such as its path. In a ``stored`` one, numbers above what
    is allowed now count as the most that is. Paths are relative to ``base``, or stay as they are.
    With ``cells`` cells and attentions must be known, and a cell's own keys are checked where torch
    is installed, which imports it: only code that runs them needs that. Raises ``RecipeError`` with
    all that is wrong at once.
    """
    return _read(text, origin, base, (), cells=cells, stored=stored)


def checked(recipe: Recipe) -> Recipe:
    """Checks a recipe's cells with their own keys, too; keys left out still count as left out."""
    found: Recipe = _given_as(
        recipe, recipe_from_toml(recipe_to_toml(recipe), recipe.name, stored=False)
    )
    return found


def _given_as(given: Section, found: Section) -> Any:
    """The values of ``found``; those keys count as given that are given in ``given``."""
    values = {
        key: _given_as(getattr(given, key), value) if isinstance(value, Section) else value
        for key, value in found
    }
    return type(found).model_construct(_fields_set=given.model_fields_set, **values)


def recipe_to_toml(recipe: Recipe) -> str:
    """Writes a recipe as TOML, defaults included; reading it gives an equal recipe.

    Keys that are absent by default and have no value are left out; those that are to be chosen by
    the data are "auto".
    """
    return tomli_w.dumps(_table_of(recipe))


def _find(name_or_path: str) -> Path:
    packaged = packaged_recipes()
    path = Path(name_or_path)
    is_path = name_or_path.endswith(".toml") or os.sep in name_or_path
    if not is_path and name_or_path in packaged:
        return packaged[name_or_path]
    if is_path or (name_or_path and path.exists()):
        return path
    hint = did_you_mean(name_or_path, packaged)
    problem = f"no packaged recipe has this name{hint}; there are: {', '.join(packaged)}"
    raise RecipeError(repr(name_or_path), [f"{problem}; a file's name ends in .toml"])


def _read_text(path: Path, origin: str) -> str:
    try:
        data = read_bytes(path, RECIPE_SIZE, pipe=True)
    except FileNotFoundError:
        raise RecipeError(origin, ["there is no such file"]) from None
    except IsADirectoryError:
        raise RecipeError(origin, ["this is a folder, not a recipe's file"]) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise RecipeError(origin, [f"cannot be read: {reason}"]) from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        decoded: bytes = error.object  # without a mark at the beginning
        line = decoded.count(b"\n", 0, error.start) + 1
        problem = f"not UTF-8 text: byte 0x{decoded[error.start]:02x}"
        raise RecipeError(f"{origin}:{line}", [problem]) from None


def _read(
    text: str,
    origin: str,
    base: Path | None,
    assigned: Sequence[str],
    *,
    cells: bool,
    stored: bool = False,
) -> Recipe:
    checks = Checks(cells=cells and own_keys_known(), names=cells)
    table = _parse(text, origin)
    if stored and "data" in table:
        table["data"] = without_phrasebook(table["data"])
    if base is not None:
        _make_paths_absolute(table, base)
    assignments: list[Assignment] = []
    problems: list[str] = []
    for written in assigned:
        try:
            assignments.append(Assignment.parse(written))
        except ValueError as error:
            problems.append(str(error))
    problems += _undone(assignments)
    for assignment in assignments:
        assignment.apply(table, Recipe)
    if assignments:
        _make_paths_absolute(table, Path.cwd())
    check_names(*_strings(table))
    if checks.cells:
        _make_sides(table)
    _take_words(table)
    try:
        recipe = _validated(table, checks, stored=stored)
    except ValidationError as error:
        problems += problems_of(error, assignments)
        problems += further_problems(table, error, assignments, checks)
    if problems:
        raise RecipeError(origin, list(dict.fromkeys(problems)))  # a union may tell one twice
    return recipe


def _undone(assignments: Sequence[Assignment]) -> list[str]:
    """Tells of values that a later one, of the table around them, would take away."""
    return [
        f"--set {later.text} comes after --set {earlier.text} and would undo it: give it first"
        for number, later in enumerate(assignments)
        for earlier in assignments[:number]
        if earlier.path != later.path == earlier.path[: len(later.path)]
    ]


def _validated(table: Table, checks: Checks, *, stored: bool) -> Recipe:
    try:
        return Recipe.model_validate(table, context=checks)
    except ValidationError as error:
        if not stored or not clamp_stored(table, error):
            raise
    return Recipe.model_validate(table, context=checks)


def _take_words(table: Table) -> None:
    """Puts no value in the place of the word "none"."""
    for section, inner in tables_in(Recipe, table):
        for key, field in section.model_fields.items():
            if inner.get(key) == "none" and says_none(field):
                inner[key] = None


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _strings(one)
    elif isinstance(value, str):
        yield value


def _make_sides(table: Table) -> None:
    """Makes tables of both sides, so that the default cells get their own keys, too."""
    model = table.setdefault("model", {})
    for side in ("encoder", "decoder") if isinstance(model, dict) else ():
        model.setdefault(side, {})


def _parse(text: str, origin: str) -> Table:
    try:
        table = tomllib.loads(text)
        if _count(table) > _MOST_VALUES:
            raise RecipeError(origin, [f"more than {_MOST_VALUES:,} values"])
        return table
    except RecursionError:
        raise RecipeError(origin, ["not TOML: lists or tables nested too deeply"]) from None
    except ValueError as error:  # TOMLDecodeError, and numbers of thousands of digits
        words, where = str(error), ""
        found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", words)
        if found:
            end = (text.count("\n") + 1, len(text) - text.rfind("\n"))
            line, column = found.groups() if found[1] else end
            words, where = words[: found.start()], f":{line}:{column}"
        raise RecipeError(f"{origin}{where}", [f"not TOML: {words}"]) from None


def _count(table: Table) -> int:
    """Counts values at all depths; too many, or too deep ones, are not looked at one by one."""
    level: list[Any] = [table]
    count = 0
    for _ in range(_DEEPEST):
        level = [
            below
            for one in level
            if isinstance(one, dict | list)
            for below in (one.values() if isinstance(one, dict) else one)
        ]
        count += len(level)
        if not level or count > _MOST_VALUES:
            return count
    raise RecursionError


def _make_paths_absolute(table: Table, base: Path) -> None:
    """Resolves every relative path in a recipe's raw tables, in place."""

    def absolute(value: Any) -> Any:
        if isinstance(value, str) and value:
            home = value.startswith("~/")
            path = Path(value).expanduser() if home else base / value
            plain = os.path.normpath(path)  # another file where ".." follows a link
            return plain if os.path.realpath(plain) == os.path.realpath(path) else str(path)
        if isinstance(value, dict):
            keys = {"path", "source_path", "target_path"}
            return {key: absolute(one) if key in keys else one for key, one in value.items()}
        return [absolute(item) for item in value] if isinstance(value, list) else value

    data, tokenizer = table.get("data"), table.get("tokenizer")
    for split in ("train", "val", "test"):
        if isinstance(data, dict) and data.get(split) not in (None, "none"):
            data[split] = absolute(data[split])
    if isinstance(tokenizer, dict):
        for key in {"model", "source_model", "target_model"} & tokenizer.keys():
            tokenizer[key] = absolute(tokenizer[key])


def _table_of(section: Section) -> Table:
    table: Table = {}
    for key, value in section:
        field = type(section).model_fields.get(key)
        if key in left_out(section):
            table[key] = "auto"
        elif isinstance(value, Section):
            table[key] = _table_of(value)
        elif isinstance(value, tuple):
            table[key] = [_table_of(one) if isinstance(one, Section) else one for one in value]
        elif value is not None:
            table[key] = value
        elif field is None or field.default is not None or is_auto(field):
            table[key] = "none"
    return table
