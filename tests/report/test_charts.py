from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from seq2seq.report.charts import charts
from seq2seq.report.record import RunRecord
from seq2seq.training.monitoring.curves import thinned


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


def test_marks_have_their_numbers(copied: Path) -> None:
    """Rounding the places of a picture must not round what it says."""
    records = [
        {"kind": "train", "update": n, "update_ratio": {"all": 10.0**-n}, "loss": 0.1234 + n / 1e4}
        for n in range(1, 6)
    ]
    text = "".join(json.dumps(record) + "\n" for record in records)
    (copied / "metrics.jsonl").write_text(text, encoding="utf-8")
    ratios = charts(RunRecord.read(copied), ())[-1]
    assert ratios.title == "Update over weights, norms"
    shown = re.findall(r">([^<>]*\d[^<>]*)</text>", ratios.svg)
    assert {"0.1", "0.01", "0.001", "0.0001"} <= set(shown)
    assert len(shown) == len(set(shown))
    assert not re.search(r"\d\.\d{3}", re.sub(r">[^<>]*<", "><", ratios.svg))
