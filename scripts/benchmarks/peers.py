"""The peers: each in an environment of its own, trained at the same sizes for some minutes.

All of it lies in one folder, and what is there is not made again: ``env/NAME`` the environments,
``NAME-DIGEST`` the models of a text.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import configs
from benchmarks.figures import write_json, write_text
from benchmarks.processes import ToolError, environment
from benchmarks.text import Text, digest, write_pieces
from seq2seq.text.tokenizer import Tokenizer

WORKERS = Path(__file__).parent / "workers"
LOG_TAIL = 15


class PeerError(ToolError):
    """A peer that cannot be set up; the others are measured without it."""


@dataclass(frozen=True)
class Environment:
    """What it takes to run a peer.

    Attributes:
        name: The peer's.
        python: The version of Python that it needs.
        requirements: What pip is given.
        first: What pip is given before, if anything.
    """

    name: str
    python: str
    requirements: tuple[str, ...]
    first: tuple[str, ...] = ()

    def make(self, folder: Path) -> Path:
        """Makes the environment, unless it is there.

        Args:
            folder: The peers' folder.

        Returns:
            Its Python.

        Raises:
            PeerError: If there is no such Python, or pip fails.
        """
        place = folder / "env" / self.name
        python, stamp = place / "bin" / "python", place / "bench-stamp"
        wanted = "\n".join([*self.first, *self.requirements]) + "\n"
        if python.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
            return python
        maker = find_python(self.python)
        say(f"{self.name}: installing {' '.join(self.requirements)} into {place} ...")
        shutil.rmtree(place, ignore_errors=True)
        place.parent.mkdir(parents=True, exist_ok=True)
        log = folder / "env" / f"{self.name}.log"
        steps = [[maker, "-m", "venv", str(place)]]
        for packages in filter(None, (self.first, self.requirements)):
            pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
            steps.append([*pip, *packages])
        with log.open("w", encoding="utf-8") as file:
            for step in steps:
                if subprocess.run(step, stdout=file, stderr=file, check=False).returncode:
                    raise PeerError(f"{self.name}: {' '.join(step)} failed:\n{tail(log)}")
        write_text(stamp, wanted)
        return python


OPENNMT = Environment("opennmt", "3.11", ("OpenNMT-py==3.5.1", "numpy<2"))
JOEYNMT = Environment(
    "joeynmt", "3.11", ("joeynmt==2.3.0", "importlib_metadata", "sentencepiece==0.2.1")
)
FAIRSEQ = Environment("fairseq", "3.10", ("fairseq==0.12.2",), first=("pip==23.0.1",))


@dataclass(frozen=True)
class Trained:
    """A peer that is ready to translate.

    Attributes:
        name: What tables call it.
        command: Starts its worker.
        model: Its model's file.
        minutes: How long it was trained.
    """

    name: str
    command: tuple[str, ...]
    model: Path
    minutes: float


def ready(name: str, text: Text, tokenizer: Path, folder: Path, minutes: float) -> Trained:
    """Sets a peer up and trains it, unless that is done.

    Args:
        name: "opennmt" or "joeynmt".
        text: What it is trained on.
        tokenizer: The SentencePiece model that all share.
        folder: The peers' folder.
        minutes: How long it is trained, if it is not yet.

    Returns:
        The peer.

    Raises:
        PeerError: If it cannot be installed or trained.
    """
    folder = folder.resolve()
    environment, train = _PEERS[name]
    python = environment.make(folder)
    contents = [path.read_bytes() for path in (tokenizer, text.train.source, text.train.target)]
    run = folder / f"{name}-{digest(*contents)}"
    if not (run / "pieces" / "vocab.counts").exists():
        write_pieces(text, Tokenizer.load(tokenizer), run / "pieces")
    shutil.copyfile(tokenizer, run / "tokenizer.model")
    return train(python, run, minutes)


def _opennmt(python: Path, run: Path, minutes: float) -> Trained:
    config, done = run / "config.yaml", run / "trained.json"
    if not done.exists():
        size = len((run / "pieces" / "vocab").read_text(encoding="utf-8").splitlines())
        write_json(config, configs.opennmt(run / "pieces", run, size + 4))  # JSON is YAML
        for old in run.glob("model_step_*.pt"):  # of a training that was stopped
            old.unlink()
        command = [str(python.parent / "onmt_train"), "-config", str(config)]
        train_for(command, minutes, run / "train.log", lambda: _newest(run) is not None)
        write_json(done, {"model": str(_newest(run)), "minutes": minutes})
    return _trained("OpenNMT-py 3.5.1", python, run, "onmt_py.py")


def _newest(run: Path) -> Path | None:
    """The newest checkpoint that is whole: a zip file's directory is written last."""
    found = sorted(run.glob("model_step_*.pt"), key=lambda path: path.stat().st_mtime)
    return next((path for path in reversed(found) if zipfile.is_zipfile(path)), None)


def _joeynmt(python: Path, run: Path, minutes: float) -> Trained:
    config, done = run / "config.yaml", run / "trained.json"
    if not done.exists():
        settings = configs.joeynmt(run / "pieces", run, run / "tokenizer.model")
        write_json(config, settings)
        command = [str(python), "-m", "joeynmt", "train", str(config), "--skip-test"]
        train_for(command, minutes, run / "train.log", lambda: True)
        if not (run / "model" / "latest.ckpt").exists():
            raise PeerError(f"joeynmt: it saved no model:\n{tail(run / 'train.log')}")
        write_json(done, {"model": str(run / "model" / "latest.ckpt"), "minutes": minutes})
    return _trained("JoeyNMT 2.3.0", python, run, "joey.py")


def _trained(name: str, python: Path, run: Path, worker: str) -> Trained:
    done = json.loads((run / "trained.json").read_text(encoding="utf-8"))
    command = (str(python), str(WORKERS / worker), done["model"], str(run / "config.yaml"))
    return Trained(name, command, Path(done["model"]), float(done["minutes"]))


_PEERS: dict[str, tuple[Environment, Callable[[Path, Path, float], Trained]]] = {
    "opennmt": (OPENNMT, _opennmt),
    "joeynmt": (JOEYNMT, _joeynmt),
}


def train_for(
    command: Sequence[str], minutes: float, log: Path, may_stop: Callable[[], bool]
) -> None:
    """Lets a peer train for a while, and stops it as Ctrl-C would.

    Args:
        command: Its training, without an end of its own.
        minutes: How long.
        log: Where its output goes.
        may_stop: Whether there is a model to go on with; past the time that is waited for, up to
            as long again.

    Raises:
        PeerError: If it ends before.
    """
    say(f"{log.parent.name}: training for {minutes:g} min, see {log} ...")
    begun, limit = time.monotonic(), 60 * minutes
    with log.open("w", encoding="utf-8") as file:
        # A session of its own, so that a Ctrl-C here does not reach it twice.
        process = subprocess.Popen(
            command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            while (passed := time.monotonic() - begun) < 2 * limit:
                if process.poll() is not None:
                    raise PeerError(f"{command[0]} ended by itself:\n{tail(log)}")
                if passed >= limit and may_stop():
                    break
                time.sleep(0.5)
        finally:
            stop(process)
    if not may_stop():
        raise PeerError(f"{command[0]} saved no model within {2 * minutes:g} min:\n{tail(log)}")


def stop(process: subprocess.Popen[bytes], patience: float = 60.0) -> None:
    """Ends a process and its children: asks first.

    Args:
        process: The leader of a session of its own.
        patience: Seconds before it is not asked any more.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(patience)
        except subprocess.TimeoutExpired:
            continue


@contextmanager
def running(
    command: Sequence[str], log: Path, threads: int, mode: str = "w"
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a process that reads nothing and writes to a log; it ends with the context.

    Args:
        command: Its words.
        log: Where its output goes.
        threads: Processor threads.
        mode: "a" to write behind what is in the log.

    Yields:
        The process, the leader of a session of its own.
    """
    with log.open(mode, encoding="utf-8") as file:
        process = subprocess.Popen(
            list(command),
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            env=environment(threads),
            start_new_session=True,
        )
        try:
            yield process
        finally:
            stop(process)


def find_python(version: str) -> str:
    """Finds a Python of a version.

    Args:
        version: Such as "3.11".

    Returns:
        Its program.

    Raises:
        PeerError: If there is none.
    """
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in (sys.executable, f"python{version}", *map(str, pyenv)):
        if (program := shutil.which(candidate)) is None:
            continue
        # A pyenv shim may lead nowhere: it is asked, not believed.
        done = subprocess.run([program, "-c", code], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.strip() == version:
            return program
    raise PeerError(
        f"no Python {version} with venv was found, neither python{version} on PATH nor one of "
        "pyenv's: install it (pip cannot)"
    )


def tail(log: Path) -> str:
    """The last lines of a log.

    Args:
        log: Its file.

    Returns:
        The lines, indented.
    """
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"    {line}" for line in lines[-LOG_TAIL:])


def say(line: str) -> None:
    """Tells the user how far it is.

    Args:
        line: What to say.
    """
    print(line, file=sys.stderr, flush=True)
