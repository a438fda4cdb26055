"""Messages that name lines of the training text."""

from __future__ import annotations

import numpy as np

from seq2seq.training.batches import Provenance


def test_lines_of_one_text() -> None:
    assert Provenance(np.array([7])).in_words() == "line 7 of the training text"
    assert Provenance(np.array([7, 3])).in_words() == "lines 3, 7 of the training text"
    many = Provenance(np.arange(1, 26)).in_words()
    first = ", ".join(map(str, range(1, 21)))
    assert many == f"lines {first} and 5 more of the training text"
    assert Provenance(np.array([7, 3])).record() == {"lines": [3, 7]}


def test_lines_of_several_corpora_name_them() -> None:
    lines = Provenance(np.array([7, 3, 9]), ["news", "talks", "news"])
    assert lines.in_words() == "lines 7, 9 of news; line 3 of talks"
    assert lines.record() == {"lines": [7, 9, 3], "corpora": ["news", "news", "talks"]}
    many = Provenance(np.arange(30), ["a", "b"] * 15)
    assert many.in_words().startswith(
        "lines 0, 2, 4, 6, 8, 10, 12, 14, 16, 18 and 5 more of a; lines"
    )
