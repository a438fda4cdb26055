"""Comparisons at equal time: how many updates each setting makes in so many minutes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import torch

from benchmarks.figures import write_json
from benchmarks.peers import say
from benchmarks.trial import Trial

if TYPE_CHECKING:
    from benchmarks.sweep import Training

SECONDS = "seconds.json"
TURNS, UPDATES = 3, 10


def seconds_of_an_update(
    settings: Mapping[str, tuple[Training, Path]], work: Path, threads: int
) -> dict[str, float]:
    """Measures each setting's update, in turns, so that a machine that drifts drifts for all.

    What was measured stays in ``seconds.json``: a later call has the same numbers of updates.
    Settings that are new then are measured beside the first one that is known, and told in its
    stored seconds.

    Args:
        settings: By a name that changes with the recipe: what is trained, and its prepared folder.
        work: The folder of ``seconds.json``.
        threads: Processor threads.

    Returns:
        Seconds by name.
    """
    path = work / SECONDS
    stored = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    missing = [name for name in settings if name not in stored]
    if not missing:
        return {name: stored[name] for name in settings}
    known = [name for name in settings if name in stored][:1]
    torch.set_num_threads(threads)
    found: dict[str, list[float]] = {name: [] for name in (*known, *missing)}
    for turn in range(1, TURNS + 1):
        for name, seconds in found.items():
            one, data = settings[name]
            trial = Trial(data, one.settings, recipe=one.recipe)
            trial.turn(2)  # the warm-up
            seconds.append(trial.turn(UPDATES)["seconds"] / UPDATES)
        say(f"time of an update, turn {turn} of {TURNS}")
    scale = stored[known[0]] / median(found[known[0]]) if known else 1.0
    stored |= {name: scale * median(found[name]) for name in missing}
    write_json(path, stored)
    return {name: stored[name] for name in settings}
