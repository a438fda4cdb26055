"""``scripts/bench translate``: how fast each engine translates, and the peers beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.figures import Spread, count_tokens
from benchmarks.model import Ours
from benchmarks.peers import WORKERS, Trained, say
from benchmarks.processes import Worker, WorkerError, first_answer
from seq2seq.metrics import bleu
from seq2seq.text.tokenizer import Tokenizer

ENGINES = {
    "onnx-int8": ("onnx", "int8"),
    "onnx-float32": ("onnx", "float32"),
    "torch": ("torch", "float32"),
}
"""What may be measured of ours: the engine and its type."""

CELLS = ((64, 1), (64, 5), (1, 1), (1, 5))
"""Batch and beam of each measurement."""

SEARCHES = 3
"""In so many runs the search's own share is measured; it takes three times the translating."""

Cell = tuple[int, int]


@dataclass
class Tool:
    """Something that translates, and what was measured of it, run by run.

    Attributes:
        name: What tables call it.
        command: Starts its worker.
        pieces: It takes and gives pieces instead of text.
        cli: Its command line, that reads standard input; None: the worker stands for it.
        peer: It is not ours.
        problem: Why it is not measured.
        load: Seconds from process start until the model is there.
        first: Seconds from process start to the first translation.
        mib: Its peak memory.
        speed: Output tokens a second.
        step: Microseconds of a bare step.
        overhead: The share of the time that is not the engine's.
        texts: Its translations.
        bleu: Their scores, by beam.
    """

    name: str
    command: tuple[str, ...]
    pieces: bool = False
    cli: tuple[str, ...] | None = None
    peer: bool = False
    problem: str | None = None
    load: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    mib: float | None = None
    speed: dict[Cell, list[float]] = field(default_factory=dict)
    step: dict[Cell, list[float]] = field(default_factory=dict)
    overhead: dict[Cell, list[float]] = field(default_factory=dict)
    texts: dict[Cell, list[str]] = field(default_factory=dict)
    bleu: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        sources: The lines to translate.
        references: Their references.
        tokenizer: Counts tokens, and splits for tools that need it.
        threads: Threads of each tool.
        runs: How often all is repeated.
        single: How many lines are translated one by one.
        logs: Where the tools' standard error goes.
    """

    sources: list[str]
    references: list[str]
    tokenizer: Tokenizer
    threads: int
    runs: int
    single: int
    logs: Path

    def join(self, rows: Sequence[Sequence[str]]) -> list[str]:
        """Makes text of pieces.

        Args:
            rows: Each text's pieces.

        Returns:
            The texts.
        """
        from sentencepiece import SentencePieceProcessor

        joiner = SentencePieceProcessor(model_proto=self.tokenizer.proto)
        return [joiner.decode(list(row)) for row in rows]

    def lines(self, batch: int) -> list[str]:
        """What is translated with a batch size.

        Args:
            batch: Its size.

        Returns:
            The lines.
        """
        return self.sources[: self.single] if batch == 1 else self.sources


def tools_of(ours: Ours, engines: Iterable[str], trained: Iterable[Trained]) -> list[Tool]:
    """Names all that is to be measured.

    Args:
        ours: Our model.
        engines: Of ``ENGINES``.
        trained: The peers.

    Returns:
        The tools.
    """
    found = []
    for name in engines:
        engine, precision = ENGINES[name]
        model = str(ours.exported if engine == "onnx" else ours.run)
        command = (sys.executable, str(WORKERS / "ours.py"), model, engine, precision)
        options = ["--precision", precision] if engine == "onnx" else []
        cli = (sys.executable, "-m", "seq2seq", "translate", model, "--engine", engine, *options)
        found.append(Tool(f"seq2seq {name}", command, cli=cli))
    for peer in trained:
        split = peer.name.startswith("OpenNMT")
        found.append(Tool(peer.name, peer.command, pieces=split, peer=True))
    return found


def set_up_peers(make: Callable[[str], Trained], names: Iterable[str]) -> list[Trained]:
    """Sets the peers up; one that cannot be is left out, with the reason.

    Args:
        make: Sets one up.
        names: Which.

    Returns:
        Those that work.
    """
    found = []
    for name in names:
        try:
            found.append(make(name))
        except peers.PeerError as problem:
            say(f"left out: {problem}")
    return found


def measure(tools: Sequence[Tool], plan: Plan) -> None:
    """Measures all tools, taking turns, so that a machine that drifts drifts for all.

    Args:
        tools: What is measured; the figures go into it.
        plan: How.
    """
    for number in range(plan.runs):
        say(f"starting up, run {number + 1} of {plan.runs}")
        for tool in _turn(_alive(tools), number):
            with _guarded(tool):
                _start_up(tool, plan)
    with ExitStack() as stack:
        workers: dict[str, Worker] = {}
        for tool in _alive(tools):
            with _guarded(tool):
                worker = Worker(tool.command, plan.threads, _log(tool, plan))
                workers[tool.name] = stack.enter_context(worker)
                for beam in (1, 5):  # what only the first call costs is paid here
                    _translate(tool, worker, plan, plan.sources[:8], (8, beam))
        for number in range(plan.runs):
            for cell in CELLS:
                say(f"run {number + 1} of {plan.runs}: batch {cell[0]}, beam {cell[1]}")
                for tool in _turn(_alive(tools), number):
                    with _guarded(tool):
                        _cell(tool, workers[tool.name], plan, cell)
        for tool in _alive(tools):
            tool.mib = workers[tool.name].ask("memory")["mib"]
    for tool in _alive(tools):
        for beam in (1, 5):
            tool.bleu[beam] = bleu(tool.texts[64, beam], plan.references)


def _alive(tools: Iterable[Tool]) -> list[Tool]:
    return [tool for tool in tools if tool.problem is None]


def _turn(tools: list[Tool], number: int) -> list[Tool]:
    """Another tool goes first in each run."""
    first = number % max(1, len(tools))
    return tools[first:] + tools[:first]


@contextmanager
def _guarded(tool: Tool) -> Iterator[None]:
    """What breaks one tool does not end the others' measurement."""
    try:
        yield
    except WorkerError as problem:
        tool.problem = str(problem)
        say(f"left out: {tool.name}: {problem}")


def _log(tool: Tool, plan: Plan) -> Path:
    return plan.logs / f"{tool.name.replace(' ', '-')}.log"


def _start_up(tool: Tool, plan: Plan) -> None:
    line = plan.sources[:1]
    with Worker(tool.command, plan.threads, _log(tool, plan)) as worker:
        tool.load.append(worker.load_seconds)
        seconds, _ = _translate(tool, worker, plan, line, (1, 5))
    if tool.cli is None:
        tool.first.append(tool.load[-1] + seconds)
    else:
        command = [*tool.cli, "--threads", str(plan.threads)]
        tool.first.append(first_answer(command, line[0], plan.threads))


def _cell(tool: Tool, worker: Worker, plan: Plan, cell: Cell) -> None:
    lines = plan.lines(cell[0])
    seconds, texts = _translate(tool, worker, plan, lines, cell)
    tokens = count_tokens(texts, plan.tokenizer.encode)
    tool.speed.setdefault(cell, []).append(tokens / seconds)
    tool.texts[cell] = texts
    if tool.peer:
        return
    question: dict[str, Any] = {"batch": cell[0], "beam": cell[1]}
    step = worker.ask("step", width=16, **question)["seconds"]
    tool.step.setdefault(cell, []).append(1e6 * step)
    if len(tool.overhead.get(cell, [])) == SEARCHES:
        return
    search = worker.ask("search", lines=lines, **question)
    tool.overhead.setdefault(cell, []).append(1 - search["bare"] / search["whole"])


def _translate(
    tool: Tool, worker: Worker, plan: Plan, lines: Sequence[str], cell: Cell
) -> tuple[float, list[str]]:
    given = list(lines)
    if tool.pieces:
        rows = plan.tokenizer.encode(given)
        given = [" ".join(plan.tokenizer.pieces(row)) for row in rows]
    answer = worker.ask("translate", lines=given, batch=cell[0], beam=cell[1])
    texts: list[str] = answer["texts"]
    if len(texts) != len(lines):
        raise WorkerError(f"{len(texts)} translations of {len(lines)} lines")
    if tool.pieces:
        texts = plan.join([text.split(" ") for text in texts])
    return answer["seconds"], texts


def spreads(values: dict[Cell, list[float]]) -> dict[Cell, Spread]:
    """Sums up the runs.

    Args:
        values: Figures of each run.

    Returns:
        Their spreads.
    """
    return {cell: Spread.of(found) for cell, found in values.items()}
