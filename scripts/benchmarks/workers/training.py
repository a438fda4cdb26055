"""A training of ours: ``DATA VOCABULARY SETTINGS THREADS``; settings are a JSON list."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from loop import Translate, serve

sys.path.insert(0, str(Path(__file__).parents[2]))


def load() -> tuple[Translate | None, dict[str, Any]]:
    """Builds the model.

    Returns:
        What runs updates.
    """
    import torch
    from benchmarks.trial import Trial

    data, vocabulary, settings, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    trial = Trial(Path(data), json.loads(settings), int(vocabulary) or None)
    return None, {"turn": trial.turn, "facts": trial.facts, "launch": trial.launch}


if __name__ == "__main__":
    serve(load)
