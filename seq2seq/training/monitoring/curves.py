"""``curves.png``: loss, BLEU and learning rate over a training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from seq2seq.training.run.checkpoint import TEMPORARY


def plot_curves(records: list[dict[str, Any]], path: Path, title: str) -> None:
    """Draws a run's curves.

    Args:
        records: The journal's records.
        path: The picture, a .png.
        title: Shown above.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    steps = [record for record in records if record["kind"] == "train"]
    checks = [record for record in records if record["kind"] == "validation"]
    figure = Figure(figsize=(9, 6.5), layout="constrained")
    loss, bleu, rate = figure.subplots(3, 1, sharex=True, height_ratios=[3, 2, 1])
    loss.plot(_column(steps, "update"), _column(steps, "loss"), lw=1, label="training")
    loss.plot(_column(checks, "update"), _column(checks, "loss"), marker=".", label="validation")
    old = [{"update": record["update"], **record["old"]} for record in checks if "old" in record]
    if old:
        name = "old validation set"
        loss.plot(_column(old, "update"), _column(old, "loss"), marker=".", ls=":", label=name)
    loss.set_ylabel("nats a token")
    loss.set_title(title)
    loss.legend()
    scored = [record for record in checks if record["bleu"] is not None]
    bleu.plot(
        _column(scored, "update"),
        _column(scored, "bleu"),
        marker=".",
        color="tab:green",
        label="validation",
    )
    if old := [record for record in old if record["bleu"] is not None]:
        bleu.plot(_column(old, "update"), _column(old, "bleu"), marker=".", ls=":", label=name)
        bleu.legend()
    bleu.set_ylabel("BLEU (greedy)")
    rate.plot(_column(steps, "update"), _column(steps, "learning_rate"), color="tab:grey")
    rate.set_ylabel("learning rate")
    rate.set_xlabel("updates")
    for axes in (loss, bleu, rate):
        axes.grid(alpha=0.3)
    partial = path.with_name(TEMPORARY + path.name)
    figure.savefig(partial, dpi=120, format="png")
    partial.replace(path)


def _column(records: list[dict[str, Any]], key: str) -> list[float]:
    return [record[key] for record in records]
