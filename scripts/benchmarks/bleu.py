"""BLEU after a given time of training: our recipe, and fairseq's LSTM."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.fairseq import Fairseq
from benchmarks.model import options, prepared
from benchmarks.peers import running, say, tail
from benchmarks.processes import WorkerError
from benchmarks.text import Text
from seq2seq.metrics import bleu
from seq2seq.storage.layout import CARD, update_of

BEAM = 5
CORRECTED = (0.1, 0.5)  # shares of the time after which the number of updates is set anew
FAR = 1_000_000  # updates: the first tenth of a cosine is flat, wherever it ends
SPARE = 0.03  # of what is left, for the last validation
POLL = 0.5  # seconds


@dataclass(frozen=True)
class Reached:
    """What a tool has reached in its time.

    Attributes:
        name: What tables call it.
        bleu: On the validation set, with a beam.
        minutes: Of training.
        updates: How many updates it were.
        epochs: How often it has seen the corpus.
    """

    name: str
    bleu: float
    minutes: float
    updates: int
    epochs: float


@dataclass
class Stretch:
    """One process of a training, as it is seen from outside.

    Attributes:
        begun: When it was started.
        seen: (time, update) whenever its log has grown.
    """

    begun: float
    seen: list[tuple[float, int]] = field(default_factory=list)

    def updates_until(self, now: float, end: float) -> int | None:
        """Tells how many updates the whole training has, if another process goes on until an end.

        Validations and saving are in the speed that was seen, starting a process is counted apart.

        Args:
            now: The time.
            end: When training is to end.

        Returns:
            The number; None: too little was seen.
        """
        if len(self.seen) < 2:
            return None
        (first, low), (last, high) = self.seen[0], self.seen[-1]
        step = (last - first) / (high - low)
        start = max(0.0, first - self.begun - (self.seen[1][1] - low) * step)
        left = (end - now) * (1 - SPARE) - start
        return high + max(1, int(left / step))


class Timed:
    """A training of ours that ends, its learning rate with it, after a given time.

    It is one run. Its number of updates is unknown at first; it is stopped and gone on with after
    some shares of its time, each time with the number that its speed so far leads to. The clock
    counts all of it: starting, validating, saving, stopping. Where the number was too high after
    all, the weights at the end of the time count; only validating them comes after it.

    Args:
        command: Trains, but for the number of updates.
        run: The run's folder; one that is there goes.
        seconds: How long.
        threads: Processor threads.
    """

    def __init__(self, command: Sequence[str], run: Path, seconds: float, threads: int) -> None:
        self.command, self.run, self.seconds, self.threads = command, run, seconds, threads
        self.log = run.with_name(f"{run.name}.log")
        self._records = 0
        shutil.rmtree(run, ignore_errors=True)
        run.parent.mkdir(parents=True, exist_ok=True)
        self.log.unlink(missing_ok=True)

    def train(self) -> tuple[float, bool]:
        """Trains.

        Returns:
            Seconds, and whether the recipe's end was reached.

        Raises:
            WorkerError: If training fails.
        """
        begun = time.monotonic()
        end, updates = begun + self.seconds, FAR
        for share in (*CORRECTED, 1.0):
            until = begun + share * self.seconds
            if time.monotonic() >= until:
                continue
            stretch, finished = self._stretch(updates, until, end)
            if finished:
                return time.monotonic() - begun, True
            updates = stretch.updates_until(time.monotonic(), end) or updates
        seconds = time.monotonic() - begun
        if (self.run / "last").exists():
            reached = update_of((self.run / "last").resolve())
            self._stretch(reached, float("inf"), float("inf"))
        return seconds, False

    def _stretch(self, updates: int, until: float, end: float) -> tuple[Stretch, bool]:
        settings = options([f"training.epochs={FAR}", f"training.updates={updates}"])
        stretch = Stretch(time.monotonic())
        with running([*self.command, *settings], self.log, self.threads, "a") as process:
            while (now := time.monotonic()) < end and (now < until or len(stretch.seen) < 2):
                if process.poll() is not None:
                    break
                self._look(stretch)
                time.sleep(POLL)
            finished = process.poll() is not None
        if finished and process.returncode:
            raise WorkerError(f"training failed:\n{tail(self.log)}")
        return stretch, finished

    def _look(self, stretch: Stretch) -> None:
        found = trained_updates(self.run)
        if len(found) > self._records and (not stretch.seen or found[-1] > stretch.seen[-1][1]):
            stretch.seen.append((time.monotonic(), found[-1]))
        self._records = len(found)


def trained_updates(run: Path) -> list[int]:
    """Reads which updates a run has logged.

    Args:
        run: Its folder.

    Returns:
        Their numbers; none where nothing is logged yet.
    """
    return [int(record["update"]) for record in records(run) if record["kind"] == "train"]


def records(run: Path) -> list[dict[str, Any]]:
    """Reads what a run has logged.

    Args:
        run: Its folder.

    Returns:
        The records; none where nothing is logged yet.
    """
    try:
        lines = (run / "metrics.jsonl").read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines[:-1]]  # the last may be half a line


def ours(
    text: Text, recipe: str, settings: Sequence[str], minutes: float, threads: int, work: Path
) -> tuple[Reached, bool]:
    """Trains our recipe for a time, and translates the validation set.

    Args:
        text: What it is trained on.
        recipe: A packaged recipe's name, or a file.
        settings: What is set in it.
        minutes: How long.
        threads: Processor threads.
        work: The benchmark's folder.

    Returns:
        What it reached, and whether its learning rate came to its end.
    """
    data = prepared(text, work, settings, recipe)
    run = data.with_name("bleu")  # beside the data, which a later call finds again
    sets = [*text.settings, *settings]
    seconds, ended = train_for(60 * minutes, recipe, sets, data, run, threads)
    reached, _ = reached_by(recipe, run, seconds, text, threads)
    return reached, ended


def train_for(
    seconds: float, recipe: str, settings: Sequence[str], data: Path, run: Path, threads: int
) -> tuple[float, bool]:
    """Trains a recipe for a time.

    Args:
        seconds: How long.
        recipe: A packaged recipe's name, or a file.
        settings: What is set in it.
        data: The prepared corpus.
        run: The run's folder; one that is there goes.
        threads: Processor threads.

    Returns:
        Seconds, and whether its learning rate came to its end.
    """
    say(f"{run.name}: training for {seconds / 60:g} min, see {run}.log ...")
    return Timed(
        training_command(recipe, settings, data, run, threads), run, seconds, threads
    ).train()


def training_command(
    recipe: str, settings: Sequence[str], data: Path | None, run: Path, threads: int
) -> list[str]:
    """The words that train a recipe.

    Args:
        recipe: A packaged recipe's name, or a file.
        settings: What is set in it.
        data: The prepared corpus; None: there is none.
        run: The run's folder.
        threads: Processor threads.

    Returns:
        The command.
    """
    command = [sys.executable, "-m", "seq2seq", "train", recipe, *options(settings)]
    prepared = [] if data is None else ["--data", str(data)]
    return [*command, *prepared, "-o", str(run), "--threads", str(threads)]


def reached_by(
    name: str, run: Path, seconds: float, text: Text, threads: int
) -> tuple[Reached, list[str]]:
    """Translates the validation set with what a run has reached.

    Args:
        name: What tables call it.
        run: The run's folder.
        seconds: How long it was trained.
        text: Whose validation set.
        threads: Processor threads.

    Returns:
        What it has reached, and its translations.

    Raises:
        WorkerError: If it has no weights yet.
    """
    from seq2seq.inference.translator import Translator

    if not (run / CARD).exists():
        raise WorkerError(f"{name}: no validation was reached within {seconds / 60:g} min")
    sources, references = text.val.lines()
    found = Translator.load(run, threads=threads).translate(sources, beam=BEAM)
    last = [record for record in records(run) if "epoch" in record][-1]
    reached = bleu(found, references), seconds / 60, last["update"], last["epoch"]
    return Reached(name, *reached), found


def fairseqs(
    fairseq: Fairseq, text: Text, tokenizer: Path, minutes: float, threads: int, more: str
) -> Reached:
    """Trains fairseq's LSTM for a time, and translates the validation set.

    Of its best checkpoint by validation loss and the mean of its last ones the better counts.

    Args:
        fairseq: It, with its data made.
        text: What it is trained on.
        tokenizer: What its pieces are made by.
        minutes: How long.
        threads: Processor threads.
        more: Further options of fairseq-train.

    Returns:
        What it reached.
    """
    from sentencepiece import SentencePieceProcessor

    say(f"fairseq: training for {minutes:g} min, see {fairseq.log} ...")
    seconds, updates, epochs = fairseq.train(60 * minutes, threads, more)
    processor = SentencePieceProcessor(model_file=str(tokenizer))
    sources, references = text.val.lines()
    scores = {}
    for name, checkpoint in fairseq.candidates().items():
        rows = fairseq.pieces(checkpoint, len(sources), BEAM, threads)
        scores[name] = bleu([processor.decode(row) for row in rows], references)
        say(f"fairseq, {name}: BLEU {scores[name]:.2f}")
    best = max(scores, key=lambda name: scores[name])
    name = f"fairseq 0.12.2, LSTM, {best}"
    return Reached(name, scores[best], seconds / 60, updates, epochs)
