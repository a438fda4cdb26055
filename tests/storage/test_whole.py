"""The one reader of whole files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from seq2seq.storage.whole import MIB, read_bytes

NO_FILE = "a device or a pipe, where a file is expected"


def words(path: Path, most: int = MIB, *, pipe: bool = False) -> str:
    with pytest.raises(OSError, match=r"^\[Errno") as error:
        read_bytes(path, most, pipe=pipe)
    return str(error.value.strerror)


@pytest.mark.parametrize("size", [0, 1, MIB])
@pytest.mark.parametrize("most", [MIB, None])
def test_a_file_is_read(tmp_path: Path, size: int, most: int | None) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    assert read_bytes(path, most) == path.read_bytes()
    (tmp_path / "link").symlink_to(path)
    assert read_bytes(tmp_path / "link", most) == path.read_bytes()


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole, which takes no place on the disk
    assert words(path) == "it is larger than 1 MiB, which is the most for such a file"


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
@pytest.mark.parametrize("pipe", [False, True])
def test_a_device_is_not_read(tmp_path: Path, device: str, pipe: bool) -> None:
    assert words(Path(device), pipe=pipe) == NO_FILE
    (tmp_path / "link").symlink_to(device)
    assert words(tmp_path / "link", pipe=pipe) == NO_FILE


def test_a_folder_and_nothing(tmp_path: Path) -> None:
    assert words(tmp_path) == "Is a directory"
    assert words(tmp_path / "nowhere") == "No such file or directory"


@pytest.mark.timeout(30)
def test_a_pipe_is_read_only_where_it_may_be_one(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    assert words(path) == NO_FILE  # nobody writes to it
    assert read_bytes(path, MIB, pipe=True) == b""

    def written(size: int) -> tuple[int, threading.Thread]:
        reading = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # so that the writer can begin
        writing = os.open(path, os.O_WRONLY)

        def write() -> None:
            with os.fdopen(writing, "wb") as stream:
                try:
                    stream.write(b"x" * size)
                except BrokenPipeError:
                    return

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        return reading, thread

    reading, thread = written(300_000)  # more than a pipe holds
    assert read_bytes(path, MIB, pipe=True) == b"x" * 300_000
    os.close(reading)
    thread.join()
    reading, _ = written(3 * MIB)
    assert words(path, pipe=True).startswith("it is larger than 1 MiB")
    os.close(reading)
