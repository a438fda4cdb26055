"""Starts processes, and torchrun, as a person would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]


def run_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs Python to its end; it finds this checkout and the tests' own modules."""
    environment = {**os.environ, "PYTHONPATH": _path(), **environment}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False
    )


def start(
    processes: int, module: str, *arguments: object, restarts: int = 0
) -> subprocess.Popen[str]:
    """Starts some processes on this machine; torchrun hands signals on to them."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
            *(f"--nproc-per-node={processes}", f"--max-restarts={restarts}"),
            *("-m", module, *map(str, arguments)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": _path(), "OMP_NUM_THREADS": "1"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )


def torchrun(
    processes: int, module: str, *arguments: object, restarts: int = 0
) -> subprocess.CompletedProcess[str]:
    """Runs some processes on this machine to their end."""
    process = start(processes, module, *arguments, restarts=restarts)
    try:
        out, err = process.communicate(timeout=100)
    finally:
        process.terminate()  # and with it the processes that it has started
        process.wait()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _path() -> str:
    paths = [str(TESTS.parent), str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.pathsep.join(paths)
