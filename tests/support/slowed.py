"""Runs the command line with one kind of work made slow, and says when it has begun.

    python -m support.slowed WORK train ARGUMENTS

WORK is what takes more than a minute: "preparing" (the tokenizer's training reads its text slowly),
"validation" (each step of the search), "update" (each of an update's many batches), "saving" (each
file of a checkpoint), or "nothing".
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

BEGUN = "the slow work has begun"


def slow(real: Callable[..., Any], seconds: float, after: int = 0) -> Callable[..., Any]:
    """The same function, but it dawdles from some call on."""
    calls = 0

    def slowed(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            print(BEGUN, file=sys.stderr, flush=True)
            time.sleep(seconds)
        return real(*arguments, **named)

    return slowed


def main() -> None:
    from seq2seq.cli.app import main as run_command
    from seq2seq.inference.engines.torch import TorchEngine
    from seq2seq.text import tokenizer
    from seq2seq.training.run import checkpoint
    from seq2seq.training.updater import BatchObjective

    work = sys.argv[1]
    if work == "preparing":
        real = tokenizer._trainable

        def lines(given: Any) -> Any:
            wait = slow(lambda line: line, 0.2)
            yield from map(wait, real(given))

        tokenizer._trainable = lines
    elif work == "validation":
        TorchEngine.step = slow(TorchEngine.step, 3.0)  # type: ignore[method-assign]
    elif work == "update":
        # The first updates are quick, so that there is something to save.
        slowed = slow(BatchObjective._backward, 3.0, after=300)
        BatchObjective._backward = slowed  # type: ignore[method-assign]
    elif work == "saving":
        checkpoint.save_file = slow(checkpoint.save_file, 90.0, after=2)
    sys.argv[1:] = sys.argv[2:]
    run_command()


if __name__ == "__main__":
    main()
