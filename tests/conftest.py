"""What every test process begins with."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

# A shell starts background jobs with SIGINT ignored, and children inherit that: the tests that
# interrupt a process would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A busy machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


def pytest_configure(config: pytest.Config) -> None:
    """Hides GPUs from all tests but those for them: the others hold a processor to its bits."""
    if config.getoption("markexpr") != "gpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skips a test that needs a GPU where there is none."""
    if item.get_closest_marker("gpu") is not None:
        import torch

        if not torch.cuda.is_available():
            pytest.skip("there is no CUDA device; scripts/test -m gpu runs it where there is one")
