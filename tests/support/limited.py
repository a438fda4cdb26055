"""Runs the command line with so much address space more, wherever training takes a batch.

python -m support.limited MEBIBYTES train ARGUMENTS
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    from seq2seq.cli.app import main as run_command
    from seq2seq.training.trainer import Trainer

    more = int(sys.argv[1]) * 2**20
    limits: list[int] = []

    def limited(real: Callable[..., Any]) -> Callable[..., Any]:
        def work(*arguments: Any) -> Any:
            if not limits:
                pages = int(Path("/proc/self/statm").read_text().split()[0])
                limits.append(pages * resource.getpagesize() + more)
            resource.setrlimit(resource.RLIMIT_AS, (limits[0], resource.RLIM_INFINITY))
            try:
                return real(*arguments)
            finally:
                resource.setrlimit(
                    resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                )

        return work

    Trainer._rehearse = limited(Trainer._rehearse)  # type: ignore[method-assign]
    Trainer._update = limited(Trainer._update)  # type: ignore[method-assign]
    sys.argv[1:] = sys.argv[2:]
    run_command()


if __name__ == "__main__":
    main()
