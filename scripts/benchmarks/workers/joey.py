"""JoeyNMT through its own Python interface, model loaded once: ``MODEL CONFIG THREADS``.

Its clock holds the splitting into pieces and the joining, which it does by itself.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loop import Translate, serve


def load() -> tuple[Translate, dict[str, Any]]:
    """Loads the model.

    Returns:
        What translates.
    """
    import torch
    from joeynmt.hub_interface import TranslatorHubInterface, _from_pretrained

    model, config, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    hub = TranslatorHubInterface(*_from_pretrained(Path(model).parent, config))

    def translate(lines: Sequence[str], batch: int, beam: int) -> list[str]:
        found: list[str] = []
        for begin in range(0, len(lines), batch):
            found += hub.translate(list(lines[begin : begin + batch]), beam_size=beam)
        return found

    return translate, {}


if __name__ == "__main__":
    serve(load)
