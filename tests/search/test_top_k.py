from __future__ import annotations

import numpy as np
import pytest

from seq2seq.search.model import top_k


@pytest.mark.parametrize("size", [1, 5, 64, 1000, 8000])
@pytest.mark.parametrize("k", [1, 2, 6, 40, 8000])
def test_the_best_are_those_of_a_sort(size: int, k: int) -> None:
    k = min(k, size)
    rng = np.random.default_rng(size * k)
    plain = rng.standard_normal((7, size)).astype(np.float32)
    tied = np.round(plain)
    tied[0] = -np.inf
    tied[1, size // 2 :] = -np.inf
    for scores in (plain, tied):
        values, columns = top_k(scores.copy(), k)
        np.testing.assert_array_equal(values, -np.sort(-scores, axis=1)[:, :k])
        np.testing.assert_array_equal(values, np.take_along_axis(scores, columns, axis=1))
        assert all(len(set(row)) == k for row in columns.tolist())
        same = values[:, 1:] == values[:, :-1]
        assert (columns[:, 1:] > columns[:, :-1])[same].all()
