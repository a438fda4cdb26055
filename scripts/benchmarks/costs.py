"""How the cost of training grows: with the hidden size, layers, the vocabulary, and the corpus."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.many import prepared_many
from benchmarks.peers import WORKERS, say
from benchmarks.processes import Worker
from benchmarks.text import Text

BATCH_TOKENS = 4096
HIDDEN, LAYERS, VOCABULARY = 512, 1, 8000  # the benchmark's own, which others are set beside
AXES = {
    "hidden size": (128, 256, HIDDEN, 1024),
    "layers": (LAYERS, 2, 4),
    "vocabulary": (2000, VOCABULARY, 32000),
}
CORPORA = (30_000, 300_000, 3_000_000)


@dataclass
class Cost:
    """A network, and what its training costs.

    Attributes:
        axis: What is changed: a key of ``AXES``.
        value: To what.
        precision: Of its matrix products.
        speed: Target tokens a second, turn by turn.
        milliseconds: An update, turn by turn.
        parameters: How many.
        mib: The most memory that its process has held.
    """

    axis: str
    value: int
    precision: str
    speed: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    parameters: int = 0
    mib: float = 0.0

    @property
    def base(self) -> bool:
        """Whether it is the benchmark's own network."""
        return self.value in (HIDDEN, LAYERS, VOCABULARY)

    @property
    def settings(self) -> list[str]:
        """What it sets in the benchmark's recipe."""
        found = [
            f"training.batch_tokens={BATCH_TOKENS}",
            f"training.precision={self.precision}",
        ]
        key = {"hidden size": "hidden", "layers": "layers"}.get(self.axis)
        if key is not None:
            found += [f"model.{side}.{key}={self.value}" for side in ("encoder", "decoder")]
        return found

    @property
    def vocabulary(self) -> int:
        """How many pieces it knows."""
        return self.value if self.axis == "vocabulary" else VOCABULARY


@dataclass(frozen=True)
class Corpus:
    """A corpus, and what it costs.

    Attributes:
        pairs: How many pairs.
        seconds: Preparing it, with a given tokenizer.
        disk: MiB of the prepared folder.
        tokens: Target tokens, ends of sentence counted.
    """

    pairs: int
    seconds: float
    disk: float
    tokens: int


def costs(precisions: Sequence[str]) -> list[Cost]:
    """All networks.

    Args:
        precisions: The types that are measured.

    Returns:
        Those of each axis, in each type.
    """
    return [
        Cost(axis, value, precision)
        for axis, values in AXES.items()
        for precision in precisions
        for value in values
    ]


def precisions() -> list[str]:
    """Tells what is worth measuring here.

    Returns:
        "float32", and "bfloat16" where the processor computes in it.
    """
    import torch

    from seq2seq.training.precision import resolve_precision

    fast = resolve_precision("auto", torch.device("cpu")) == torch.bfloat16
    return ["float32", "bfloat16"] if fast else ["float32"]


def trial(
    data: Path, cost: Cost, threads: int, log: Path, more: Sequence[str] = (), *, gpu: bool = False
) -> Worker:
    """Starts the training of a network, in a process of its own.

    Args:
        data: The prepared folder.
        cost: The network.
        threads: Processor threads.
        log: Where it says what went wrong.
        more: What else is set in the recipe.
        gpu: Whether it may use a GPU.

    Returns:
        The process.
    """
    command = [sys.executable, str(WORKERS / "training.py"), str(data), str(cost.vocabulary)]
    return Worker([*command, json.dumps([*cost.settings, *more])], threads, log, gpu=gpu)


def measure(
    rows: Sequence[Cost],
    data: Path,
    turns: int,
    updates: int,
    threads: int,
    log: Path,
    more: Sequence[str] = (),
) -> Iterator[str]:
    """Trains the networks of an axis by turns, each in a process of its own.

    Args:
        rows: What is trained; the figures go into it.
        data: The prepared folder.
        turns: How many count; one before them is the warm-up.
        updates: Updates of a turn.
        threads: Processor threads.
        log: Where processes say what went wrong.
        more: What else is set in the recipe.

    Yields:
        What is measured next.
    """
    groups: dict[tuple[str, str], list[Cost]] = {}
    for row in rows:
        groups.setdefault((row.axis, row.precision), []).append(row)
    for (axis, precision), group in groups.items():
        yield f"{axis}, {precision}"
        with ExitStack() as stack:
            workers = [stack.enter_context(trial(data, row, threads, log, more)) for row in group]
            for turn in range(turns + 1):
                for row, worker in zip(group, workers, strict=True):
                    found = worker.ask("turn", updates=updates)
                    if turn:
                        row.speed.append(found["tokens"] / found["seconds"])
                        row.milliseconds.append(1000 * found["seconds"] / updates)
            for row, worker in zip(group, workers, strict=True):
                row.parameters = worker.ask("facts")["parameters"]
                row.mib = worker.ask("memory")["mib"]


def corpora(
    text: Text, tokenizer: Path, work: Path, sizes: Sequence[int], threads: int
) -> Iterator[Corpus]:
    """Makes corpora of some sizes and prepares them.

    Args:
        text: What they are made from.
        tokenizer: The joint SentencePiece model.
        work: A folder for the files.
        sizes: How many pairs.
        threads: How many processes tokenize.

    Yields:
        Each corpus.
    """
    from seq2seq.data.dataset import PreparedData

    for pairs in sizes:
        say(f"costs, a corpus of {pairs:,} pairs")
        with prepared_many(text, tokenizer, work, pairs, threads) as made:
            train = PreparedData.open(made.folder, verify=False).train
            tokens = int(train.lengths(0, len(train))[1].sum(dtype="int64")) + len(train)
            yield Corpus(pairs, made.seconds, made.disk, tokens)
