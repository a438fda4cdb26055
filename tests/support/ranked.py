"""Runs the command line; at an update of one process something happens to it.

    torchrun --nproc-per-node N -m support.ranked WHAT RANK UPDATE SEEN train ARGUMENTS

WHAT is a signal's name, "error" (something unexpected), "memory" (it runs out while the others wait
for its gradients), "validation" (SIGTERM comes in its share of the next validation), or "nothing".
It happens when the process has done UPDATE updates, before torchrun has started anything again.
The pairs of each update, those of all processes, are written to SEEN, by the first one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

NO_MEMORY = "DefaultCPUAllocator: can't allocate memory: you tried to allocate 512 bytes."


def happens(what: str) -> None:
    if what.startswith("SIG"):
        os.kill(os.getpid(), signal.Signals[what])
    elif what == "error":
        raise ValueError("nobody knows why")


def main() -> None:
    what, rank, update, seen = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4])
    sys.argv[1:] = sys.argv[5:]
    import torch

    from seq2seq.cli.app import main as run_command
    from seq2seq.training.evaluation import Evaluator
    from seq2seq.training.trainer import Trainer
    from seq2seq.training.updater import Updater

    own = int(os.environ.get("RANK", "0"))
    mine = own == rank and os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") == "0"
    due = [False]
    real, backward, real_update = Updater.update, torch.Tensor.backward, Trainer._update
    loss = Evaluator.loss

    def stepped(self: Updater, batches: Any, number: int, *rest: Any, **named: Any) -> Any:
        found = real(self, batches, number, *rest, **named)
        if mine and number == update:
            due[0] = True
            happens(what)
        return found

    def failing(self: torch.Tensor, *rest: Any, **named: Any) -> None:
        if due[0] and what == "memory":
            raise RuntimeError(NO_MEMORY)
        backward(self, *rest, **named)

    def updated(self: Trainer, work: Any) -> None:
        if own == 0:
            with seen.open("a", encoding="utf-8") as file:
                pairs = [one.tolist() for one in work.all_indices]
                file.write(json.dumps([self.state.update, pairs]) + "\n")
        real_update(self, work)

    def validated(*arguments: Any) -> Any:
        if due[0] and what == "validation":
            happens("SIGTERM")
        return loss(*arguments)

    Updater.update = stepped  # type: ignore[method-assign]
    torch.Tensor.backward = failing  # type: ignore[assignment]
    Trainer._update = updated  # type: ignore[method-assign]
    Evaluator.loss = validated  # type: ignore[method-assign]
    run_command()


if __name__ == "__main__":
    main()
