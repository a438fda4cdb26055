"""Training in several processes beside training in one, on the same processors."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bleu import records
from benchmarks.model import RECIPE, options
from benchmarks.peers import running, tail
from benchmarks.processes import WorkerError
from benchmarks.text import Text
from benchmarks.training import BATCH_TOKENS
from seq2seq.training.trainer import LOG_EVERY

NEVER = 1_000_000  # updates


@dataclass
class Together:
    """A way to use the processors.

    Attributes:
        precision: Of matrix products.
        processes: How many.
        threads: Of each.
        speed: Target tokens a second of all of them, turn by turn.
    """

    precision: str
    processes: int
    threads: int
    speed: list[float] = field(default_factory=list)


def rows(precisions: Sequence[str], threads: int) -> list[Together]:
    """What is compared.

    Args:
        precisions: The types that are measured.
        threads: Processor threads in all.

    Returns:
        One process with all threads and as many processes as threads, in each type.
    """
    return [
        Together(precision, *shape)
        for precision in precisions
        for shape in ((1, threads), (threads, 1))
    ]


def measure(
    found: Sequence[Together],
    text: Text,
    data: Path,
    turns: int,
    updates: int,
    work: Path,
    more: Sequence[str] = (),
) -> Iterator[int]:
    """Trains for real, each way in turn; what comes before the first record is the warm-up.

    Args:
        found: The ways; the figures go into them.
        text: What the data was made from.
        data: The prepared folder.
        turns: How many.
        updates: Updates of a turn that count, at least.
        work: For the runs, which go.
        more: What else is set in the recipe.

    Yields:
        The number of each turn that is over, from 1.
    """
    updates = LOG_EVERY * (1 + -(-updates // LOG_EVERY))
    settings = [
        *text.settings,
        *more,
        f"training.batch_tokens={BATCH_TOKENS}",
        f"training.epochs={NEVER}",
        f"training.updates={updates}",
        f"training.validation.every={NEVER}",
        "training.validation.bleu=false",
        "training.early_stopping.metric=loss",
    ]
    for turn in range(turns):
        for way in found:
            sets = [*settings, f"training.precision={way.precision}"]
            way.speed.append(_speed(way, sets, data, work / "together"))
        yield turn + 1


def _speed(way: Together, settings: Sequence[str], data: Path, run: Path) -> float:
    shutil.rmtree(run, ignore_errors=True)
    run.parent.mkdir(parents=True, exist_ok=True)
    log = run.with_name("together.log")
    command = [sys.executable, "-m"]
    if way.processes > 1:
        command += ["torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={way.processes}", "-m"]
    command += ["seq2seq", "train", str(RECIPE), *options(settings), "--data", str(data)]
    command += ["-o", str(run), "--threads", str(way.threads)]
    with running(command, log, way.threads) as process:
        process.wait()
    if process.returncode:
        raise WorkerError(f"training with {way.processes} processes failed:\n{tail(log)}")
    trained = [record for record in records(run) if record["kind"] == "train"][1:]
    shutil.rmtree(run)
    # Each record is of as many updates of about as many tokens: the mean of the times.
    return len(trained) / sum(1 / record["tokens_per_second"] for record in trained)
