"""``scripts/bench train``: how fast training is, and what it costs besides."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import bleu, costs, gpu, many, together, training, upkeep
from benchmarks.fairseq import Fairseq
from benchmarks.model import Ours
from benchmarks.peers import WORKERS, PeerError, say
from benchmarks.processes import Worker, WorkerError
from benchmarks.text import Text
from benchmarks.train_report import Figures
from seq2seq.training.precision import bound_primitive_cache

FEW = 30_000  # pairs
COST_UPDATES = 5  # of a turn: seconds suffice to see a factor


@dataclass(frozen=True)
class Extent:
    """How far the parts go that are measured on request.

    Attributes:
        minutes: Of training, for BLEU.
        recipe: What is trained for it, by its name or file.
        tools: Of "ours" and "fairseq", for it.
        fairseq: Further options of fairseq-train, for it.
        many: Pairs that memory is measured with, beside few.
        held_updates: Updates of the trainings whose memory is measured.
        corpora: The sizes whose cost is measured.
    """

    minutes: float = 24
    recipe: str = "multi30k_en_de_attention"
    tools: tuple[str, ...] = ("ours", "fairseq")
    fairseq: str = ""
    many: int = 1_000_000
    held_updates: int = 40
    corpora: tuple[int, ...] = costs.CORPORA


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        text: The text.
        data: Prepared from it.
        model: Trains or finds the model that validation is timed with.
        work: The benchmark's folder.
        parts: Some of "speed", "loop", "validation", "prepare", "bleu", "memory", "costs", "gpu",
            "processes".
        threads: Processor threads.
        turns: Turns that count.
        updates: Updates of a turn.
        pairs: How many pairs are prepared.
        settings: What is set in the recipe.
        extent: Of the parts that are measured on request.
    """

    text: Text
    data: Path
    model: Callable[[], Ours]
    work: Path
    parts: tuple[str, ...]
    threads: int
    turns: int
    updates: int
    pairs: int
    settings: tuple[str, ...] = ()
    extent: Extent = Extent()

    @property
    def tokenizer(self) -> Path:
        """What the text's pieces are made by."""
        return self.data / "tokenizer.model"


def measure(plan: Plan, peers: Path | None) -> Figures:
    """Measures all that the plan names.

    Args:
        plan: What.
        peers: The peers' folder; None: without them.

    Returns:
        The figures.
    """
    bound_primitive_cache()
    torch.set_num_threads(plan.threads)
    figures = Figures(training.cells(), plan.turns, plan.updates)
    fairseq = None
    if peers is not None and {"speed", "bleu", "processes"} & set(plan.parts):
        try:
            fairseq = Fairseq.ready(plan.text, plan.tokenizer, peers)
        except PeerError as problem:
            _leave_out(figures, str(problem))
    if "speed" in plan.parts:
        _speed(plan, figures, fairseq)
    if rest := [part for part in plan.parts if part in ("loop", "validation", "prepare")]:
        with ExitStack() as stack:
            loops = [stack.enter_context(worker) for worker in _loops(plan)]
            for run in range(plan.turns):
                say(f"the rest, run {run + 1} of {plan.turns}: {', '.join(rest)}")
                _rest(plan, figures, loops, run)
    _on_request(plan, figures, fairseq)
    return figures


def _on_request(plan: Plan, figures: Figures, fairseq: Fairseq | None) -> None:
    """Each of these parts may fail alone."""
    parts: dict[str, Callable[[], None]] = {
        "memory": lambda: _memory(plan, figures),
        "costs": lambda: _costs(plan, figures),
        "gpu": lambda: _gpu(plan, figures),
        "processes": lambda: _processes(plan, figures, fairseq),
        "bleu of ours": lambda: _bleu(plan, figures),
        "bleu of fairseq": lambda: _fairseqs_bleu(plan, figures, fairseq),
    }
    wanted = {*plan.parts, *(f"bleu of {tool}" for tool in plan.extent.tools)}
    for name, part in parts.items():
        if name not in wanted or name.split()[0] not in plan.parts:
            continue
        try:
            part()
        except (PeerError, WorkerError) as problem:
            _leave_out(figures, f"{name}: {problem}")


def _memory(plan: Plan, figures: Figures) -> None:
    work, extent = plan.work / "many", plan.extent
    sizes = (FEW, extent.many)
    figures.memory.extend(
        many.memory(plan.text, plan.tokenizer, work, sizes, extent.held_updates, plan.threads)
    )


def _costs(plan: Plan, figures: Figures) -> None:
    figures.costs = costs.costs(costs.precisions())
    log = plan.work / "logs" / "costs.log"
    updates = min(plan.updates, COST_UPDATES)
    for told in costs.measure(
        figures.costs, plan.data, plan.turns, updates, plan.threads, log, plan.settings
    ):
        say(f"costs, {told}")
    sizes = plan.extent.corpora
    work = plan.work / "many"
    figures.corpora.extend(costs.corpora(plan.text, plan.tokenizer, work, sizes, plan.threads))


def _gpu(plan: Plan, figures: Figures) -> None:
    figures.gpu = gpu.rows()
    log = plan.work / "logs" / "gpu.log"
    for told in gpu.measure(
        figures.gpu, plan.data, plan.turns, plan.updates, plan.threads, log, plan.settings
    ):
        say(f"gpu, {told}")


def _processes(plan: Plan, figures: Figures, fairseq: Fairseq | None) -> None:
    found = figures.together = together.rows(costs.precisions(), plan.threads)
    for turn in together.measure(
        found, plan.text, plan.data, plan.turns, plan.updates, plan.work, plan.settings
    ):
        say(f"processes, turn {turn} of {plan.turns}")
        if fairseq is not None:
            speed = fairseq.turn(plan.updates, training.BATCH_TOKENS, plan.threads)
            figures.beside.append(speed)


def _bleu(plan: Plan, figures: Figures) -> None:
    extent = plan.extent
    reached, ended = bleu.ours(
        plan.text, extent.recipe, plan.settings, extent.minutes, plan.threads, plan.work
    )
    figures.bleu.append(reached)
    if not ended:
        _leave_out(figures, f"{extent.recipe}: the end of its learning rate, which came too late")


def _fairseqs_bleu(plan: Plan, figures: Figures, fairseq: Fairseq | None) -> None:
    if fairseq is None:
        raise PeerError("it is a peer: give --peers")
    extent, minutes = plan.extent, plan.extent.minutes
    figures.bleu.append(
        bleu.fairseqs(fairseq, plan.text, plan.tokenizer, minutes, plan.threads, extent.fairseq)
    )


def _loops(plan: Plan) -> Iterator[Worker]:
    """Without subword sampling, and with it; this process has trained much, they have not."""
    if "loop" not in plan.parts:
        return
    updates = max(plan.updates, 20)  # the share is small: few updates would not show it
    settings = [f"training.batch_tokens={training.BATCH_TOKENS}", "model.decoder.feeding=none"]
    sampling = [*settings, "tokenizer.sampling={alpha=0.3}"]
    command = [sys.executable, str(WORKERS / "real_loop.py"), str(plan.data), str(updates)]
    gpu = torch.cuda.is_available()  # not where GPUs are hidden from this process
    for name, more in (("loop", settings), ("sampled", sampling)):
        log = plan.work / "logs" / f"{name}.log"
        yield Worker([*command, json.dumps(more)], plan.threads, log, gpu=gpu)


def _speed(plan: Plan, figures: Figures, fairseq: Fairseq | None) -> None:
    for turn in training.measure(figures.cells, plan.data, plan.turns, plan.updates):
        say(f"speed, turn {turn} of {plan.turns}" if turn else "speed, warm-up")
        if turn == 0 or fairseq is None:
            continue
        try:
            speed = fairseq.turn(plan.updates, training.BATCH_TOKENS, plan.threads)
            figures.fairseq.append(speed)
        except PeerError as problem:
            _leave_out(figures, str(problem))
            figures.fairseq.clear()  # ratios are taken turn by turn
            fairseq = None


def _rest(plan: Plan, figures: Figures, loops: Sequence[Worker], run: int) -> None:
    for loop, shares in zip(loops, (figures.loop, figures.sampled), strict=False):
        found = loop.ask("turn", ready_first=run % 2 == 1)
        shares.append(found["share"])
        if shares is figures.loop:
            figures.between.append(found["between"])
    if "validation" in plan.parts:
        seconds, figures.lines = upkeep.validation_seconds(plan.model(), plan.data, 1000)
        figures.validation.append(seconds)
    if "prepare" in plan.parts:
        work, text = plan.work / "prepare", plan.text
        ours, bare = upkeep.prepare_speeds(text, plan.tokenizer, work, plan.pairs, plan.threads)
        figures.prepare.append(ours)
        figures.bare.append(bare)


def _leave_out(figures: Figures, problem: str) -> None:
    figures.problems.append(problem)
    say(f"left out: {problem}")
