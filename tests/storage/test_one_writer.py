"""Only storage writes whole files and reads lines, so that its care is taken once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "seq2seq"

WRITING = {
    "NamedTemporaryFile", "O_EXCL", "O_TMPFILE", "chmod", "fchmod", "flock", "fsync", "mkdtemp",
    "mkstemp", "rename", "umask",
}  # fmt: skip
READING = {"readline", "readlines"}
ALLOWED = {"training/run/__init__.py: rename"}
"""Damaged checkpoints are moved aside."""


def uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and name of what only storage should use."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in WRITING | READING:
            yield node.lineno, node.attr
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            # A path's has one argument, a text's two, a value's has names.
            if node.func.attr == "replace" and len(node.args) == 1 and not node.keywords:
                yield node.lineno, "replace"
        elif isinstance(node, ast.Constant) and str(node.value).startswith(
            (".partial", ".replaced")
        ):
            yield node.lineno, "a temporary name"


def found_in(files: Iterator[Path]) -> list[str]:
    return [
        f"{place}:{line}: {name}"
        for path in sorted(files)
        for line, name in uses(ast.parse(path.read_text("utf-8")))
        if f"{(place := path.relative_to(PACKAGE).as_posix())}: {name}" not in ALLOWED
    ]


def test_there_is_one_writer_and_one_reader() -> None:
    elsewhere = (path for path in PACKAGE.rglob("*.py") if path.parts[-2] != "storage")
    assert found_in(elsewhere) == []
    assert len(found_in((PACKAGE / "storage").glob("*.py"))) > 5


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("partial.replace(path)", "replace"),
        ("os.rename(a, b)", "rename"),
        ("path.chmod(0o644)", "chmod"),
        ("tempfile.mkdtemp()", "mkdtemp"),
        ("stream.readline()", "readline"),
        ("'.partial-x'", "a temporary name"),
        ("text.replace('a', 'b')", None),
        ("replace(recipe, seed=1)", None),
    ],
)
def test_the_rule_itself(code: str, name: str | None) -> None:
    assert [found for _, found in uses(ast.parse(code))] == ([name] if name else [])
