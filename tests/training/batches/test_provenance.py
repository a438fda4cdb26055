"""Messages that name lines of the training text."""

from __future__ import annotations

import numpy as np

from seq2seq.training.batches.provenance import Lines


def test_lines_of_one_text() -> None:
    assert Lines(np.array([7])).told() == "line 7 of the training text"
    assert Lines(np.array([7, 3])).told() == "lines 3, 7 of the training text"
    many = Lines(np.arange(1, 26)).told()
    first = ", ".join(map(str, range(1, 21)))
    assert many == f"lines {first} and 5 more of the training text"
    assert Lines(np.array([7, 3])).record() == {"lines": [3, 7]}


def test_lines_of_several_corpora_name_them() -> None:
    lines = Lines(np.array([7, 3, 9]), ["news", "talks", "news"])
    assert lines.told() == "lines 7, 9 of news; line 3 of talks"
    assert lines.record() == {"lines": [7, 9, 3], "corpora": ["news", "news", "talks"]}
    many = Lines(np.arange(30), ["a", "b"] * 15)
    assert many.told().startswith("lines 0, 2, 4, 6, 8, 10, 12, 14, 16, 18 and 5 more of a; lines")
