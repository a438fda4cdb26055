"""Trainings of ours for what their loop costs: ``DATA UPDATES SETTINGS THREADS``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from loop import Answer, Translate, serve

sys.path.insert(0, str(Path(__file__).parents[2]))


def load() -> tuple[Translate | None, dict[str, Any]]:
    """Reads the recipe.

    Returns:
        What measures.
    """
    import torch
    from benchmarks.upkeep import Loop

    data, updates, settings, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    loop = Loop(Path(data), int(threads), int(updates), json.loads(settings))

    def turn(ready_first: bool) -> Answer:
        share, between = loop.turn(ready_first)
        return {"share": share, "between": between}

    return None, {"turn": turn}


if __name__ == "__main__":
    serve(load)
