"""What a person sees of training: a progress bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO

from seq2seq.data import can_redraw
from seq2seq.errors import print_line, printable
from seq2seq.tasks import Words
from seq2seq.training.evaluation import Validated

_OTHERS = 0.5
"""A load so far above the number of processors says that others slow the training down."""


@dataclass(frozen=True)
class Step:
    """An update, from 1, as it is shown and logged."""

    update: int
    epoch: float  # done, with the fraction of the present one
    progress: float  # share of the whole training that is done, 0 to 1
    loss: float  # mean over targets, such as the negative log-likelihood in nats
    tokens_per_second: float  # target tokens, since the last shown update
    learning_rate: float | None  # None: the way to learn asks for none
    gradient_norm: float  # before clipping
    remaining: float  # seconds by this session's speed, validations counted; infinite: unknown
    padding: float = 0.0  # share of padding in the batches
    skipped: int = 0  # updates so far whose numbers were not finite
    halved: int = 0  # batches so far that did not fit into memory and were taken in parts
    memory: int = 0  # most bytes that a process has held
    gpu_memory: int | None = None  # most bytes that tensors have taken on a GPU, if there is one
    update_ratio: dict[str, float] = field(default_factory=dict)  # see ``metrics.Movement``
    load: float = 0.0  # threads that wanted one of the machine's processors in the last minute
    unit: str = "epoch"  # what ``epoch`` counts; of a stream, whose end nobody knows, "buffer"
    words: Words = field(default_factory=Words, repr=False)

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return math.nan if math.isnan(self.loss) else math.exp(min(self.loss, 700.0))

    def record(self) -> dict[str, Any]:
        """The figures as ``metrics.jsonl`` has them."""
        figures = {"kind": "train", **asdict(self)}
        del figures["unit"], figures["words"]
        return {**figures, **({"perplexity": self.perplexity} if self.words.perplexity else {})}

    def line(self, width: int | None = None) -> str:
        """The figures in words, the important ones first; as many as fit into a width."""
        cores = os.cpu_count() or 1
        left = f"{clock(self.remaining)} left" if math.isfinite(self.remaining) else ""
        figures = [
            f"update {self.update}",
            left,
            f"{self.unit} {self.epoch:.2f}",
            f"loss {self.loss:.3f}" if self.words.perplexity else f"loss {self.loss:.4g}",
            f"{self.tokens_per_second:,.0f} {self.words.target.rpartition(' ')[2]}s/s",
            f"load {self.load:.1f} on {cores} cores" if self.load > cores + _OTHERS else "",
            f"gradient {self.gradient_norm:.2g}",
            "" if self.learning_rate is None else f"rate {self.learning_rate:.2e}",
            f"padding {self.padding:.0%}",
            f"{(self.gpu_memory or self.memory) / 2**20:,.0f} MiB",
            f"{self.skipped:,} skipped" if self.skipped else "",
            f"{self.halved:,} halved" if self.halved else "",
        ]
        shown = list(filter(None, figures))
        while width is not None and len(shown) > 1 and len("  ".join(shown)) > width:
            shown.pop()
        return "  ".join(shown)


def clock(seconds: float) -> str:
    """Seconds as h:mm:ss, or m:ss below an hour."""
    minutes, second = divmod(int(seconds + 0.5), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02d}:{second:02d}" if hours else f"{minute}:{second:02d}"


class Monitor:
    """Shows plain lines, by default on standard error, one every few seconds.

    Training calls its methods; any may be overridden.
    """

    unit = "epoch"  # or "buffer", in a stream

    def __init__(self, stream: TextIO | None = None, interval: float = 10.0) -> None:
        self.stream = stream
        self.interval = interval
        self._shown = time.monotonic()

    def say(self, text: str) -> None:
        """Shows a line; the text has no line end."""
        print_line(text, self.stream or sys.stderr)

    def step(self, step: Step) -> None:
        """An update is done."""
        if time.monotonic() - self._shown >= self.interval:
            self._shown = time.monotonic()
            self.say(step.line())

    def validating(self, lines: int) -> None:
        """A validation of so many lines begins."""

    def validated(self, update: int, epoch: float, result: Validated, best: bool) -> None:
        """A validation of the weights of an update is done."""
        mark = "  best so far" if best else ""
        when = f"update {update} ({self.unit} {epoch:.2f})"
        self.say(f"validation at {when}: {result.line()}{mark}")
        if result.old is not None:
            self.say(f"  {result.old.line()}")

    def close(self) -> None:
        """Training has ended, well or not."""


class Silent(Monitor):
    """Shows nothing."""

    def say(self, text: str) -> None:
        """Shows nothing."""


class TerminalMonitor(Monitor):
    """A progress bar with the figures, lines above it."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(stderr=True)
        bar = 24 if console.width >= 100 else 8
        self.progress = Progress(
            BarColumn(bar_width=bar),
            TextColumn("{task.percentage:>5.1f} %"),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
        )
        self._taken = bar + 10  # characters beside the description
        self.task = self.progress.add_task("starting", total=1.0)
        self.progress.start()

    def say(self, text: str) -> None:
        """Shows a line above the bar."""
        self.progress.console.print(printable(text), markup=False, emoji=False, highlight=False)

    def step(self, step: Step) -> None:
        """Moves the bar."""
        line = step.line(self.progress.console.width - self._taken)
        self.progress.update(self.task, completed=step.progress, description=line)

    def validating(self, lines: int) -> None:
        """Shows beside the bar that a validation is under way."""
        self.progress.update(self.task, description=f"validating on {lines:,} lines")

    def close(self) -> None:
        """Takes the bar away."""
        self.progress.stop()


def default_monitor() -> Monitor:
    """A progress bar if standard error is a terminal, plain lines elsewhere."""
    return TerminalMonitor() if can_redraw(sys.stderr) else Monitor()
