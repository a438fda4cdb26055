"""The files around the code: recipes, documents, versions, scripts, and what a wheel carries."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

import seq2seq
from seq2seq.recipe import Recipe
from seq2seq.recipe.base import Section, is_auto
from seq2seq.recipe.files import load_recipe
from seq2seq.recipe.model import options_class
from seq2seq.recipe.packaged import packaged_recipes
from seq2seq.recipe.registry import CELLS

ROOT = Path(__file__).parents[1]
RECIPES = sorted((ROOT / "recipes").rglob("*.toml"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
SCRIPTS = [
    *sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file()),
    ROOT / ".ci" / "run",
]


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


@cache
def project() -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    return table


# ---------------------------------------------------------------------------------------------
# Recipes


def test_every_recipe_file_is_found_by_its_name() -> None:
    assert RECIPES
    assert sorted(packaged_recipes().values()) == RECIPES
    assert len(packaged_recipes()) == len(RECIPES)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_begins_with_its_command_its_cost_and_its_score(path: Path) -> None:
    comments = re.match(r"(#.*\n)+", text_of(path))
    assert comments, "a recipe begins with comments"
    found = dict(re.findall(r"^# (\w+): +(.+)$", comments[0], flags=re.MULTILINE))
    assert list(found)[:3] == ["Command", "Cost", "Score"]
    assert path.stem in found["Command"]
    assert re.search(r"\d+ (s|min|h)\b.*\bcores?\b", found["Cost"]), "time, and on what"
    scores = (
        r"\bBLEU \d+\.\d\b",
        r"\b\d+\.\d+ % wrong\b",
        r"\bNMSE 0\.\d+\b",
        r"\bcapacity \d+\.\d\b",
    )
    assert any(re.search(score, found["Score"]) for score in scores)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_carries_the_name_of_its_file(path: Path) -> None:
    assert load_recipe(path.stem).name == path.stem


# ---------------------------------------------------------------------------------------------
# Versions


def test_the_changelog_begins_with_this_version() -> None:
    headings = re.findall(r"^## (\S+)", text_of(ROOT / "CHANGELOG.md"), flags=re.MULTILINE)
    assert headings[0] == project()["version"] == version("seq2seq")


def pins() -> dict[str, str]:
    found = {}
    for line in text_of(ROOT / "constraints.txt").splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            (pin,) = requirement.specifier
            assert pin.operator == "==", line
            found[requirement.name.replace("_", "-").lower()] = pin.version
    return found


def requirements() -> list[Requirement]:
    extras = project()["optional-dependencies"]
    lines = [*project()["dependencies"], *(line for extra in extras.values() for line in extra)]
    return [found for line in lines if (found := Requirement(line)).name != "seq2seq"]


@pytest.mark.parametrize("requirement", requirements(), ids=str)
def test_what_the_package_needs_is_pinned_within_its_bounds(requirement: Requirement) -> None:
    assert [bound.operator for bound in requirement.specifier] == [">="]
    assert requirement.specifier.contains(pins()[requirement.name])


# ---------------------------------------------------------------------------------------------
# Documents say what is there

COMMAND = re.compile(r"(?:^|[|:] |run )\s*(?:\$ )?seq2seq +([a-z]+)((?: .*)?)$", re.MULTILINE)


def commands() -> list[tuple[str, str, str]]:
    """File, verb and arguments of each command in the documents, scripts and recipes."""
    found = []
    for path in [*DOCUMENTS, *RECIPES, ROOT / "scripts" / "quickstart"]:
        text = text_of(path).replace("\\\n", " ")
        if path.suffix == ".md":
            text = "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
        found += [(path.name, verb, rest) for verb, rest in COMMAND.findall(text)]
    return found


@cache
def help_of(*words: str) -> str:
    code = "import sys; from seq2seq.cli.app import main; sys.argv[0] = 'seq2seq'; main()"
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-c", code, *words, "--help"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_commands_to_look_at() -> None:
    assert {"prepare", "train", "translate", "evaluate"} <= {verb for _, verb, _ in commands()}


@pytest.mark.parametrize(("file", "verb", "rest"), commands())
def test_a_command_in_a_document_exists(file: str, verb: str, rest: str) -> None:
    assert re.search(rf"^\W*{verb}\b", help_of(), flags=re.MULTILINE), f"{file}: no verb {verb}"
    words = [verb]
    if verb in ("recipe", "inspect") and (name := re.match(r" +([a-z]+)", rest)):
        words.append(name[1])
    shown = help_of(*words)
    for option in re.findall(r"(?<=\s)(--?[a-z][a-z-]*)", rest.partition("#")[0]):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", shown), f"{file}: {verb} has no {option}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_names_what_is_there(document: Path) -> None:
    text = text_of(document)
    paths = re.findall(r"(?<![\w/.])((?:scripts|recipes|tests|docs|seq2seq)/[\w./-]*\w)", text)
    assert [name for name in paths if not (ROOT / name).exists()] == []


def anchors(document: Path) -> set[str]:
    """What headings can be linked to by, as GitHub makes it of their words."""
    titles = re.findall(r"^#+ (.+)$", text_of(document), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_link_leads_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)", text_of(document))
    for name, anchor in links:
        target = document.parent / name if name else document
        assert target.exists(), name
        if re.fullmatch(r"L\d+", anchor):  # a line of code: see test_course.py
            assert target.suffix == ".py"
        else:
            assert not anchor or anchor in anchors(target), f"{name}#{anchor}"


def test_every_page_is_linked_from_the_readme() -> None:
    readme = text_of(ROOT / "README.md")
    assert [page.name for page in DOCUMENTS if page.parent != ROOT] != []
    for page in DOCUMENTS:
        assert page.parent == ROOT or f"(docs/{page.name})" in readme, page.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_python_in_a_document_names_what_is_there(document: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```", text_of(document), re.M | re.S):
        names = {*re.findall(r"(?<!from )\bseq2seq\.(\w+)", block)}
        for line in re.findall(r"^from seq2seq import (.+)$", block, re.MULTILINE):
            names |= {*line.split(", ")}
        assert {name for name in names if not hasattr(seq2seq, name)} == set()


def documented_keys() -> dict[str, str]:
    """Each key in the tables of docs/recipes.md, with the default that its row gives."""
    found: dict[str, str] = {}
    sections = [""]
    for line in text_of(ROOT / "docs" / "recipes.md").splitlines():
        if line.startswith("## "):
            sections = re.findall(r"`\[(.*)\]`", line) or [""]
        elif re.search(r"\bha(s|ve):$", line):
            sections = re.findall(r"`\[([\w.]+)\]`", line)
        elif match := re.match(r"\| (`[^|]+`) \| (.+?) \|", line):
            for key in re.findall(r"`([\w.]+)`", match[1]):
                for place in sections:
                    found[f"{place}.{key}".removeprefix(".")] = match[2]
    return found


def keys_of(section: type[Section], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Section) and name != "cell":
            yield from keys_of(kind, f"{before}{name}.")
        else:
            yield before + name, "auto" if is_auto(field) else field.default


def test_the_page_on_recipes_has_every_key_and_its_default() -> None:
    documented, keys = documented_keys(), dict(keys_of(Recipe))
    assert documented.keys() == keys.keys()
    for key, default in keys.items():
        shown = documented[key]
        if default is None:
            assert shown in ("none", "`false`"), key  # data.stream is off
            continue
        value = tomllib.loads(f"value = {shown.strip('`')}")["value"]
        simple = getattr(default, "kind", default)
        assert value == (list(simple) if isinstance(simple, tuple) else simple), key


def test_the_page_on_recipes_has_every_option_of_a_cell_and_its_default() -> None:
    page = text_of(ROOT / "docs" / "recipes.md")
    rows = re.findall(r"^\| (\w+) \| `(\w+)` \| (\S+) \|", page, re.MULTILINE)
    documented = {(cell, key): shown.strip("`") for cell, key, shown in rows}
    assert documented == {
        (cell, key): "none" if field.default is None else json.dumps(field.default)
        for cell in CELLS.own
        for key, field in options_class(cell).model_fields.items()
    }
    assert all(f"`{cell}`" in page for cell in CELLS.own)


# ---------------------------------------------------------------------------------------------
# Scripts


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_parses(path: Path) -> None:
    first = text_of(path).splitlines()[0]
    if "python" in first:
        compile(text_of(path), str(path), "exec")
    else:
        subprocess.run(["bash", "-n", path], check=True)
    if not path.name.startswith("_"):
        assert first.startswith("#!/usr/bin/env ")
        assert os.access(path, os.X_OK)


def run_script(name: str, *arguments: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [ROOT / "scripts" / name, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, **variables},
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_scripts_leave_a_folder_alone_that_is_not_theirs(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("do not lose me", encoding="utf-8")
    for name in ("test", "quickstart"):
        status, said = run_script(name, SEQ2SEQ_VENV=str(tmp_path), PYTHON=sys.executable)
        assert status == 2
        assert said == (
            f"{name}: {tmp_path} is there, but not made by this script: remove it, or name "
            "another folder by SEQ2SEQ_VENV\n"
        )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_scripts_say_which_python_does_not_do(tmp_path: Path) -> None:
    broken = tmp_path / "python3.12"
    broken.write_text("#!/bin/sh\necho no such version >&2\nexit 127\n", encoding="utf-8")
    broken.chmod(0o755)
    assert run_script("test", PYTHON=str(broken), SEQ2SEQ_VENV=str(tmp_path / "venv")) == (
        2,
        f"test: PYTHON={broken} is no Python 3.11 or newer with venv and ensurepip\n",
    )


def test_the_quickstart_knows_its_options() -> None:
    assert run_script("quickstart", "--frehs") == (
        2,
        "quickstart: unknown argument --frehs; there are --fresh, --cpu and --help\n",
    )
    for name in ("test", "quickstart", "bench", "sweep"):
        status, said = run_script(name, "--help")
        assert status == 0
        assert f"scripts/{name}" in said
        assert "set -euo" not in said


# ---------------------------------------------------------------------------------------------
# Wheels


def build(source: Path, target: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True)
    (built,) = folder.iterdir()
    return built


def test_a_wheel_from_the_sdist_carries_code_and_recipes_and_no_tests(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    sdist = build(ROOT, "sdist", tmp_path / "sdist")
    subprocess.run(["tar", "-xzf", sdist, "-C", tmp_path / "source"], check=True)
    (source,) = (tmp_path / "source").iterdir()
    with zipfile.ZipFile(build(source, "wheel", tmp_path / "wheel")) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "installed")

    kinds = ("*.py", "*.css", "*.j2")
    code = {
        str(path.relative_to(ROOT)) for kind in kinds for path in (ROOT / "seq2seq").rglob(kind)
    }
    recipes = {f"seq2seq/{path.relative_to(ROOT)}" for path in RECIPES}
    text = {
        f"seq2seq/recipes/quickstart/{split}.{language}"
        for split in ("train", "val", "test")
        for language in ("en", "de")
    }
    assert {name for name in names if ".dist-info/" not in name} == {
        *code,
        *recipes,
        *text,
        "seq2seq/py.typed",
    }
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            "from seq2seq.recipe.files import *; print(*packaged_recipes().values(), sep='\\n')",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {*found.stdout.split()} == {str(tmp_path / "installed" / name) for name in recipes}
    found = subprocess.run(
        [sys.executable, "-m", "seq2seq", "recipe", "check", "quickstart"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "installed")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (found.stdout, found.stderr) == ("quickstart: a valid recipe\n", "")  # with its files
