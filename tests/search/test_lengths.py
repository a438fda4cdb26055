from __future__ import annotations

import numpy as np
import pytest

from seq2seq.recipe import Translation
from seq2seq.recipe.training import GnmtNormalization, LengthNormalization, NoNormalization
from seq2seq.search import Normalization, divisors, length_caps

RULES: list[Normalization] = [
    NoNormalization(),
    LengthNormalization(alpha=0.0),
    LengthNormalization(alpha=1e-17),
    LengthNormalization(alpha=0.7),
    LengthNormalization(alpha=3.0),
    GnmtNormalization(alpha=0.0),
    GnmtNormalization(alpha=0.6),
]


def test_divisors_are_the_formulas() -> None:
    assert divisors(NoNormalization(), 3)[1:].tolist() == [1, 1, 1]
    assert divisors(LengthNormalization(alpha=1.0), 3)[1:].tolist() == [1, 2, 3]
    assert divisors(LengthNormalization(alpha=2.0), 3)[1:].tolist() == [1, 4, 9]
    # Wu et al. 2016, equation 14: (5 + |Y|)^alpha / (5 + 1)^alpha
    expected = [(5 + n) ** 0.6 / (5 + 1) ** 0.6 for n in (1, 2, 3)]
    np.testing.assert_allclose(divisors(GnmtNormalization(alpha=0.6), 3)[1:], expected)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_divisors_never_fall(rule: Normalization) -> None:
    table = divisors(rule, 3000)
    assert table.shape == (3001,)
    assert (table > 0).all()
    assert (np.diff(table) >= 0).all()


def test_every_normalization_of_the_recipe_has_divisors() -> None:
    for kind in ("none", "length", "gnmt"):
        chosen = Translation.model_validate({"normalization": kind}).normalization
        assert chosen.kind == kind
        assert len(divisors(chosen, 4)) == 5


def test_length_caps_round_down() -> None:
    assert length_caps([0, 1, 2, 3], 1.5, 4).tolist() == [4, 5, 7, 8]
    assert length_caps(np.array([10]), 0.01, 1).tolist() == [1]
    assert length_caps([], 2.0, 1).tolist() == []
