from __future__ import annotations

import pytest

from seq2seq.inference.postprocess import looks_cut
from seq2seq.search import Hypothesis


@pytest.mark.parametrize(
    ("length", "ratio", "cut"),
    [(7, 1.0, True), (12, 1.0, False), (7, 0.5, False), (2, 0.5, True), (2, 0.0, False)],
)
def test_a_translation_much_shorter_than_usual_looks_cut(
    length: int, ratio: float, cut: bool
) -> None:
    found = Hypothesis(tuple(range(5, 5 + length)), -1.0, -1.0, False)
    assert looks_cut(found, 20, ratio) is cut  # a ratio of 0 is not known
