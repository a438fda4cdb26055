"""What every test process begins with."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

HERE = Path(__file__).parent
# What takes a minute or more begins first, the longest at the head: with several cores, a long file
# that began last would leave all others idle.
LONG = [
    HERE / name
    for name in (
        "integration/test_torchrun.py",
        "integration/test_translation.py",
        "integration/test_resume.py",
        "integration/test_streams.py",
        "scripts/test_growth.py",
        "training/distributed/test_torch_group.py",
        "integration/test_foreign_cell.py",
        "integration/test_signals.py",
        "test_readme.py",
    )
]
assert all(path.is_file() for path in LONG), "a file was moved"

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {path: place for place, path in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))


@pytest.fixture
def no_mecab(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Neither mecab; what sacreBLEU imports meanwhile goes again, as it keeps what it found."""
    readers = [f"sacrebleu.tokenizers.tokenizer_{name}_mecab" for name in ("ja", "ko")]
    for name in ("MeCab", "mecab_ko"):
        monkeypatch.setitem(sys.modules, name, None)
    for name in readers:
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in readers:
        sys.modules.pop(name, None)
