"""Imports point one way, the runtime needs no training package, what is imported is declared."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "seq2seq"

# A room imports from rooms on lower levels only, so two on one level know nothing of each other.
LEVELS = (
    ("errors", "ids", "processors"),
    ("storage",),
    ("recipe",),
    ("text",),
    ("search", "metrics", "formats"),
    ("data", "nn"),
    ("models",),
    ("inference",),
    ("tasks",),
    ("inspection",),
    ("training",),
    ("report",),
    ("api",),
    ("cli",),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
RUNTIME_ROOMS = (
    "errors",
    "ids",
    "processors",
    "storage",
    "recipe",
    "text",
    "formats",
    "search",
    "metrics",
    "inference",
    "api",
    "cli",
)
# All else of that room is of the runtime.
TRAINING_FILES = tuple(
    f"inference/{name}.py"
    for name in (
        "engines/onnx/attention",
        "engines/onnx/builder",
        "engines/onnx/cells",
        "engines/onnx/lstm_int8",
        "engines/onnx/network",
        "engines/onnx/traced",
        "engines/torch",
        "shortlist_learning",
    )
)


def package_files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    """The file's room: the folder, or the module, directly below the package ("" for its top)."""
    first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if first in ("__init__", "__main__") else first


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def is_runtime(path: Path) -> bool:
    return room_of(path) in RUNTIME_ROOMS and str(path.relative_to(PACKAGE)) not in TRAINING_FILES


def imports(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and full dotted name of everything imported, relative imports resolved."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"


def imports_when_loaded(path: Path) -> Iterator[tuple[int, str]]:
    """Those that run when the module is imported: not within functions nor for type checking."""

    class Pruned(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
            return None

        def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
            if ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
                return node.orelse
            self.generic_visit(node)
            return node

    yield from imports(path, Pruned().visit(ast.parse(path.read_text(encoding="utf-8"))))


def violation(path: Path, imported: str) -> str | None:
    """What is wrong with a file's import of a name of the package, if anything."""
    top, *rest = imported.split(".")
    mine, theirs = room_of(path), rest[0] if rest else ""
    if top != "seq2seq" or not rest or theirs in ("", mine, "__version__"):
        return None
    if theirs not in LEVEL:
        return f"{imported} is no room"
    if mine and LEVEL[theirs] >= LEVEL[mine]:
        return f"{mine} must not import {theirs}"
    return None


def test_imports_point_one_way() -> None:
    files = package_files()
    assert len(files) > 30
    wrong = [
        f"{path.relative_to(ROOT)}:{line}: {problem}"
        for path in files
        for line, name in imports(path, ast.parse(path.read_text(encoding="utf-8")))
        if room_of(path) and (problem := violation(path, name))
    ]
    assert not wrong, "\n".join(wrong)


def test_every_room_has_its_level() -> None:
    rooms = {room_of(path) for path in package_files()} - {""}
    assert rooms <= set(LEVEL)
    assert {"errors", "recipe", "text", "nn", "models", "training", "cli"} <= rooms


@pytest.mark.parametrize(
    ("file", "imported", "problem"),
    [
        ("text/tokenizer.py", "seq2seq.recipe.Tokenizer", None),
        ("text/tokenizer.py", "seq2seq.text.cleaning", None),
        ("text/tokenizer.py", "seq2seq.data.preparing.prepare", "text must not import data"),
        ("search/beam/search.py", "seq2seq.metrics", "search must not import metrics"),
        ("errors.py", "seq2seq.recipe", "errors must not import recipe"),
        ("recipe/files.py", "seq2seq", None),
        ("cli/train.py", "seq2seq.Translator", "seq2seq.Translator is no room"),
        ("cli/train.py", "torch.nn", None),
    ],
)
def test_the_rule_itself(file: str, imported: str, problem: str | None) -> None:
    assert violation(PACKAGE / file, imported) == problem


def test_relative_imports_are_resolved() -> None:
    tree = ast.parse("from . import a\nfrom ..nn.cells import b\nimport c.d")
    found = [name for _, name in imports(PACKAGE / "text" / "x.py", tree)]
    assert found == ["seq2seq.text.a", "seq2seq.nn.cells.b", "c.d"]


# ---------------------------------------------------------------------------------------------
# What is imported is declared


def declared(*extras: str) -> set[str]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    requirements = [
        *project["dependencies"],
        *(line for extra in extras for line in project["optional-dependencies"][extra]),
    ]
    return {re.split(r"[\[<>=!~; ]", line)[0].replace("_", "-").lower() for line in requirements}


@cache
def distributions() -> dict[str, list[str]]:
    return dict(packages_distributions())


def distribution_of(imported: str) -> str | None:
    """The third-party distribution that a name comes from; None: the standard library or ours."""
    top = imported.partition(".")[0]
    if top in sys.stdlib_module_names or top == "seq2seq":
        return None
    if top in ("pydantic_core", "annotated_types"):  # pydantic's own parts, met in its errors
        return "pydantic"
    names = distributions().get(top, [top])
    return names[0].replace("_", "-").lower()


def test_the_runtime_imports_only_what_the_base_install_has() -> None:
    base = declared()
    undeclared = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in package_files()
        if is_runtime(path)
        for line, name in imports_when_loaded(path)
        if (distribution := distribution_of(name)) and distribution not in base
    ]
    assert not undeclared, "\n".join(undeclared)


def test_the_package_imports_only_what_it_declares() -> None:
    allowed = declared("train", "formats")
    undeclared = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in package_files()
        for line, name in imports(path, ast.parse(path.read_text(encoding="utf-8")))
        if (distribution := distribution_of(name)) and distribution not in allowed
    ]
    assert not undeclared, "\n".join(undeclared)


def test_the_tests_import_only_what_their_extra_has() -> None:
    ours = [*(ROOT / "tests").iterdir(), *(ROOT / "scripts").rglob("*")]
    allowed = declared("train", "formats", "test") | {path.stem for path in ours}
    undeclared = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        for line, name in imports(path, ast.parse(path.read_text(encoding="utf-8")))
        if (distribution := distribution_of(name)) and distribution not in allowed
    ]
    assert not undeclared, "\n".join(undeclared)


def test_nothing_is_declared_in_vain() -> None:
    used = {
        distribution_of(name)
        for path in package_files()
        for _, name in imports(path, ast.parse(path.read_text(encoding="utf-8")))
    }
    assert declared("train", "formats") <= used


# ---------------------------------------------------------------------------------------------
# What is loaded, in processes of their own


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


BLOCKED = """
import importlib, sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked here", name=name)

sys.meta_path.insert(0, Blocked())
"""


def test_the_runtime_loads_without_the_training_packages() -> None:
    modules = [module_of(path) for path in package_files() if is_runtime(path)]
    assert {"seq2seq.inference.translator", "seq2seq.cli.app", "seq2seq.search.beam"} <= {*modules}
    code = BLOCKED.format(blocked=declared("train") - declared()) + (
        "for name in sys.argv[1:]:\n    importlib.import_module(name)\nprint('loaded')\n"
    )
    assert run_python(code, *modules) == "loaded\n"


def test_the_package_itself_loads_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import seq2seq\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names) - {'seq2seq'}))\n"
    )
    assert run_python(code) == "[]\n"


def test_help_loads_nothing_heavy() -> None:
    heavy = declared("train") - declared() | {
        "markdown_it",
        "numpy",
        "pandas",
        "sacrebleu",
        "sentencepiece",
    }
    code = (
        "import sys; from seq2seq.cli.app import main\n"
        "sys.argv = ['seq2seq', '--help']\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    assert not stop.code, stop.code\n"
        f"print('heavy:', sorted({heavy!r} & set(sys.modules)))\n"
    )
    assert run_python(code).splitlines()[-1] == "heavy: []"
