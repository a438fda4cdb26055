"""The tables of ``scripts/bench train``."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from benchmarks.bleu import Reached
from benchmarks.costs import Corpus, Cost
from benchmarks.figures import Spread, paired_ratio, table
from benchmarks.gpu import OnGpu
from benchmarks.growth_report import (
    bleu_table,
    cost_tables,
    gpu_table,
    memory_table,
    together_table,
)
from benchmarks.many import Memory
from benchmarks.together import Together
from benchmarks.training import Cell

# What is asked for: as a multiple of fairseq's speed, and as shares and seconds.
FAIRSEQ_AIM = 2.3
FEEDING_AIM = 1.0
FLOPS_AIM = 0.75


@dataclass
class Figures:
    """All that ``scripts/bench train`` has measured.

    Attributes:
        cells: The speeds.
        turns: How many turns counted.
        updates: Updates of a turn.
        fairseq: The peer's target tokens a second in each turn.
        loop: Shares of the time that is not forward, backward and update, by run: what is saved
            where the same batches lie ready.
        sampled: The same, splits being drawn anew for each update.
        between: Shares of the time between the calls that learn, by run.
        validation: Seconds of a validation, by run.
        lines: How many lines it translated.
        prepare: Pairs a second of ``prepare``, by run.
        bare: Pairs a second of the bare tokenizer in the same runs.
        bleu: What was reached in a given time.
        memory: What preparing and training hold.
        costs: What networks cost.
        corpora: What corpora cost.
        gpu: What a GPU makes of it.
        together: What several processes make of it.
        beside: The peer's target tokens a second in the same turns.
        problems: What could not be measured, and why.
    """

    cells: list[Cell]
    turns: int
    updates: int
    fairseq: list[float] = field(default_factory=list)
    loop: list[float] = field(default_factory=list)
    sampled: list[float] = field(default_factory=list)
    between: list[float] = field(default_factory=list)
    validation: list[float] = field(default_factory=list)
    lines: int = 0
    prepare: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    bleu: list[Reached] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    corpora: list[Corpus] = field(default_factory=list)
    gpu: list[OnGpu] = field(default_factory=list)
    together: list[Together] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def report(figures: Figures, facts: dict[str, str]) -> str:
    """All tables as Markdown.

    Args:
        figures: What was measured.
        facts: Of the machine.

    Returns:
        The text.
    """
    head = ["", "target tokens/s", "model FLOP/s, share of a bare product's"]
    with_peer = bool(figures.fairseq)
    rows = [_speed_row(cell, figures) for cell in figures.cells if cell.speed]
    if with_peer:
        head.append("times fairseq's")
        rows.append(["fairseq 0.12.2, LSTM", Spread.of(figures.fairseq).text(), "–", "1"])
    parts = [
        "; ".join(f"{name} {value}" for name, value in facts.items()) + ".",
    ]
    if rows:
        told = f"Medians of {figures.turns} turns of {figures.updates} updates (lowest–highest)"
        parts += [
            f"{told}, rows taking turns after one turn of warm-up; batches of 4,096 padded tokens; "
            "tokens are real pieces and ends of sentence.",
            table(head, rows),
        ]
    rest = [*_share_rows(figures), *_prepare_rows(figures)]
    if rest:
        parts.append(table(["", "measured", "aim"], rest))
    parts += bleu_table(figures.bleu) + memory_table(figures.memory)
    parts += cost_tables(figures.costs, figures.corpora) + gpu_table(figures.gpu)
    parts += together_table(figures.together, figures.beside)
    parts += [f"Not measured: {problem}" for problem in figures.problems]
    return "\n\n".join(parts) + "\n"


def as_json(figures: Figures, facts: dict[str, str]) -> dict[str, Any]:
    """All figures of all turns.

    Args:
        figures: What was measured.
        facts: Of the machine.

    Returns:
        What the JSON file holds.
    """
    return {"machine": facts, **asdict(figures)}


def _speed_row(cell: Cell, figures: Figures) -> list[str]:
    share = f"{Spread.of(cell.share).text(2)}"
    row = [cell.name, Spread.of(cell.speed).text(), f"{share}, aim {FLOPS_AIM:g}"]
    if figures.fairseq:
        ratio = paired_ratio(cell.speed, figures.fairseq).text(2)
        aim = FEEDING_AIM if "feeding" in cell.name else FAIRSEQ_AIM
        row.append(f"{ratio}, aim {aim:g}")
    return row


def _share_rows(figures: Figures) -> list[list[str]]:
    rows = []
    for name, shares, aim in (
        ("outside forward, backward, update, %", figures.loop, "3"),
        ("the same with subword sampling, %", figures.sampled, "3"),
        ("of it between their calls, %", figures.between, "–"),
    ):
        if shares:
            rows.append([name, Spread.of(100 * share for share in shares).text(1), aim])
    if figures.validation:
        name = f"validation, BLEU of {figures.lines:,} lines, s"
        rows.append([name, Spread.of(figures.validation).text(1), "10"])
    return rows


def _prepare_rows(figures: Figures) -> list[list[str]]:
    if not figures.prepare:
        return []
    ratio = paired_ratio(figures.prepare, figures.bare).text(2)
    return [
        ["prepare, pairs/s", Spread.of(figures.prepare).text(), "–"],
        ["bare SentencePiece, pairs/s", Spread.of(figures.bare).text(), "–"],
        ["prepare as a share of it", ratio, "0.7"],
    ]
