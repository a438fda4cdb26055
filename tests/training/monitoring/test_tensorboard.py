from __future__ import annotations

import sys
from pathlib import Path

import pytest

from seq2seq.errors import MissingExtraError
from seq2seq.training.monitoring.session_log import TensorBoard, check_installed


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads of a folder."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    read = reader.EventAccumulator(str(folder))
    read.Reload()
    return {
        tag: [(point.step, round(point.value, 4)) for point in read.Scalars(tag)]
        for tag in read.Tags()["scalars"]
    }


def write(folder: Path, first: int, updates: list[int], loss: float) -> None:
    board = TensorBoard(folder, first)
    for update in updates:
        board.record(
            {
                "kind": "train",
                "update": update,
                "loss": loss,
                "gpu_memory": None,
                "update_ratio": {"all": 0.5, "encoder": 0.25},
            }
        )
    board.close()


def test_numbers_come_back_and_nothing_comes_twice(tmp_path: Path) -> None:
    """A session that was killed at 70 went on from 50: its points after that are not shown."""
    pytest.importorskip("tensorboard")
    write(tmp_path, 1, [20, 40, 60], 3.0)
    write(tmp_path, 51, [60, 80], 2.0)
    found = scalars(tmp_path)
    assert found == {
        "train/loss": [(20, 3.0), (40, 3.0), (60, 2.0), (80, 2.0)],
        "train/update_ratio/all": [(step, 0.5) for step in (20, 40, 60, 80)],
        "train/update_ratio/encoder": [(step, 0.25) for step in (20, 40, 60, 80)],
    }


def test_sessions_and_numbers_that_are_none_are_left_out(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    board = TensorBoard(tmp_path, 1)
    board.record({"kind": "session", "update": 0, "what": "begun", "time": "now"})
    board.record({"kind": "validation", "update": 5, "loss": None, "bleu": 1.5})
    board.record({"kind": "validation", "update": 6, "loss": float("inf"), "bleu": 2.5})
    board.close()
    assert scalars(tmp_path) == {"validation/bleu": [(5, 1.5), (6, 2.5)]}


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError) as caught:
        check_installed()
    assert str(caught.value) == (
        "training.tensorboard needs the package 'tensorboard', which is not installed: "
        "pip install 'seq2seq[tensorboard]'"
    )
