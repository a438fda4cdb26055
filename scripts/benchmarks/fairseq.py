"""fairseq 0.12.2, the peer of training: its speed is read from its log."""

from __future__ import annotations

import json
import re
import shutil
import statistics
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import write_text
from benchmarks.peers import FAIRSEQ, PeerError, tail
from benchmarks.processes import environment
from benchmarks.text import Text, digest, write_pieces
from seq2seq.text.tokenizer import Tokenizer

LOG_EVERY = 2  # updates
WARM_UP = 3  # records of the log

_OPTIONS = """--cpu -s source -t target --arch lstm
 --encoder-embed-dim 256 --encoder-hidden-size 256 --encoder-bidirectional --encoder-layers 1
 --decoder-embed-dim 256 --decoder-out-embed-dim 256 --decoder-hidden-size 512 --decoder-layers 1
 --decoder-attention True --share-all-embeddings --dropout 0.3
 --criterion label_smoothed_cross_entropy --label-smoothing 0.1
 --optimizer adam --lr 0.001 --clip-norm 1.0 --seed 1 --num-workers 0
 --no-progress-bar --log-format json"""
_SPEED_ONLY = "--no-save --disable-validation"
_BATCH_TOKENS = 4096
_LAST = 5  # checkpoints, one an epoch, whose weights are averaged
_MEAN = Path(__file__).parent / "workers" / "fairseq_mean.py"


@dataclass(frozen=True)
class Fairseq:
    """fairseq, installed and with its data made.

    Attributes:
        bin: Where its programs lie.
        data: Its data.
        log: Where its output goes.
    """

    bin: Path
    data: Path
    log: Path

    @classmethod
    def ready(cls, text: Text, tokenizer: Path, folder: Path) -> Fairseq:
        """Sets it up, unless it is.

        Args:
            text: What it is trained on.
            tokenizer: The joint SentencePiece model.
            folder: The peers' folder.

        Returns:
            It.

        Raises:
            PeerError: If it cannot be installed.
        """
        folder = folder.resolve()
        python = FAIRSEQ.make(folder)
        contents = [path.read_bytes() for path in (tokenizer, text.train.source, text.train.target)]
        run = folder / f"fairseq-{digest(*contents)}"
        made = cls(python.parent, run / "data", run / "log")
        if not (run / "data-made").exists():
            write_pieces(text, Tokenizer.load(tokenizer), run / "pieces")
            pieces = (run / "pieces" / "vocab").read_text(encoding="utf-8").split("\n")[:-1]
            write_text(run / "pieces" / "dict", "".join(f"{piece} 1\n" for piece in pieces))
            prefixes = [f"--{name}pref {run}/pieces/{split}" for name, split in _PREFIXES]
            words = f"--srcdict {run}/pieces/dict --joined-dictionary --destdir {made.data}"
            made.call("fairseq-preprocess", f"-s source -t target {words} {' '.join(prefixes)}", 2)
            (run / "data-made").touch()
        return made

    def call(self, program: str, options: str, threads: int) -> str:
        """Runs one of its programs.

        Args:
            program: Its name.
            options: Its words.
            threads: Processor threads.

        Returns:
            What it said.

        Raises:
            PeerError: If it fails.
        """
        # Without the variable it cannot load what it has saved itself.
        variables = {**environment(threads), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}
        command = [str(self.bin / program), *options.split()]
        with self.log.open("w", encoding="utf-8") as file:
            done = subprocess.run(
                command,
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
                env=variables,
                check=False,
            )
        if done.returncode:
            raise PeerError(f"{program} failed:\n{tail(self.log)}")
        return self.log.read_text(encoding="utf-8", errors="replace")

    def turn(self, updates: int, batch_tokens: int, threads: int) -> float:
        """Trains anew for some updates.

        Args:
            updates: How many count.
            batch_tokens: Padded tokens a batch.
            threads: Processor threads.

        Returns:
            Target tokens a second, the median of the log's records after the warm-up.

        Raises:
            PeerError: If it fails.
        """
        most = updates + LOG_EVERY * WARM_UP
        options = f"{_OPTIONS} {_SPEED_ONLY} --max-tokens {batch_tokens} --max-update {most}"
        said = self.call(
            "fairseq-train", f"{self.data} {options} --log-interval {LOG_EVERY}", threads
        )
        return statistics.median(speeds(said.splitlines())[WARM_UP:])

    def train(self, seconds: float, threads: int, more: str = "") -> tuple[float, int, float]:
        """Trains anew for a time, validating and saving after every epoch and at the end.

        Args:
            seconds: How long, by its own clock, which begins after its start.
            threads: Processor threads.
            more: Further options; they count where they contradict ours.

        Returns:
            Seconds by that clock, without the last validation, updates and epochs.

        Raises:
            PeerError: If it fails.
        """
        shutil.rmtree(self.saved, ignore_errors=True)
        options = f"{_OPTIONS} --max-tokens {_BATCH_TOKENS} --stop-time-hours {seconds / 3600}"
        saving = f"--save-dir {self.saved} --keep-last-epochs {_LAST} --log-interval 10"
        said = self.call("fairseq-train", f"{self.data} {options} {saving} {more}", threads)
        last = records(said.splitlines())[-1:]
        if not last or not (self.saved / "checkpoint_best.pt").exists():
            raise PeerError(
                f"fairseq made fewer than 10 updates, or saved nothing, in {seconds:g} s"
            )
        passed = re.search(r"cumulative_training_time: ([\d.]+) >", said)
        spent = 3600 * float(passed[1]) if passed else float(last[0]["wall"])
        return spent, int(last[0]["num_updates"]), float(last[0]["update"])

    @property
    def saved(self) -> Path:
        """Where its checkpoints go."""
        return self.log.with_name("checkpoints")

    def candidates(self) -> dict[str, Path]:
        """The weights that a user would try after training.

        Returns:
            The best by validation loss, and the mean of the last epochs'; there is none of one.

        Raises:
            PeerError: If they cannot be averaged.
        """
        found = {"best checkpoint": self.saved / "checkpoint_best.pt"}
        epochs = sorted(
            self.saved.glob("checkpoint[0-9]*.pt"), key=lambda path: path.stat().st_mtime
        )
        if len(epochs) > 1:
            mean = self.saved / "mean.pt"
            self.call("python", " ".join(map(str, (_MEAN, mean, *epochs))), 1)
            found[f"mean of {len(epochs)} epochs"] = mean
        return found

    def pieces(self, checkpoint: Path, lines: int, beam: int, threads: int) -> list[list[str]]:
        """Translates the validation set.

        Args:
            checkpoint: The weights.
            lines: How many lines the set has.
            beam: The beam's width.
            threads: Processor threads.

        Returns:
            The pieces of each line.

        Raises:
            PeerError: If it fails, or does not translate every line.
        """
        options = f"-s source -t target --gen-subset valid --path {checkpoint} --beam {beam}"
        said = self.call(
            "fairseq-generate", f"{self.data} {options} --cpu --batch-size 64", threads
        )
        return hypotheses(said, lines)


_PREFIXES = (("train", "train"), ("valid", "val"))


def speeds(log: Iterable[str]) -> list[float]:
    """Reads target tokens a second from fairseq's log.

    Args:
        log: Its lines.

    Returns:
        One figure a record of training.

    Raises:
        PeerError: If there are too few records.
    """
    found = [float(record["wps"]) for record in records(log)]
    if len(found) <= WARM_UP:
        raise PeerError(f"fairseq logged {len(found)} records of training: too few")
    return found


def records(log: Iterable[str]) -> list[dict[str, Any]]:
    """Reads the records of training in fairseq's log.

    Args:
        log: Its lines.

    Returns:
        The records.
    """
    found = (re.search(r"train_inner \| (\{.*\})", line) for line in log)
    return [json.loads(one[1]) for one in found if one]


def hypotheses(said: str, lines: int) -> list[list[str]]:
    """Reads translations in what fairseq-generate says.

    Args:
        said: Its output, in whatever order the lines are.
        lines: How many lines were translated.

    Returns:
        The pieces of each line.

    Raises:
        PeerError: If a line is missing.
    """
    found = dict(re.findall(r"^H-(\d+)\t[^\t\n]*\t(.*)$", said, re.MULTILINE))
    if missing := [number for number in range(lines) if str(number) not in found]:
        raise PeerError(f"fairseq did not translate line {missing[0] + 1} of {lines}")
    return [found[str(number)].split() for number in range(lines)]
