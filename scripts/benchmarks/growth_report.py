"""Tables of what ``scripts/bench train`` measures on request."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.bleu import BEAM, Reached
from benchmarks.costs import BATCH_TOKENS, Corpus, Cost
from benchmarks.figures import Spread, paired_ratio, table
from benchmarks.gpu import OnGpu
from benchmarks.many import Memory
from benchmarks.together import Together

BLEU_AIM = 3.0  # above fairseq
MEMORY_AIM = 1.1  # many pairs beside few
GPU_AIM = 10.0  # times the processor


def bleu_table(found: Sequence[Reached]) -> list[str]:
    """What was reached in a given time.

    Args:
        found: Ours, then fairseq's; either may be missing.

    Returns:
        A table, or nothing.
    """
    if not found:
        return []
    rows = [
        [one.name, f"{one.bleu:.1f}", f"{one.minutes:.1f}", f"{one.updates:,}", f"{one.epochs:.1f}"]
        for one in found
    ]
    if len(found) == 2:
        more = f"{found[0].bleu - found[1].bleu:+.1f}, aim {BLEU_AIM:+g}"
        rows.append(["difference", more, "", "", ""])
    head = ["", f"BLEU on val, beam {BEAM}", "minutes of training", "updates", "epochs"]
    return [table(head, rows)]


def memory_table(found: Sequence[Memory]) -> list[str]:
    """What preparing and training hold of few pairs and of many.

    Args:
        found: The figures, few pairs first.

    Returns:
        A table, or nothing.
    """
    head = ["peak MiB", "pairs", "resident", "own pages", "own pages, children's added"]
    rows, tasks = [], list(dict.fromkeys(one.task for one in found))
    for task in tasks:
        ours = [one for one in found if one.task == task]
        for one in ours:
            held = (one.held.resident, one.held.anonymous, one.held.family)
            rows.append([task, f"{one.pairs:,}", *(f"{mib:,.0f}" for mib in held)])
        few, many = ours[0].held, ours[-1].held
        ratios = (
            many.resident / few.resident,
            many.anonymous / few.anonymous,
            many.family / few.family,
        )
        told = [f"{ratio:.2f}" for ratio in ratios]
        rows.append([f"{task}, many / few", f"aim {MEMORY_AIM:g}", *told])
    return [table(head, rows)] if rows else []


def cost_tables(costs: Sequence[Cost], corpora: Sequence[Corpus]) -> list[str]:
    """How the cost grows.

    Args:
        costs: Of networks.
        corpora: Of corpora.

    Returns:
        A table of each that was measured, with a line that says what it is.
    """
    measured = [cost for cost in costs if cost.speed]
    if not measured:
        return [_corpus_table(corpora, {})] if corpora else []
    types = list(dict.fromkeys(cost.precision for cost in measured))
    head = ["", "parameters, M"]
    for name in types:
        head += [f"{name}: target tokens/s", "ms an update", "times the base's", "peak MiB"]
    by_key = {(cost.axis, cost.value, cost.precision): cost for cost in measured}
    rows = []
    for axis, value in dict.fromkeys((cost.axis, cost.value) for cost in measured):
        row = [f"{axis} {value:,}", f"{by_key[axis, value, types[0]].parameters / 1e6:.1f}"]
        for name in types:
            group = [cost for cost in measured if (cost.axis, cost.precision) == (axis, name)]
            base = next(cost for cost in group if cost.base)
            row += _cells(by_key[axis, value, name], base)
        rows.append(row)
    told = (
        f"What training costs: medians (lowest–highest), batches of {BATCH_TOKENS:,} padded "
        "tokens; each network in a process of its own, those of one kind taking turns; the base is "
        "the network above, set beside itself in each group; ids of the vocabularies are random."
    )
    parts = [told, table(head, rows)]
    if corpora:
        first = measured[0].axis
        speeds = {
            cost.precision: Spread.of(cost.speed).median
            for cost in measured
            if cost.base and cost.axis == first
        }
        parts.append(_corpus_table(corpora, speeds))
    return parts


def _cells(cost: Cost, base: Cost) -> list[str]:
    ratio = paired_ratio(cost.milliseconds, base.milliseconds)
    return [
        Spread.of(cost.speed).text(),
        Spread.of(cost.milliseconds).text(),
        f"{ratio.median:.2f}",
        f"{cost.mib:,.0f}",
    ]


def _corpus_table(corpora: Sequence[Corpus], speeds: dict[str, float]) -> str:
    head = ["pairs", "prepare, s", "pairs/s", "disk, MiB", "target tokens, M"]
    head += [f"an epoch in {name}, min (by the base's speed)" for name in speeds]
    rows = []
    for one in corpora:
        row = [f"{one.pairs:,}", f"{one.seconds:,.1f}", f"{one.pairs / one.seconds:,.0f}"]
        row += [f"{one.disk:,.1f}", f"{one.tokens / 1e6:,.2f}"]
        row += [f"{one.tokens / speed / 60:,.1f}" for speed in speeds.values()]
        rows.append(row)
    return table(head, rows)


def gpu_table(found: Sequence[OnGpu]) -> list[str]:
    """What a GPU makes of it.

    Args:
        found: The figures.

    Returns:
        A table, or nothing.
    """
    measured = [one for one in found if one.speed]
    if not measured:
        return []
    head = [measured[0].device, "target tokens/s", "GPU waits for work, %", "times the processor's"]
    rows = []
    for one in measured:
        waits = Spread.of(100 * share for share in one.launch).text(1)
        ratio = "–"
        if one.processor:
            ratio = f"{paired_ratio(one.speed, one.processor).text(1)}, aim {GPU_AIM:g}"
        rows.append([one.name, Spread.of(one.speed).text(), waits, ratio])
    return [table(head, rows)]


def together_table(found: Sequence[Together], beside: Sequence[float]) -> list[str]:
    """What several processes make of the same processors.

    Args:
        found: The ways; of a type, that of one process comes first.
        beside: fairseq's target tokens a second in the same turns; may be empty.

    Returns:
        A table, or nothing.
    """
    measured = [way for way in found if way.speed]
    if not measured:
        return []
    peer = len(beside) == len(measured[0].speed)
    rows, alone = [], {way.precision: way for way in measured if way.processes == 1}
    for way in measured:
        name = f"{way.precision}, {_many(way.processes, 'process', 'processes')}"
        gain = paired_ratio(way.speed, alone[way.precision].speed).text(2)
        row = [name, f"{way.threads}", Spread.of(way.speed).text(), gain]
        rows.append([*row, paired_ratio(way.speed, beside).text(2)] if peer else row)
    head = ["LSTM, real trainings", "threads each", "target tokens/s", "times one process's"]
    if peer:
        head.append("times fairseq's")
        rows.append(["fairseq 0.12.2, LSTM", "", Spread.of(beside).text(), "", "1"])
    return [table(head, rows)]


def _many(number: int, one: str, more: str) -> str:
    return f"{number} {one if number == 1 else more}"
