from __future__ import annotations

import io
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import pytest
from matplotlib.image import imread

from seq2seq.tasks import Metric
from seq2seq.training.monitoring.curves import curve, metric_curves, plot_curves

RECORDS = [
    *({"kind": "train", "update": n, "loss": 5 / n, "learning_rate": 1e-3} for n in range(1, 9)),
    {"kind": "validation", "update": 4, "loss": 2.0, "bleu": None},
    {"kind": "validation", "update": 8, "loss": 1.0, "bleu": 20.0, "old": {"bleu": 30.0}},
    {"kind": "session", "update": 8},
]


@pytest.mark.parametrize("metrics", [(), (Metric("bleu", "BLEU", "BLEU of it"),)])
def test_curves_are_drawn_beside_a_notebook(tmp_path: Path, metrics: tuple[Metric, ...]) -> None:
    """Whatever backend the user draws with, it stays, and none of their figures is touched."""
    before = mpl.get_backend()
    plt.switch_backend("svg")
    try:
        theirs = plt.figure()
        plot_curves(RECORDS, tmp_path / "curves.png", "a title", metrics)
        assert mpl.get_backend() == "svg"
        assert plt.get_fignums() == [theirs.number]
        assert plt.gcf() is theirs
        plt.close(theirs)
    finally:
        plt.switch_backend(before)
    picture = imread(io.BytesIO((tmp_path / "curves.png").read_bytes()), format="png")
    assert picture.shape[0] == 120 * (4.5 + 2 * len(metrics))
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_without_rates_there_is_no_picture_of_them(tmp_path: Path) -> None:
    records = [{**one, "learning_rate": None} for one in RECORDS]
    plot_curves(records, tmp_path / "curves.png", "a title", (), "squared error a target")
    assert imread(tmp_path / "curves.png").shape[0] == 120 * 4.5


def test_curves_leave_out_what_was_not_measured() -> None:
    checks = [record for record in RECORDS if record["kind"] == "validation"]
    ours, old = metric_curves(checks, "bleu")
    assert ours.points.tolist() == [[8.0], [20.0]]
    assert old.points.tolist() == [[8.0], [30.0]]
    assert curve(checks, "loss", scale=0.5).points.tolist() == [[4.0, 8.0], [1.0, 0.5]]
    assert curve([{"loss": float("nan")}], "loss").points.shape == (2, 0)
