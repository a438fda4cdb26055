"""Checkpoints are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import itertools
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from support.models import random_tensor

from seq2seq.data.batching import Place
from seq2seq.errors import ModelError
from seq2seq.storage import checked_json
from seq2seq.storage.atomic import PARTIAL, clear_leftovers, file_digest
from seq2seq.storage.layout import checkpoint_folders
from seq2seq.training.run import checkpoint as module
from seq2seq.training.run.checkpoint import (
    Checkpoint,
    load_checkpoint,
    save_checkpoint,
    save_tensors,
)
from seq2seq.training.state import TrainingState


def sample(update: int, seed: int = 0, **more: Any) -> Checkpoint:
    """A checkpoint with tensors of every kind that training has."""
    model = {
        "a.weight": torch.nn.Parameter(random_tensor(3, 4, seed=seed).float()),
        "b": random_tensor(4, 3, seed=seed + 1).float().t(),  # not contiguous
        "odd": torch.tensor([0.0, -0.0, torch.inf, torch.nan, 1e-45]),
    }
    optimizer = {
        "a.weight/exp_avg": random_tensor(3, 4, seed=seed + 2).float(),
        "a.weight/step": torch.tensor(float(update)),
    }
    state = TrainingState(
        update=update,
        place=Place(3, 1, 7, 900),
        tokens=12345678901,
        seconds=1.5,
        best=0.1 + 0.2,
        best_update=update,
        history=[{"update": 1, "loss": 2.5, "bleu": None}],
        **more,
    )
    groups = {"model": model, "optimizer": optimizer, "average": {"c": torch.ones(2)}}
    return Checkpoint(state, groups, {"torch": "2.13", "threads": 2})


def same_bits(ours: Checkpoint, theirs: Checkpoint) -> bool:
    return (
        ours.state == theirs.state
        and ours.environment == theirs.environment
        and ours.groups.keys() == theirs.groups.keys()
        and all(
            group.keys() == theirs.groups[name].keys()
            and all(
                value.dtype == theirs.groups[name][key].dtype
                and torch.equal(
                    value.detach().contiguous().view(torch.uint8 if value.dim() else torch.int32),
                    theirs.groups[name][key]
                    .detach()
                    .contiguous()
                    .view(torch.uint8 if value.dim() else torch.int32),
                )
                for key, value in group.items()
            )
            for name, group in ours.groups.items()
        )
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_checkpoint_comes_back_to_the_bit(tmp_path: Path) -> None:
    written = sample(42)
    path = save_checkpoint(tmp_path / "new" / "checkpoints", written)
    assert path == tmp_path / "new" / "checkpoints" / "update-00000042"
    assert names(path.parent) == [path.name]
    assert names(path) == [
        "average.safetensors", "model.safetensors", "optimizer.safetensors", "state.json"
    ]  # fmt: skip
    assert same_bits(load_checkpoint(path), written)
    assert not same_bits(load_checkpoint(path), sample(42, seed=1))


def test_an_optimizer_without_state_is_a_group_too(tmp_path: Path) -> None:
    written = Checkpoint(TrainingState(), {"model": {"a": torch.ones(2)}, "optimizer": {}})
    read = load_checkpoint(save_checkpoint(tmp_path, written))
    assert same_bits(read, written)
    assert read.groups["optimizer"] == {}


def test_the_average_is_what_is_judged() -> None:
    both = sample(1)
    assert both.evaluated() is both.groups["average"]
    alone = Checkpoint(both.state, {"model": both.groups["model"], "optimizer": {}})
    assert alone.evaluated() is alone.groups["model"]


def test_the_same_update_can_be_saved_again(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, sample(5))
    later = sample(5, seed=3, stopped="the recipe's end")
    assert same_bits(load_checkpoint(save_checkpoint(tmp_path, later)), later)
    assert names(tmp_path) == ["update-00000005"]


def test_folders_are_listed_newest_first(tmp_path: Path) -> None:
    assert checkpoint_folders(tmp_path / "none") == []
    for update in (9, 100, 20):
        save_checkpoint(tmp_path, sample(update))
    (tmp_path / f"{PARTIAL}update-00000999").mkdir()
    found = [path.name for path in checkpoint_folders(tmp_path)]
    assert found == ["update-00000100", "update-00000020", "update-00000009"]


# -- damage ---------------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path, sample(7))


def message(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_checkpoint(path)
    return str(caught.value)


@pytest.mark.parametrize("name", ["model", "optimizer", "average"])
def test_a_flipped_bit_is_noticed(saved: Path, name: str) -> None:
    file = saved / f"{name}.safetensors"
    whole = file.read_bytes()
    for place in {0, 9, len(whole) // 2, len(whole) - 1}:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert message(saved) == (
            f"checkpoint {saved} is damaged: {name}.safetensors does not match its sum"
        )


@pytest.mark.parametrize("kept", [0, 5, 100])
def test_a_truncated_file_is_noticed(saved: Path, kept: int) -> None:
    file = saved / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    assert message(saved) == (
        f"checkpoint {saved} is damaged: model.safetensors does not match its sum"
    )


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_a_missing_file_is_named(saved: Path, name: str) -> None:
    (saved / name).unlink()
    assert message(saved) == (
        f"checkpoint {saved} is damaged: [Errno 2] No such file or directory: '{saved / name}'"
    )


def test_a_folder_where_a_file_should_be(saved: Path) -> None:
    (saved / "model.safetensors").unlink()
    (saved / "model.safetensors").mkdir()
    assert message(saved) == (
        f"checkpoint {saved} is damaged: [Errno 21] Is a directory: '{saved / 'model.safetensors'}'"
    )


def test_a_truncated_state_is_noticed(saved: Path) -> None:
    whole = (saved / "state.json").read_bytes()
    for kept in range(0, len(whole) - 2, 11):
        (saved / "state.json").write_bytes(whole[:kept])
        assert message(saved).startswith(f"checkpoint {saved} is damaged: ")


@pytest.mark.parametrize("text", ["null", "3", "[]", "{}", '{"format": 1}', "\x00", "ÿ"])
def test_another_state_is_noticed(saved: Path, text: str) -> None:
    (saved / "state.json").write_text(text, encoding="latin-1")
    assert message(saved).startswith(f"checkpoint {saved} is damaged: ")


def test_a_later_format_is_named(saved: Path) -> None:
    content = json.loads((saved / "state.json").read_text())
    (saved / "state.json").write_text(json.dumps({**content, "format": 9}))
    assert message(saved) == f"checkpoint {saved} has format 9, this version reads 1"


@pytest.mark.parametrize("seconds", [math.inf, math.nan])
def test_endless_seconds_are_noticed(saved: Path, seconds: float) -> None:
    content = json.loads((saved / "state.json").read_text())
    content["state"]["seconds"] = seconds
    del content["own_sha256"]
    content["own_sha256"] = checked_json.digest(content)
    (saved / "state.json").write_text(json.dumps(content))
    assert message(saved) == (
        f"checkpoint {saved} is damaged: state.seconds: must be a finite number"
    )


def test_sums_of_files_elsewhere_are_not_followed(saved: Path) -> None:
    """A state that names a path outside of its folder reads nothing there."""
    content = json.loads((saved / "state.json").read_text())
    content["sha256"]["../../else.safetensors"] = "0" * 64
    del content["own_sha256"]
    content["own_sha256"] = checked_json.digest(content)
    (saved / "state.json").write_text(json.dumps(content))
    missing = saved / "else.safetensors"
    assert message(saved) == (
        f"checkpoint {saved} is damaged: [Errno 2] No such file or directory: '{missing}'"
    )


# -- death ----------------------------------------------------------------------------------


class Killed(BaseException):
    """What nothing may catch."""


@contextmanager
def dying_at(number: int, how: str) -> Iterator[list[str]]:
    """At the nth change of the disk the process is as good as dead: no later change happens.

    "before" dies right before it, "midway" with half of it done (where halves are possible).

    Yields:
        The names of the changes made or tried.
    """
    done: list[str] = []

    def halved(name: str, arguments: tuple[Any, ...], real: Callable[..., Any]) -> None:
        if name == "save_file":
            real(*arguments)
            os.truncate(arguments[1], Path(arguments[1]).stat().st_size // 2)
        elif name == "rmtree" and Path(arguments[0]).is_dir():
            for path in sorted(Path(arguments[0]).iterdir())[:2]:
                path.unlink()

    def wrap(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def changed(*arguments: Any, **named: Any) -> Any:
            done.append(name)
            if len(done) == number and how == "midway":
                halved(name, arguments, real)
            if len(done) >= number:
                raise Killed
            return real(*arguments, **named)

        return changed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", wrap("fsync", lambda _: None))  # the real one is slow
        patch.setattr("os.link", wrap("link", os.link))
        patch.setattr(shutil, "rmtree", wrap("rmtree", shutil.rmtree))
        patch.setattr(module, "save_file", wrap("save_file", module.save_file))
        for name in ("mkdir", "rename", "replace", "unlink"):
            patch.setattr(Path, name, wrap(name, getattr(Path, name)))
        yield done


def deaths(
    tmp_path: Path, prepare: Callable[[Path], None], act: Callable[[Path], object], how: str
) -> Iterator[Path]:
    """The folder as a process left it that was killed at its first change, its second, ..."""
    for number in itertools.count(1):
        folder = tmp_path / f"{how}-{number}"
        prepare(folder)
        with dying_at(number, how) as done:
            try:
                act(folder)
            except Killed:
                pass
            else:
                assert number > 1, "nothing was ever interrupted"
                assert len(done) == number - 1
                return
        yield folder


def two_saved(folder: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        save_checkpoint(folder, sample(10))
        save_checkpoint(folder, sample(20))


@pytest.mark.parametrize("how", ["before", "midway"])
@pytest.mark.parametrize("update", [20, 30])
def test_killed_while_saving_the_newest_is_whole(tmp_path: Path, how: str, update: int) -> None:
    """A new checkpoint, or one that replaces its own update: old or new, nothing in between."""
    before, after = sample(20), sample(update, seed=4)
    found = []
    for folder in deaths(tmp_path, two_saved, lambda f: save_checkpoint(f, after), how):
        clear_leftovers(folder)
        assert not [name for name in names(folder) if name.startswith(".")]
        newest = load_checkpoint(checkpoint_folders(folder)[0])
        found.append("new" if same_bits(newest, after) else "old")
        if found[-1] == "old":
            assert same_bits(newest, before)
        assert same_bits(load_checkpoint(folder / "update-00000010"), sample(10))
    assert found == sorted(found, reverse=True), "once new, always new"
    assert set(found) == {"old", "new"}


def interrupted(folder: Path) -> None:
    """As a process left it that was killed between moving the old aside and the new in."""
    two_saved(folder)
    (folder / "update-00000020").rename(folder / f"{PARTIAL}old-update-00000020")
    partial = folder / f"{PARTIAL}update-00000020"
    partial.mkdir()
    (partial / "model.safetensors").write_bytes(b"half")


def replaced(folder: Path) -> None:
    """As a process left it that was killed before dropping the old."""
    two_saved(folder)
    shutil.copytree(folder / "update-00000020", folder / f"{PARTIAL}old-update-00000020")
    (folder / f"{PARTIAL}update-00000030").mkdir()


@pytest.mark.parametrize("how", ["before", "midway"])
@pytest.mark.parametrize("left", [interrupted, replaced])
def test_killed_while_clearing_up_it_can_be_done_again(
    tmp_path: Path, how: str, left: Callable[[Path], None]
) -> None:
    for folder in deaths(tmp_path, left, clear_leftovers, how):
        clear_leftovers(folder)
        assert names(folder) == ["update-00000010", "update-00000020"]
        assert same_bits(load_checkpoint(folder / "update-00000020"), sample(20))


def test_clear_leftoversing_where_nothing_happened_changes_nothing(tmp_path: Path) -> None:
    two_saved(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    clear_leftovers(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("place", ["fsync", "save_file", "rename", "mkdir"])
def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    two_saved(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if place == "fsync":
        monkeypatch.setattr("os.fsync", full)
    elif place == "save_file":
        monkeypatch.setattr(module, "save_file", full)
    else:
        monkeypatch.setattr(Path, place, full)
    with pytest.raises(OSError, match="No space left"):
        save_checkpoint(tmp_path, sample(30))
    assert names(tmp_path) == ["update-00000010", "update-00000020"]


# -- small parts ----------------------------------------------------------------------------


def test_tensors_are_written_as_the_umask_says(tmp_path: Path) -> None:
    path = tmp_path / "file.safetensors"
    before = os.umask(0o027)
    try:
        digest = save_tensors(path, {"a": torch.ones(3, requires_grad=True)})
    finally:
        os.umask(before)
    assert file_digest(path) == digest
    assert torch.equal(module.load_file(path)["a"], torch.ones(3))
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_state_comes_back_from_json() -> None:
    state = sample(3, skipped=2, stale=1, validated=True, stopped="here").state
    assert TrainingState.from_json(json.loads(json.dumps(state.to_json()))) == state
    assert TrainingState.from_json(TrainingState().to_json()) == TrainingState()
