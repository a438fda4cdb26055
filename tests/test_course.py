"""The commands of ``docs/course.md`` are run, and its places in the code are looked up."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COURSE = (ROOT / "docs" / "course.md").read_text(encoding="utf-8")
SECTIONS = {
    text.split("\n", 1)[0]: text for text in re.split(r"^## ", COURSE, flags=re.MULTILINE)[1:]
}
_SHORT = {
    "train": " --set training.updates=1 --set training.validation.every=1",
    "train quickstart": " --set translation.max_ratio=0.5 --set training.validation.lines=5",
}


def commands(section: str) -> list[str]:
    """The commands of a section, each in one line."""
    (block,) = re.findall(r"^```\n(.*?)^```", SECTIONS[section], re.MULTILINE | re.DOTALL)
    return block.replace("\\\n", " ").splitlines()


def shortened(command: str) -> str:
    """The same command with a training of one update."""
    return command + "".join(
        more for words, more in _SHORT.items() if f"seq2seq {words} " in command
    )


def run(command: str, folder: Path) -> None:
    """Runs a line as a shell does; it must end well."""
    line = re.sub(r"\bseq2seq (?=train|inspect)", f"{sys.executable} -m seq2seq ", command)
    done = subprocess.run(line, shell=True, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (command, done.stderr)


def test_there_are_twelve_sections() -> None:
    assert [int(name.split(".")[0]) for name in SECTIONS] == [*range(1, 13)]


@pytest.mark.parametrize("section", SECTIONS)
def test_its_commands_work(section: str, tmp_path: Path) -> None:
    for command in commands(section):
        run(shortened(command), tmp_path)
        for picture in re.findall(r"-o (\S+\.png)", command):
            assert (tmp_path / picture).stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("section", SECTIONS)
def test_its_commands_work_to_their_ends(section: str, tmp_path: Path) -> None:
    for command in commands(section):
        run(command, tmp_path)


def test_each_section_names_places_in_the_code_that_are_there() -> None:
    for text in SECTIONS.values():
        places = re.findall(r"\[`([\w.]+)`\]\(\.\./([\w/.]+)#L(\d+)\)", text)
        assert places
        for name, path, line in places:
            found = (ROOT / path).read_text(encoding="utf-8").splitlines()[int(line) - 1]
            last = name.rpartition(".")[2]
            assert re.match(rf"\s*(?:class|def) {last}\b", found), (name, path, line, found)
