from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.errors import ModelError
from seq2seq.storage.layout import LOCK
from seq2seq.storage.lock import Lock, is_locked


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim, run = tmp_path / "victim", tmp_path / "run"
    victim.write_bytes(b"precious")
    run.mkdir()
    (run / LOCK).symlink_to(victim)
    with pytest.raises(ModelError) as caught:
        Lock(run)
    assert str(caught.value) == f"{run / LOCK}: a link, where a lock is expected: remove it"
    assert not is_locked(run)
    assert victim.read_bytes() == b"precious"


def test_whether_a_folder_is_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    lock = Lock(tmp_path)
    assert is_locked(tmp_path)
    lock.release()
    assert not is_locked(tmp_path)
    (tmp_path / LOCK).write_bytes(b"of a killed process")
    assert not is_locked(tmp_path)


def test_a_killed_process_locks_nobody_out(tmp_path: Path) -> None:
    code = "import os, sys; from pathlib import Path; from seq2seq.storage.lock import Lock\n"
    code += "Lock(Path(sys.argv[1])); os._exit(9)"
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert killed.returncode == 9
    assert (tmp_path / LOCK).exists()
    Lock(tmp_path).release()
    assert list(tmp_path.iterdir()) == []


def test_a_second_name_of_a_file_is_not_emptied(tmp_path: Path) -> None:
    theirs, run = tmp_path / "theirs", tmp_path / "run"
    theirs.write_text("text")
    run.mkdir()
    (run / ".lock").hardlink_to(theirs)
    with pytest.raises(ModelError, match=r"\.lock: a link, where a lock is expected: remove it$"):
        Lock(run)
    assert theirs.read_text() == "text"


def test_a_copy_of_hard_links_goes_on_without_the_lock_that_it_shares(tmp_path: Path) -> None:
    """As the documentation says; the training in the original keeps its own."""
    run, copy = tmp_path / "run", tmp_path / "copy"
    run.mkdir()
    lock = Lock(run)
    shutil.copytree(run, copy, copy_function=os.link)
    with pytest.raises(ModelError, match=r"\.lock: a link, where a lock is expected: remove it$"):
        Lock(copy)
    (copy / ".lock").unlink()
    Lock(copy).release()
    with pytest.raises(ModelError, match="another process is training in"):
        Lock(run)
    lock.release()


def test_a_lock_in_a_folder_that_was_moved_lets_the_next_one_be(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    lock = Lock(run)
    assert not lock.is_lost()
    run.rename(tmp_path / "moved")
    assert not lock.is_lost(), "it is only missing"
    run.mkdir()
    assert lock.is_lost(), "another folder, whose training may be over"
    second = Lock(run)
    lock.release()
    assert (run / LOCK).exists()
    assert not second.is_lost()
    with pytest.raises(ModelError, match="another process is training in"):
        Lock(run)
    Lock(tmp_path / "moved").release()
    second.release()


def test_a_lock_whose_file_was_removed_is_lost_to_the_next_one(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    (tmp_path / LOCK).unlink()
    assert not lock.is_lost()
    second = Lock(tmp_path)
    assert lock.is_lost()
    lock.release()
    assert is_locked(tmp_path)
    second.release()
    assert list(tmp_path.iterdir()) == []
