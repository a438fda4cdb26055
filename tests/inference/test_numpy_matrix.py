"""Products of few rows in tiles, against products in double precision."""

from __future__ import annotations

import numpy as np
import pytest
from support.engines import assert_same_steps, random_engine, sources, weights_of
from support.models import model_options

from seq2seq.inference import numpy_matrix
from seq2seq.inference.numpy_engine import NumpyEngine
from seq2seq.inference.numpy_matrix import Matrix


@pytest.mark.parametrize(("inputs", "columns"), [(1100, 1000), (1030, 1024), (9, 5), (3, 300)])
@pytest.mark.parametrize("least", [0, 2**20])
def test_products_are_those_of_double_precision(
    inputs: int, columns: int, least: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_matrix, "_LEAST_SIZE", least)
    rng = np.random.default_rng(columns)
    weight = rng.standard_normal((inputs, columns)).astype(np.float32)
    matrix = Matrix(weight)
    for rows in (1, 2, 5, 16, 17, 64):
        x = rng.standard_normal((rows, inputs)).astype(np.float32)
        found = matrix.times(x)
        assert found.dtype == np.float32
        expected = x.astype(np.float64) @ weight.astype(np.float64)
        np.testing.assert_allclose(found, expected, atol=1e-5 * inputs)
        found[:] = 0  # the caller's own
        np.testing.assert_allclose(matrix.times(x), expected, atol=1e-5 * inputs)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_an_engine_in_tiles_gives_the_numbers_of_torch(
    cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numpy_matrix, "_LEAST_SIZE", 0)
    monkeypatch.setattr(numpy_matrix, "_TILE", 4)
    side = {"cell": {"kind": cell}, "layers": 2, "embedding": 6, "hidden": 10}
    decoder = {**side, "attention": "general", "feeding": "input", "state_feeding": True}
    theirs = random_engine(model_options(side, decoder))
    assert_same_steps(NumpyEngine(theirs.model.options, weights_of(theirs)), theirs, sources())
