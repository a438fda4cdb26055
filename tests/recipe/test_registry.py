"""Classes of other packages, by their addresses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from seq2seq.errors import ModelError
from seq2seq.recipe.registry import Registry


def test_a_program_that_is_ended_while_it_imports_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "waits.py").write_text("import sys; sys.exit(143)", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "waits", None)  # to be forgotten after the test
    del sys.modules["waits"]
    with pytest.raises(SystemExit, match="143"):
        Registry("cell", "seq2seq.none", {"other": "waits:Cell"}).load("other")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import sys; sys.exit(3)", "SystemExit(3)"),
        ("raise SystemExit", "SystemExit()"),
        ("raise RuntimeError", "RuntimeError()"),
        ("raise RuntimeError('mine')", "mine"),
        ("", "module 'ends' has no attribute 'Cell'"),
    ],
)
def test_a_module_that_fails_or_ends_the_program_is_named(
    source: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ends.py").write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "ends", None)  # to be forgotten after the test
    del sys.modules["ends"]
    with pytest.raises(ModelError) as caught:
        Registry("cell", "seq2seq.none", {"other": "ends:Cell"}).load("other")
    assert str(caught.value) == (
        f"the cell 'other' (ends:Cell, of the package ?) cannot be imported: {words}"
    )
