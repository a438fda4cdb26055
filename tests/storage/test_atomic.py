"""Files and folders are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from seq2seq.errors import Seq2SeqError
from seq2seq.storage import atomic
from seq2seq.storage.atomic import (
    PARTIAL,
    append_text,
    clear_leftovers,
    file_digest,
    new_file,
    new_folder,
    output_file,
    real_path,
    replace_link,
    usual_permissions,
    write_bytes,
    write_errors,
    write_text,
)

REPLACED = ".replaced-"
FULL_DISK = OSError(errno.ENOSPC, "No space left on device")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def mask(bits: int) -> Iterator[None]:
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


def by_output(path: Path, data: bytes) -> None:
    with output_file(path) as stream:
        stream.write(data)


WRITERS = pytest.mark.parametrize("write", [write_bytes, by_output])
"""Every way to write a file."""
Write = Callable[[Path, bytes], None]


@pytest.fixture(params=["without names", "with names"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has files without names, and one that has none."""
    if request.param == "with names":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)


@WRITERS
@pytest.mark.usefixtures("system")
def test_a_file_is_made_and_replaced(tmp_path: Path, write: Write) -> None:
    path = tmp_path / ("ü" * 120)  # the longest name that file systems take, but for a few bytes
    for data in (b"one\r\n\xff", b"", b"two"):
        write(path, data)
        assert path.read_bytes() == data
        assert names(tmp_path) == [path.name]


def test_text_is_written_as_it_is(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "Grüße\r\u2028\n")
    assert (tmp_path / "file").read_bytes() == "Grüße\r\u2028\n".encode()


@WRITERS
@pytest.mark.parametrize("bits", [0o022, 0o027, 0o002, 0o077])
@pytest.mark.usefixtures("system")
def test_permissions_are_those_of_any_new_file(tmp_path: Path, write: Write, bits: int) -> None:
    with mask(bits):
        write(tmp_path / "file", b"")
        (tmp_path / "usual").touch()
        with new_folder(tmp_path / "folder") as partial:
            write(partial / "file", b"")
        (tmp_path / "usual folder").mkdir()
    assert mode(tmp_path / "file") == mode(tmp_path / "folder/file") == 0o666 & ~bits
    assert mode(tmp_path / "usual") == 0o666 & ~bits
    assert mode(tmp_path / "folder") == mode(tmp_path / "usual folder")


def test_the_umask_is_never_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "umask")
    for write in (write_bytes, by_output):
        write(tmp_path / "file", b"")


@WRITERS
@pytest.mark.usefixtures("system")
def test_a_file_that_is_replaced_hands_its_permissions_on(tmp_path: Path, write: Write) -> None:
    path = tmp_path / "file"
    path.touch()
    path.chmod(0o604)
    write(path, b"new")
    assert mode(path) == 0o604


@pytest.mark.parametrize("target", ["victim", "nowhere"])
def test_a_planted_link_is_replaced_not_followed(tmp_path: Path, target: str) -> None:
    victim, link = tmp_path / "victim", tmp_path / "card.json"
    victim.write_bytes(b"precious")
    victim.chmod(0o600)
    link.symlink_to(tmp_path / target)
    write_bytes(link, b"new")
    assert victim.read_bytes() == b"precious"
    assert not link.is_symlink()
    assert link.read_bytes() == b"new"
    assert names(tmp_path) == ["card.json", "victim"]


def test_a_link_that_the_user_names_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/file")
    for data in (b"made", b"replaced"):
        by_output(tmp_path / "link", data)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real/file").read_bytes() == data
        assert names(tmp_path / "real") == ["file"]


@WRITERS
def test_devices_and_pipes_are_written_to(tmp_path: Path, write: Write) -> None:
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write(pipe, b"text\n")
    reader.join(timeout=60)
    assert found == [b"text\n"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write(Path(os.devnull), b"text\n")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


@pytest.mark.parametrize("flags", [os.O_APPEND, 0])
@pytest.mark.parametrize("name", ["/dev/fd/{}", "/proc/self/fd/{}", "/proc/{pid}/fd/{}", "link"])
def test_a_file_that_is_open_and_named_so_is_added_to(
    tmp_path: Path, name: str, flags: int
) -> None:
    """As the shell opens it for ``-o /dev/stdout >> all``; another process still writes to it."""
    path = tmp_path / "all"
    path.write_bytes(b"before\n")
    number = os.open(path, os.O_WRONLY | flags)
    os.lseek(number, 0, os.SEEK_END)
    (tmp_path / "link").symlink_to(f"/dev/fd/{number}")
    by_output(tmp_path / name.format(number, pid=os.getpid()), b"between\n")
    os.write(number, b"after\n")
    os.close(number)
    assert path.read_bytes() == b"before\nbetween\nafter\n"
    assert names(tmp_path) == ["all", "link"]


def test_an_archive_is_added_to_an_open_file(tmp_path: Path) -> None:
    """Its writer goes back to its beginning wherever that can be done: not in another's file."""
    number = os.open(tmp_path / "all", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
    os.write(number, b"before")
    with (
        output_file(f"/dev/fd/{number}") as stream,
        zipfile.ZipFile(stream, "w") as archive,
        archive.open("member", "w") as member,
    ):
        member.write(b"text")
    os.close(number)
    with zipfile.ZipFile(tmp_path / "all") as found:
        assert found.testzip() is None
        assert found.read("member") == b"text"


@pytest.mark.parametrize("name", ["/dev/fd/{}", "/dev/fd/987654321{}"])
def test_an_open_file_that_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "in").write_bytes(b"precious")
    number = os.open(tmp_path / "in", os.O_RDONLY)
    with pytest.raises(Seq2SeqError, match="cannot be written") as caught:
        by_output(Path(name.format(number)), b"text")
    os.close(number)
    assert caught.value.exit_code == 2
    assert (tmp_path / "in").read_bytes() == b"precious"


@pytest.mark.parametrize("place", ["block", "fsync", "replace"])
@pytest.mark.parametrize("opened", [new_file, output_file])
@pytest.mark.usefixtures("system")
def test_a_failure_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, opened: Callable[..., object]
) -> None:
    def full(*_: object) -> None:
        raise FULL_DISK

    path = tmp_path / "file"
    path.write_bytes(b"old")
    with monkeypatch.context() as patch:
        if place == "fsync":
            patch.setattr(os, "fsync", full)
        elif place == "replace":
            patch.setattr(Path, "replace", full)
        with pytest.raises((OSError, Seq2SeqError), match="No space left"), opened(path):  # noqa: PT012
            if place == "block":
                full()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("bits", [0o022, 0o077])
def test_what_a_library_writes_has_usual_permissions(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "file"
    with mask(bits):
        with usual_permissions(path):  # as safetensors: by a name of its own, for the owner alone
            own = tmp_path / "own"
            own.touch(0o600)
            own.write_bytes(b"text")
            own.replace(path)
        (tmp_path / "usual").touch()
    assert mode(path) == mode(tmp_path / "usual")
    assert path.read_bytes() == b"text"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("folder", "{}: a folder, where a file is to be written"),
        ("nowhere/file", "{}: there is no folder {parent} to write it in"),
        ("loop", "{}: cannot be written: Too many levels of symbolic links"),
        ("x" * 300, "{}: cannot be written: File name too long"),
    ],
)
def test_outputs_that_cannot_be(tmp_path: Path, place: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    path = tmp_path / place
    with pytest.raises(Seq2SeqError) as caught:
        by_output(path, b"")
    assert str(caught.value) == message.format(path, parent=path.parent)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, 1),
        (errno.EDQUOT, 1),
        (errno.EIO, 1),
        (errno.EFBIG, 1),
        (errno.EACCES, 2),
    ],
)
def test_a_full_disk_is_not_the_users_fault(number: int, code: int) -> None:
    with pytest.raises(Seq2SeqError) as caught, write_errors("x"):
        raise OSError(number, os.strerror(number))
    assert str(caught.value) == f"x: cannot be written: {os.strerror(number)}"
    assert caught.value.exit_code == code


def test_nobody_reads_any_more() -> None:
    with pytest.raises(BrokenPipeError), write_errors("x"):
        raise BrokenPipeError


def test_a_link_is_replaced_in_one_step(tmp_path: Path) -> None:
    link = tmp_path / "last"
    for target in ("checkpoints/one", "checkpoints/two"):
        replace_link(link, Path(target))
        assert link.readlink() == Path(target)
    assert names(tmp_path) == ["last"]


# -- folders --------------------------------------------------------------------------------


def fill(folder: Path, text: str, **how: bool) -> None:
    with new_folder(folder, **how) as partial:
        (partial / "below").mkdir()
        (partial / "below" / "file").write_text(text)
        assert not folder.is_dir() or names(folder) in ([], ["below"])


def test_a_folder_is_made_in_folders_that_are_made(tmp_path: Path) -> None:
    fill(tmp_path / "a/b/c", "text")
    assert (tmp_path / "a/b/c/below/file").read_text() == "text"
    assert names(tmp_path / "a/b") == ["c"]
    (tmp_path / "empty").mkdir()
    fill(tmp_path / "empty", "text")
    assert names(tmp_path / "empty") == ["below"]


def test_a_folder_is_replaced_only_where_that_is_said(tmp_path: Path) -> None:
    fill(tmp_path / "a", "old")
    with pytest.raises(OSError, match="not empty"):
        fill(tmp_path / "a", "new")
    assert (tmp_path / "a/below/file").read_text() == "old"
    fill(tmp_path / "a", "new", overwrite=True)
    assert (tmp_path / "a/below/file").read_text() == "new"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_fails_leaves_nothing(tmp_path: Path, there: bool) -> None:
    if there:
        fill(tmp_path / "a/b", "old")
    with pytest.raises(KeyError), new_folder(tmp_path / "a/b", overwrite=True) as partial:  # noqa: PT012
        (partial / "raw").mkdir()
        raise KeyError
    assert names(tmp_path) == (["a"] if there else [])
    if there:
        assert names(tmp_path / "a") == ["b"]
        assert (tmp_path / "a/b/below/file").read_text() == "old"


def test_a_killed_process_s_leftovers_are_taken_away(tmp_path: Path) -> None:
    """A folder among them: the next process starts from an empty folder."""
    left = tmp_path / f"{PARTIAL}a"
    (left / "raw").mkdir(parents=True)
    (left / "raw" / "train.arrow").write_bytes(b"half")
    (left / "file").write_bytes(b"half")
    other = tmp_path / f"{PARTIAL}b"
    other.mkdir()
    with new_folder(tmp_path / "a") as partial:
        assert names(partial) == []
    assert names(tmp_path) == [other.name, "a"]


def test_a_link_is_not_followed_in_place_of_the_unfinished_folder(tmp_path: Path) -> None:
    (tmp_path / "victim").mkdir()
    (tmp_path / "victim" / "file").touch()
    (tmp_path / f"{PARTIAL}a").symlink_to("victim")
    with pytest.raises(OSError), new_folder(tmp_path / "a"):  # noqa: PT011 - any will do
        raise AssertionError
    assert names(tmp_path / "victim") == ["file"]


def test_two_processes_do_not_make_the_same_folder(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a"), multiprocessing.get_context("spawn").Pool(1) as pool:
        refused = pool.apply_async(fill, (tmp_path / "a", "text"))
        with pytest.raises(BlockingIOError, match="another process is writing it"):
            refused.get(timeout=60)
    assert names(tmp_path) == ["a"]


def test_a_folder_that_is_replaced_is_not_where_another_is_made(tmp_path: Path) -> None:
    """Whatever the names are: a folder called old-a, beside one called a."""
    fill(tmp_path / "a", "first")
    with new_folder(tmp_path / "old-a") as partial:
        (partial / "half").touch()
        fill(tmp_path / "a", "second", overwrite=True)
        assert names(partial) == ["half"]
    assert names(tmp_path) == ["a", "old-a"]
    assert (tmp_path / "a/below/file").read_text() == "second"


def test_a_half_made_folder_is_never_put_in_another_s_place(tmp_path: Path) -> None:
    half = tmp_path / f"{PARTIAL}old-a"
    half.mkdir()
    (half / "half").touch()
    with pytest.raises(KeyError), new_folder(tmp_path / "a"):
        raise KeyError
    assert names(tmp_path) == [half.name]
    assert names(half) == ["half"]


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("overwritten", [False, True])
def test_what_was_being_replaced_is_back_at_the_next_try(
    tmp_path: Path, whole: bool, overwritten: bool
) -> None:
    """After a process that was killed just before, or just after, the new folder had its name."""
    (tmp_path / f"{REPLACED}a").mkdir()
    if whole:
        fill(tmp_path / "a", "new")
    if overwritten:
        fill(tmp_path / "a", "newest", overwrite=True)
    else:
        with pytest.raises(KeyError), new_folder(tmp_path / "a", overwrite=True):
            raise KeyError
    assert names(tmp_path) == ["a"]
    assert names(tmp_path / "a") == (["below"] if whole or overwritten else [])


@pytest.mark.parametrize("prefix", [REPLACED, f"{PARTIAL}old-"])
@pytest.mark.parametrize("whole", [False, True])
def test_clearing_puts_back_what_was_being_replaced(
    tmp_path: Path, whole: bool, prefix: str
) -> None:
    """Also what a version up to 0.4.0 left."""
    old = tmp_path / f"{prefix}a"
    old.mkdir()
    (old / "old").touch()
    if whole:
        (tmp_path / "a" / "below").mkdir(parents=True)
    (tmp_path / f"{PARTIAL}b").mkdir()
    (tmp_path / f"{PARTIAL}b" / "half").touch()
    (tmp_path / f"{PARTIAL}0123").touch()
    (tmp_path / f"{PARTIAL}4567").symlink_to("a")
    (tmp_path / "user's").touch()
    clear_leftovers(tmp_path)
    assert names(tmp_path) == ["a", "user's"]
    assert names(tmp_path / "a") == (["below"] if whole else ["old"])
    clear_leftovers(tmp_path / "nowhere")


def test_digest(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")  # an example of FIPS 180-2
    assert file_digest(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_all_that_is_written_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[int, int]] = []

    def noted(number: int) -> None:
        status = os.fstat(number)
        synced.append((status.st_dev, status.st_ino))

    monkeypatch.setattr(atomic.os, "fsync", noted)
    write_bytes(tmp_path / "one", b"1")
    fill(tmp_path / "three", "3")
    for path in [tmp_path, *tmp_path.rglob("*")]:
        status = path.stat()
        assert (status.st_dev, status.st_ino) in synced, path


def test_appending_follows_no_link(tmp_path: Path) -> None:
    append_text(tmp_path / "log", "one\n")
    append_text(tmp_path / "log", "two\n")
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    for target in ("log", "nowhere"):
        link = tmp_path / "link"
        link.symlink_to(tmp_path / target)
        with pytest.raises(OSError, match=r"^\[Errno"):
            append_text(link, "three\n")
        link.unlink()
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\n"
    assert not (tmp_path / "nowhere").exists()


def test_a_real_path_is_there_for_every_link(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder")
    (tmp_path / "loop").symlink_to("loop")
    for name in ("link/file", "folder/../link", "nowhere/x"):
        assert real_path(tmp_path / name) == (tmp_path / name).resolve()
    assert real_path(tmp_path / "loop").name == "loop"  # Path.resolve fails in Python 3.11, 3.12
