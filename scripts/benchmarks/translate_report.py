"""The tables of ``scripts/bench translate``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.figures import Spread, paired_ratio, table
from benchmarks.translate import CELLS, Cell, Plan, Tool, spreads

# The least speed that is asked for, as a multiple of OpenNMT-py's.
AIMS: dict[str, dict[Cell, float]] = {
    "seq2seq onnx-float32": {(64, 1): 2.5, (64, 5): 2.0, (1, 1): 7.0, (1, 5): 7.0},
    "seq2seq onnx-int8": {(64, 1): 5.0, (64, 5): 4.0, (1, 1): 12.0, (1, 5): 12.0},
}


def cell_name(cell: Cell) -> str:
    """What tables call a measurement.

    Args:
        cell: Batch and beam.

    Returns:
        Its name.
    """
    return f"batch {cell[0]}, beam {cell[1]}"


def report(tools: Sequence[Tool], plan: Plan, facts: dict[str, str]) -> str:
    """All tables as Markdown.

    Args:
        tools: What was measured.
        plan: How.
        facts: Of the machine.

    Returns:
        The text.
    """
    measured = [tool for tool in tools if tool.problem is None]
    ours = [tool for tool in measured if not tool.peer]
    heads = [cell_name(cell) for cell in CELLS]
    single = min(plan.single, len(plan.sources))
    parts = [
        "; ".join(f"{name} {value}" for name, value in facts.items()) + ".",
        f"Medians of {plan.runs} runs (lowest–highest), tools taking turns. Batch 64 has "
        f"{len(plan.sources):,} lines, batch 1 the first {single}.",
        "Output tokens a second (pieces and end of sentence of each tool's own output):",
        table(
            ["", *heads],
            ([tool.name, *_texts(spreads(tool.speed), 0)] for tool in measured),
        ),
        "Start, memory and BLEU:",
        table(
            ["", "load, s", "first sentence, s", "peak, MiB", "BLEU, beam 1", "BLEU, beam 5"],
            (_start(tool) for tool in measured),
        ),
    ]
    if ours and any(tool.peer for tool in measured):
        parts += _ratios(measured)
    if ours:
        parts += [
            "One decoding step of the engine alone, microseconds:",
            table(["", *heads], ([one.name, *_texts(spreads(one.step), 0)] for one in ours)),
            "Share of the time that is not the engine's (search, splitting, joining), percent:",
            table(["", *heads], ([one.name, *_texts(_percent(one), 0)] for one in ours)),
            "Lines whose translation alone differs from that in a batch of 64:",
            table(["", "beam 1", "beam 5"], ([one.name, *_changed(one)] for one in measured)),
        ]
    parts += [f"Not measured: {tool.name}: {tool.problem}" for tool in tools if tool.problem]
    return "\n\n".join(parts) + "\n"


def as_json(tools: Sequence[Tool], plan: Plan, facts: dict[str, str]) -> dict[str, Any]:
    """All figures of all runs.

    Args:
        tools: What was measured.
        plan: How.
        facts: Of the machine.

    Returns:
        What the JSON file holds.
    """

    def named(values: dict[Cell, list[float]]) -> dict[str, list[float]]:
        return {f"{batch}x{beam}": found for (batch, beam), found in values.items()}

    return {
        "machine": facts,
        "runs": plan.runs,
        "lines": {"64": len(plan.sources), "1": len(plan.lines(1))},
        "tools": [
            {
                "name": tool.name,
                "problem": tool.problem,
                "load_seconds": tool.load,
                "first_sentence_seconds": tool.first,
                "peak_mib": tool.mib,
                "tokens_per_second": named(tool.speed),
                "bare_step_microseconds": named(tool.step),
                "search_overhead": named(tool.overhead),
                "bleu": tool.bleu,
            }
            for tool in tools
        ],
    }


def _texts(found: dict[Cell, Spread], digits: int) -> list[str]:
    return [found[cell].text(digits) if cell in found else "–" for cell in CELLS]


def _percent(tool: Tool) -> dict[Cell, Spread]:
    shares = {cell: [100 * share for share in found] for cell, found in tool.overhead.items()}
    return spreads(shares)


def _start(tool: Tool) -> list[str]:
    memory = "–" if tool.mib is None else f"{tool.mib:,.0f}"
    times = [Spread.of(found).text(2) for found in (tool.load, tool.first)]
    return [tool.name, *times, memory, *(f"{tool.bleu[beam]:.1f}" for beam in (1, 5))]


def _changed(tool: Tool) -> list[str]:
    found = []
    for beam in (1, 5):
        alone = tool.texts[1, beam]
        pairs = zip(alone, tool.texts[64, beam], strict=False)
        found.append(f"{sum(one != other for one, other in pairs)} of {len(alone)}")
    return found


def _ratios(measured: Sequence[Tool]) -> list[str]:
    """Our speeds as multiples of each peer's, by the runs that they shared."""
    ours = [tool for tool in measured if not tool.peer]
    parts = []
    for peer in (tool for tool in measured if tool.peer):
        rows = []
        for cell in CELLS:
            row = [cell_name(cell)]
            for tool in ours:
                text = paired_ratio(tool.speed[cell], peer.speed[cell]).text(1)
                aim = AIMS.get(tool.name, {}).get(cell)
                is_first = peer.name.startswith("OpenNMT") and aim is not None
                row.append(f"{text}, aim {aim:g}" if is_first else text)
            rows.append(row)
        parts += [
            f"Tokens a second as a multiple of {peer.name}'s, run by run:",
            table(["", *(tool.name for tool in ours)], rows),
        ]
    return parts
