"""Corpora of any size, made from a text, and what preparing and training hold of them."""

from __future__ import annotations

import math
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from benchmarks.model import RECIPE, options
from benchmarks.peers import running, say, tail
from benchmarks.processes import WorkerError
from benchmarks.text import Side, Text
from benchmarks.upkeep import corpus_settings

POLL = 0.05  # seconds
LONGEST_WORD = 8  # letters of the words that number a pair
DISTINCT = 10**9  # pairs
STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Held:
    """What a process has held at most, in MiB.

    Attributes:
        resident: Its pages in memory; those of mapped files count, which the system takes back
            when it needs them.
        anonymous: Its own pages, as seen every few hundredths of a second.
        family: Those of its children added.
    """

    resident: float
    anonymous: float
    family: float


@dataclass(frozen=True)
class Memory:
    """What a task has held.

    Attributes:
        task: "prepare" or "train".
        pairs: Of how many pairs.
        held: The peaks.
    """

    task: str
    pairs: int
    held: Held


@dataclass(frozen=True)
class Many:
    """A corpus that was made and prepared.

    Attributes:
        folder: The prepared folder.
        pairs: How many pairs.
        seconds: How long preparing took.
        disk: MiB of the folder.
        held: What preparing held.
    """

    folder: Path
    pairs: int
    seconds: float
    disk: float
    held: Held


def numbered(side: Sequence[str], first: int = 0) -> Iterator[str]:
    """Lines without end: those given, each with a number that is written in words of the text.

    So no line comes twice, every line is of usual length, and the tokenizer knows its words.

    Args:
        side: The lines of one side.
        first: The first number.

    Yields:
        The lines, in an order that jumps through the text.
    """
    words = sorted({word for line in side for word in line.split() if len(word) <= LONGEST_WORD})
    base, width = max(2, len(words)), 1
    while base**width < DISTINCT:
        width += 1
    stride = next(step for step in count(len(side) * 5 // 8 + 1) if math.gcd(step, len(side)) == 1)
    for number in count(first):
        digits, rest = [], number
        for _ in range(width):
            rest, digit = divmod(rest, base)
            digits.append(words[digit % len(words)])
        yield f"{side[number * stride % len(side)]} {' '.join(digits)}"


def write_many(text: Text, folder: Path, pairs: int) -> Side:
    """Writes a corpus.

    Args:
        text: What it is made from.
        folder: Where the two files go.
        pairs: How many pairs.

    Returns:
        The files.
    """
    files = Side(folder / "many.source", folder / "many.target")
    for path, side in zip((files.source, files.target), text.train.lines(), strict=True):
        with path.open("w", encoding="utf-8", newline="\n") as file:
            file.writelines(f"{line}\n" for line in islice(numbered(side), pairs))
    return files


@contextmanager
def prepared_many(
    text: Text, tokenizer: Path, work: Path, pairs: int, threads: int
) -> Iterator[Many]:
    """Makes a corpus and prepares it, watched; it is gone afterwards.

    Args:
        text: What it is made from.
        tokenizer: The joint SentencePiece model.
        work: A folder for the files.
        pairs: How many pairs.
        threads: How many processes tokenize.

    Yields:
        It.
    """
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as place:
        files, folder = write_many(text, Path(place), pairs), Path(place, "prepared")
        settings = corpus_settings(files, text.val, tokenizer)
        command = ["prepare", str(RECIPE), *options(settings), "-o", str(folder)]
        begun = time.monotonic()
        held = watched_run([*command, "--processes", str(threads)], 1, work / "prepare.log")
        seconds = time.monotonic() - begun
        disk = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
        yield Many(folder, pairs, seconds, disk, held)


def training_holds(data: Path, work: Path, updates: int, threads: int) -> Held:
    """Trains for some updates, with a validation at the end.

    Args:
        data: The prepared folder.
        work: A folder for the run, which is gone afterwards.
        updates: How many.
        threads: Processor threads.

    Returns:
        What the process held.
    """
    settings = [
        "training.epochs=1000000",
        f"training.updates={updates}",
        f"training.validation.every={updates}",
        "training.validation.bleu=false",
        "training.early_stopping.metric=loss",
    ]
    run = work / "run"
    shutil.rmtree(run, ignore_errors=True)
    command = ["train", str(data / "recipe.toml"), *options(settings), "--data", str(data)]
    try:
        more = ["-o", str(run), "--threads", str(threads)]
        return watched_run([*command, *more], threads, work / "train.log")
    finally:
        shutil.rmtree(run, ignore_errors=True)


def memory(
    text: Text, tokenizer: Path, work: Path, sizes: Sequence[int], updates: int, threads: int
) -> Iterator[Memory]:
    """Prepares corpora of some sizes and trains on each.

    Args:
        text: What they are made from.
        tokenizer: The joint SentencePiece model.
        work: A folder for the files.
        sizes: How many pairs.
        updates: Of each training.
        threads: Of training; as many processes tokenize.

    Yields:
        What each held.
    """
    for pairs in sizes:
        say(f"memory, {pairs:,} pairs")
        with prepared_many(text, tokenizer, work, pairs, threads) as made:
            yield Memory("prepare", pairs, made.held)
            yield Memory("train", pairs, training_holds(made.folder, work, updates, threads))


def watched_run(command: Sequence[str], threads: int, log: Path) -> Held:
    """Runs one of the project's commands, and watches what it holds.

    Args:
        command: The words after ``seq2seq``.
        threads: Processor threads.
        log: Where its output goes.

    Returns:
        What it held.

    Raises:
        WorkerError: If it fails, or if this system does not tell.
    """
    if not STATUS.exists():
        raise WorkerError("memory is measured where there is /proc/self/status: on Linux")
    held = Held(0, 0, 0)
    with running([sys.executable, "-m", "seq2seq", *command], log, threads) as process:
        while process.poll() is None:
            held = _more(held, process.pid)
            time.sleep(POLL)
    if process.returncode:
        raise WorkerError(f"seq2seq {command[0]} failed:\n{tail(log)}")
    return held


def _more(held: Held, number: int) -> Held:
    resident, anonymous = _status(number)
    family = anonymous + sum(_status(child)[1] for child in descendants(number))
    return Held(
        max(held.resident, resident), max(held.anonymous, anonymous), max(held.family, family)
    )


def _status(number: int) -> tuple[float, float]:
    """Peak of resident and present anonymous MiB; zeros for a process that is gone."""
    try:
        text = Path(f"/proc/{number}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0.0, 0.0
    fields = dict(line.partition(":")[::2] for line in text.splitlines())
    peak, anonymous = (fields.get(name, "0 kB").split()[0] for name in ("VmHWM", "RssAnon"))
    return int(peak) / 1024, int(anonymous) / 1024


def descendants(number: int) -> list[int]:
    """Finds the processes that a process has started, and those that they have.

    Args:
        number: The process.

    Returns:
        Their numbers.
    """
    found: list[int] = []
    for path in Path(f"/proc/{number}/task").glob("*/children"):
        try:
            children = [int(word) for word in path.read_text(encoding="utf-8").split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            found += [child, *descendants(child)]
    return found
