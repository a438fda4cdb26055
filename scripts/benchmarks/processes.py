"""The processes that are measured: asked and answered one JSON line at a time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NoReturn

from seq2seq.errors import Seq2SeqError


class ToolError(Seq2SeqError):
    """What another program has done wrong; the message ends with the last lines of its log."""

    def _text(self) -> str:
        return Exception.__str__(self)


class WorkerError(ToolError):
    """A tool that could not be started, or broke down."""


_GPUS = "CUDA_VISIBLE_DEVICES"
_SEEN_AT_THE_START = os.environ.get(_GPUS)


def hide_gpus() -> None:
    """Keeps this process and those that it starts off the GPUs; torch is not to be used before."""
    os.environ[_GPUS] = ""


def environment(threads: int, *, gpu: bool = False) -> dict[str, str]:
    """The environment of a process that is to use so many threads.

    Args:
        threads: How many.
        gpu: Whether it sees the GPUs that this one was started with.

    Returns:
        The variables.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    quiet = {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", _GPUS: ""}
    found = {**os.environ, **quiet, **dict.fromkeys(names, str(threads))}
    if gpu and _SEEN_AT_THE_START is None:
        del found[_GPUS]
    elif gpu:
        found[_GPUS] = str(_SEEN_AT_THE_START)
    return found


def handle_signals() -> None:
    """Lets SIGTERM and Ctrl-C unwind this program, so that the processes it has started end too.

    A shell starts background jobs with SIGINT ignored, and what they start would inherit that: it
    is how trainings are told to save.
    """
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


class Worker:
    """A tool's process, its model loaded.

    Args:
        command: Starts one of ``workers/``.
        threads: How many threads it gets; the last of its arguments.
        log: Where its standard error goes.
        gpu: Whether it may use a GPU.

    Raises:
        WorkerError: If it does not come up.
    """

    def __init__(
        self, command: Sequence[str], threads: int, log: Path, *, gpu: bool = False
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        begun = time.perf_counter()
        with log.open("w", encoding="utf-8") as file:
            self.process = subprocess.Popen(
                [*command, str(threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=environment(threads, gpu=gpu),
                encoding="utf-8",
                start_new_session=True,  # Ctrl-C is this program's to handle
            )
        try:
            self._answer()
        except BaseException:
            self.close()
            raise
        self.load_seconds = time.perf_counter() - begun

    def ask(self, ask: str, **question: Any) -> dict[str, Any]:
        """Asks, and waits for the answer.

        Args:
            ask: What for.
            **question: What it needs to know.

        Returns:
            The answer.

        Raises:
            WorkerError: If there is none.
        """
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # no answer will come, and that tells why
            self.process.stdin.write(json.dumps({"ask": ask, **question}) + "\n")
            self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
            said = [line for line in lines if line.strip()]
            raise WorkerError(f"{said[-1] if said else 'it said nothing'} (see {self.log})")
        found: dict[str, Any] = json.loads(line)
        return found

    def close(self) -> None:
        """Ends the process."""
        if self.process.poll() is None:
            self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self.process.wait()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def first_answer(command: Sequence[str], line: str, threads: int) -> float:
    """Times a command line from its start to its first line of output.

    Args:
        command: Reads lines from standard input.
        line: The line that it is given.
        threads: How many threads it may use.

    Returns:
        Seconds.

    Raises:
        WorkerError: If it gives no answer.
    """
    begun = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(threads),
        encoding="utf-8",
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line + "\n")
        process.stdin.close()
        answer = process.stdout.readline()
        seconds = time.perf_counter() - begun
        assert process.stderr is not None
        said = process.stderr.read().strip()
    if not answer or process.returncode:
        raise WorkerError(said.split("\n")[-1] or "no answer")
    return seconds


def run(command: Sequence[str]) -> None:
    """Runs one of the project's own commands, shown to the user.

    Args:
        command: The words after ``seq2seq``.

    Raises:
        WorkerError: If it fails; it has said why.
    """
    print(f"$ seq2seq {' '.join(command)}", file=sys.stderr, flush=True)
    done = subprocess.run([sys.executable, "-m", "seq2seq", *command], check=False)
    if done.returncode:
        raise WorkerError(f"seq2seq {command[0]} failed, see above")
