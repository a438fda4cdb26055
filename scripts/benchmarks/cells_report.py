"""The tables of ``scripts/bench cells``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from benchmarks.bleu import Reached
from benchmarks.cells import BEAM, SENTENCES, Figures, Row
from benchmarks.figures import Spread, table


def report(figures: Figures, facts: dict[str, str]) -> str:
    """All tables as Markdown.

    Args:
        figures: What was measured.
        facts: Of the machine.

    Returns:
        The text.
    """
    head = ["cell, model", "parameters", "training, target tokens/s", "decoding, tokens/s"]
    timed = any(row.timed for row in figures.rows)
    passed = any(row.passed for row in figures.rows)
    head += ["BLEU after the time", "epochs in it"] if timed else []
    head += ["BLEU after the epochs"] if passed else []
    parts = [
        "; ".join(f"{name} {value}" for name, value in facts.items()) + ".",
        f"Medians of {figures.turns} turns of {figures.updates} updates (lowest–highest) after "
        f"one of warm-up, rows taking turns. Decoding: ONNX Runtime, float32, {SENTENCES} "
        f"sentences, a beam of {BEAM}, a token for each sentence and step, without the search.",
        table(head, [_row(row, timed=timed, passed=passed) for row in figures.rows]),
    ]
    if figures.lengths:
        low, high = figures.lengths
        parts += [
            "BLEU on the validation set by the words of the source"
            + (", after the epochs:" if passed else ", after the time:"),
            table(
                ["cell, model", f"up to {low}", f"up to {high}", "more"],
                [[_name(row), *_by_length(row)] for row in figures.rows if row.by_length],
            ),
        ]
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


def _name(row: Row) -> str:
    return f"{row.cell}, {row.model}"


def _by_length(row: Row) -> list[str]:
    return [Spread.of(seeds).text(2) for seeds in zip(*row.by_length, strict=True)]


def _row(row: Row, *, timed: bool, passed: bool) -> list[str]:
    speeds = [Spread.of(one).text() for one in (row.training, row.decoding)]
    found = [_name(row), f"{row.parameters:,}", *speeds]
    if timed:
        found += [_bleu(row.timed), f"{row.timed[0].epochs:.1f}" if row.timed else "–"]
    return [*found, _bleu(row.passed)] if passed else found


def _bleu(every: list[Reached]) -> str:
    return Spread.of(one.bleu for one in every).text(2) if every else "–"
