"""What is recorded of sessions, and that nothing of it can stop a training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe
from seq2seq.training.monitoring import session_log as watch
from seq2seq.training.monitoring.session_log import SessionLog, host
from seq2seq.training.run.journal import Journal
from seq2seq.training.signals import StopRequest
from seq2seq.training.state import TrainingState


class Run:
    """A watched run without a training, and what its page and its monitor were told."""

    def __init__(self, folder: Path) -> None:
        self.journal = Journal(folder / "metrics.jsonl")
        self.pages: list[bool] = []
        self.said: list[str] = []
        page = lambda _, final: self.pages.append(final)  # noqa: E731
        self.watch = SessionLog(folder, self.journal, self.said.append, page)
        self.state = TrainingState()
        self.stop = StopRequest()

    def session(self, *settings: str) -> Any:
        recipe: Recipe = load_recipe("quickstart", settings)
        return self.watch.session(recipe, lambda: self.state, self.stop, {"threads": 1})

    def told(self) -> list[tuple[str, int, str | None]]:
        return [(one["what"], one["update"], one.get("reason")) for one in self.journal.records()]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def test_a_session_that_finishes(run: Run) -> None:
    with run.session():
        run.state.update, run.state.stopped = 90, "the recipe's end"
    assert run.told() == [("begun", 0, None), ("finished", 90, "the recipe's end")]
    begun = run.journal.records()[0]
    assert begun["environment"]["threads"] == 1
    assert begun["environment"]["cores"] >= 1
    assert begun["time"].endswith("+00:00")
    assert run.pages == [True]
    with run.session():  # it is finished: nothing happens, and nothing is recorded
        pass
    assert len(run.told()) == 2


def test_sessions_that_are_stopped_and_fail(run: Run) -> None:
    with run.session():
        run.state.update, run.stop.by = 20, "SIGTERM"
    run.journal.rewind(10)
    run.state.update = 10
    with pytest.raises(ValueError, match="x"), run.session():
        raise ValueError("x is wrong\nand so is y")
    with pytest.raises(KeyboardInterrupt), run.session():
        raise KeyboardInterrupt
    assert run.told() == [
        ("begun", 0, None),
        ("stopped", 20, "SIGTERM"),
        ("resumed", 10, None),
        ("failed", 10, "x is wrong"),
        ("resumed", 10, None),
        ("stopped", 10, "KeyboardInterrupt"),
    ]
    assert run.pages == [True, True]  # a second signal waits for no page


def test_how_far_a_killed_session_came_is_kept(run: Run) -> None:
    for update in (20, 40, 60):
        run.journal.append({"kind": "train", "update": update})
    run.journal.rewind(30)
    run.state.update = 30
    with run.session():
        pass
    resumed = run.journal.records()[1]
    assert (resumed["what"], resumed["update"], resumed["reached"]) == ("resumed", 30, 60)


def test_rewinding_keeps_sessions(run: Run) -> None:
    run.state.update = 50
    with run.session():
        run.state.update = 70
    run.journal.rewind(10)
    assert [update for _, update, _ in run.told()] == [50, 70]


class FullBoard:
    """Stands in for TensorBoard on a full disk."""

    def __init__(self, folder: Path, first: int) -> None:
        self.first = first

    def record(self, record: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    close = lambda self: self.record({})  # noqa: E731


def test_tensorboard_on_a_full_disk_stops_nothing(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "TensorBoard", FullBoard)
    with run.session("training.tensorboard=true"):
        run.journal.append({"kind": "train", "update": 20})
    assert run.said == [
        "warning: nothing more is written for TensorBoard: [Errno 28] No space left on device"
    ]
    assert len(run.journal.records()) == 3


def test_examples_on_a_full_disk_stop_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(watch, "write_examples", full)
    assert run.watch.examples(lambda: {}, 5) is None
    assert run.said[0].startswith("warning: ")
    assert run.said[0].endswith("could not be written: [Errno 28] No space left on device")


def test_kept_examples_name_their_update(run: Run) -> None:
    written = run.watch.examples(lambda: {"lines": 2}, 5)
    kept = json.loads((run.watch.run / "examples.json").read_text(encoding="utf-8"))
    assert kept == written == {"format": 1, "update": 5, "lines": 2}
    assert run.watch.examples(None, 5) == kept
    assert run.watch.examples(None, 6) is None


@pytest.mark.parametrize(
    ("content", "found"),
    [(None, False), ("{", False), ("[]", False), ('{"update": 4}', False), ('{"update": 5}', True)],
)
def test_examples_that_are_kept_are_those_of_the_same_weights(
    run: Run, content: str | None, found: bool
) -> None:
    if content is not None:
        (run.watch.run / "examples.json").write_text(content, encoding="utf-8")
    kept = run.watch.examples(None, 5)
    assert (kept == {"update": 5}) is found


def test_the_machine_is_told_without_names() -> None:
    import getpass
    import socket

    told = json.dumps(host())
    assert {"processor", "cores", "system"} <= host().keys()
    assert socket.gethostname() not in told or len(socket.gethostname()) < 4
    assert f'"{getpass.getuser()}"' not in told
