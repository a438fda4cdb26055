"""What the table of bad input is made of: its rows, and the files that its commands find."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Case:
    """A row of the table.

    Attributes:
        what: What goes wrong, in a few words.
        command: The command line.
        message: What is told: an error, or a warning where the command goes on (code 0). One that
            ends in "..." goes on with digests or in the words of a library.
        code: How the command ends.
        stdin: What is on standard input.
        damage: What happens to the folder before.
        before: Warnings before the message.
        lines: How many lines are printed: results.
    """

    what: str
    command: str
    message: str
    code: int = 2
    stdin: bytes = b"ein Hund\n"
    damage: Callable[[Path], object] | None = None
    before: tuple[str, ...] = ()
    lines: int = 0

    def is_told(self, told: str, here: Path) -> bool:
        """Whether a command in the folder ``here`` has told what the row says, and only that.

        In names of files, digests stand as DIGEST.
        """
        told = re.sub(r"-[0-9a-f]{16}\b", "-DIGEST", told)
        last = f"{'error' if self.code else 'warning'}: {self.message}\n"
        expected = "".join(f"warning: {line}\n" for line in self.before) + last
        expected = expected.replace("{here}", str(here))
        if expected.endswith("...\n"):
            return told.startswith(expected[:-4]) and told.count("\n") == expected.count("\n")
        return told == expected


def write_files(folder: Path) -> None:
    """Writes what the commands of the table find in their folder."""
    (folder / "two.en").write_bytes(b"ein Hund\nzwei Kinder\n")
    (folder / "two.de").write_bytes(b"ein Hund\nzwei Kinder\n")
    (folder / "three.de").write_bytes(b"ein Hund\nzwei Kinder\nWasser\n")
    (folder / "two.csv").write_bytes(b"a dog,ein Hund\nwater,Wasser\n")
    (folder / "empty").touch()
    (folder / "binary").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256)) * 4)
    (folder / "text.gz").write_bytes(gzip.compress(b"ein Hund\n")[:-9])
    (folder / "utf16").write_bytes("ein Hund\n".encode("utf-16"))
    (folder / "folder").mkdir()
    (folder / "full").symlink_to("/dev/full")
    (folder / "loop").symlink_to("loop")
    (folder / "ok.toml").write_bytes(b"seed = 1\n")
    (folder / "typo.toml").write_bytes(b"[modle.encoder]\nlayers = 2\n[training]\nepochs = '9'\n")
    (folder / "syntax.toml").write_bytes(b"seed = 1\nname = quick\n")
    (folder / "latin.toml").write_bytes(b"# \xe9\n")
    (folder / "no_data.toml").write_bytes(b'name = "mine"\n')
    for name, source, target in (
        ("mismatched", "two.en", "three.de"),
        ("missing", "two.en", "nowhere.de"),
        ("empty", "empty", "two.de"),
        ("binary", "two.en", "binary"),
    ):
        data = f'data = {{train = ["{source}", "{target}"], val = ["two.en", "two.de"]}}\n'
        (folder / f"{name}.toml").write_bytes(data.encode())


def contents(folder: Path) -> dict[str, bytes | None]:
    """Everything below a folder, to see that nothing was left or lost."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        if path.is_file() and not path.is_symlink()
        else None
        for path in folder.rglob("*")
    }


def truncate(*paths: Path) -> None:
    """Leaves half of each file, as an interrupted copy does; there is at least one."""
    assert paths
    for path in paths:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
