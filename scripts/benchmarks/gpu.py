"""One GPU: its speed beside the processor's, and how much of an update it waits for work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.costs import HIDDEN, Cost, precisions, trial
from benchmarks.processes import Worker, WorkerError

LARGE = 16_384  # padded tokens of a batch that fills a GPU better


@dataclass
class OnGpu:
    """A network, trained on both.

    Attributes:
        name: What tables call it.
        settings: What it sets in the benchmark's recipe.
        compared: Whether the processor trains it too.
        speed: Target tokens a second on the GPU, turn by turn.
        processor: The same on the processor, in the same turns.
        launch: Shares of the time in which the GPU has nothing to do, turn by turn.
        device: The GPU's name.
    """

    name: str
    settings: tuple[str, ...]
    compared: bool = True
    speed: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)
    launch: list[float] = field(default_factory=list)
    device: str = ""


def rows() -> list[OnGpu]:
    """What is trained.

    Returns:
        LSTM with and without input feeding, GRU, and a larger batch.
    """
    gru = ("model.encoder.cell=gru", "model.decoder.cell=gru")
    return [
        OnGpu("LSTM, bfloat16", ()),
        OnGpu("GRU, bfloat16", gru),
        OnGpu("LSTM, bfloat16, input feeding", ("model.decoder.feeding=input",)),
        OnGpu("LSTM, bfloat16, batches of 16,384", (f"training.batch_tokens={LARGE}",), False),
    ]


def measure(
    found: Sequence[OnGpu],
    data: Path,
    turns: int,
    updates: int,
    threads: int,
    log: Path,
    more: Sequence[str] = (),
) -> Iterator[str]:
    """Trains each network on the GPU and on the processor, by turns.

    Args:
        found: What is trained; the figures go into it.
        data: The prepared folder.
        turns: How many count; one before them is the warm-up.
        updates: Updates of a turn.
        threads: Processor threads.
        log: Where processes say what went wrong.
        more: What else is set in the recipe.

    Yields:
        What is measured next.

    Raises:
        WorkerError: If there is no GPU.
    """
    for row in found:
        yield row.name
        settings = [*more, *row.settings]
        base = Cost("hidden size", HIDDEN, "bfloat16")
        with trial(data, base, threads, log, settings, gpu=True) as worker:
            facts = worker.ask("facts")
            if facts["device"] == "cpu":
                raise WorkerError("there is no GPU that PyTorch can use")
            row.device = facts["device"]
            if not row.compared:
                _turns(row, worker, None, turns, updates)
                continue
            best = Cost("hidden size", HIDDEN, precisions()[-1])  # what it is fastest in
            with trial(data, best, threads, log, settings) as processor:
                _turns(row, worker, processor, turns, updates)


def _turns(row: OnGpu, gpu: Worker, processor: Worker | None, turns: int, updates: int) -> None:
    for turn in range(turns + 1):
        found = gpu.ask("turn", updates=updates)
        share = gpu.ask("launch", updates=updates)["share"]
        other = processor.ask("turn", updates=updates) if processor else None
        if not turn:
            continue
        row.speed.append(found["tokens"] / found["seconds"])
        row.launch.append(share)
        if other:
            row.processor.append(other["tokens"] / other["seconds"])
