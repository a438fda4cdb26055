from __future__ import annotations

import numpy as np
import pytest

from seq2seq.report.charts import thinned


@pytest.mark.parametrize("count", [0, 1, 2, 299, 300])
def test_few_points_stay(count: int) -> None:
    points = np.arange(2.0 * count).reshape(2, count)
    assert np.array_equal(thinned(points), points)


@pytest.mark.parametrize("count", [301, 1000, 50_000])
def test_of_many_points_means_are_drawn(count: int) -> None:
    points = np.stack([np.arange(float(count)), np.sin(np.arange(count) / count)])
    thin = thinned(points)
    assert thin.shape == (2, 300)
    assert (np.diff(thin[0]) > 0).all()
    assert np.array_equal(thin[:, -1], points[:, -1])
    assert np.abs(np.interp(thin[0], *points) - thin[1]).max() < 1e-3
