"""A tool under measurement, as a process: loads once, then answers what it is asked.

Questions come on standard input and answers go to standard output, one JSON object a line.
Whatever the tool prints goes to standard error. Only the standard library is used here: this runs
in the environment of each tool.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Answer = dict[str, Any]
Translate = Callable[[Sequence[str], int, int], list[str]]


def serve(load: Callable[[], tuple[Translate | None, dict[str, Callable[..., Answer]]]]) -> None:
    """Answers until standard input ends.

    Args:
        load: Loads the model; gives what translates lines with a batch size and a beam, if
            it does, and what else can be asked for by name.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(found: Answer) -> None:
        answers.write(json.dumps(found) + "\n")
        answers.flush()

    translate, more = load()
    answer({"ready": True})
    for line in sys.stdin:
        question = json.loads(line)
        ask = question.pop("ask")
        if ask == "translate" and translate is not None:
            begun = time.perf_counter()
            texts = translate(question["lines"], question["batch"], question["beam"])
            answer({"seconds": time.perf_counter() - begun, "texts": texts})
        elif ask == "memory":
            answer({"mib": peak_mib()})
        else:
            answer(more[ask](**question))


def peak_mib() -> float:
    """The most memory that this process has held.

    Returns:
        MiB of resident pages.
    """
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would count the process that started this one, too
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
