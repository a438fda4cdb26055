"""``scripts/bench train``: how fast training is, and what it costs besides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks import training, upkeep
from benchmarks.fairseq import Fairseq
from benchmarks.model import Ours
from benchmarks.peers import PeerError, say
from benchmarks.text import Text
from benchmarks.train_report import Figures
from seq2seq.training.precision import bound_primitive_cache


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        text: The text.
        data: Prepared from it.
        model: Trains or finds the model that validation is timed with.
        work: The benchmark's folder.
        parts: Of "speed", "loop", "validation" and "prepare".
        threads: Processor threads.
        turns: Turns that count.
        updates: Updates of a turn.
        pairs: How many pairs are prepared.
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
    if peers is not None and "speed" in plan.parts:
        try:
            fairseq = Fairseq.ready(plan.text, plan.data / "tokenizer.model", peers)
        except PeerError as problem:
            _leave_out(figures, str(problem))
    if "speed" in plan.parts:
        _speed(plan, figures, fairseq)
    for run in range(plan.turns):
        say(f"the rest, run {run + 1} of {plan.turns}: {', '.join(plan.parts)}")
        _rest(plan, figures)
    return figures


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


def _rest(plan: Plan, figures: Figures) -> None:
    if "loop" in plan.parts:
        settings = [f"training.batch_tokens={training.BATCH_TOKENS}", "model.decoder.feeding=none"]
        updates = max(plan.updates, 20)  # the share is small: few updates would not show it
        share = upkeep.loop_share(plan.data, plan.threads, updates, settings)
        figures.loop.append(share)
    if "validation" in plan.parts:
        seconds, figures.lines = upkeep.validation_seconds(plan.model(), plan.data, 1000)
        figures.validation.append(seconds)
    if "prepare" in plan.parts:
        tokenizer = plan.data / "tokenizer.model"
        work = plan.work / "prepare"
        ours, bare = upkeep.prepare_speeds(plan.text, tokenizer, work, plan.pairs, plan.threads)
        figures.prepare.append(ours)
        figures.bare.append(bare)


def _leave_out(figures: Figures, problem: str) -> None:
    figures.problems.append(problem)
    say(f"left out: {problem}")
