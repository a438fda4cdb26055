"""A process whose memory really ends: it halves its batches, or says what would help."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.tiny import write_recipe

import seq2seq

TESTS = Path(__file__).parents[1]
SETTINGS = (
    "training.batch_tokens=20000",  # every pair in one batch
    "training.updates=2",
    "training.precision=float32",
    "training.validation.bleu=false",
    "training.early_stopping.metric=loss",
    "model.encoder.hidden=128",
    "model.decoder.hidden=128",
)

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="needs Linux to limit a process's memory"
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("little")
    recipe = write_recipe(folder)
    seq2seq.prepare(recipe, folder / "data")
    return recipe, folder / "data"


def train(corpus: tuple[Path, Path], run: Path, mebibytes: int) -> subprocess.CompletedProcess[str]:
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    settings = [word for one in SETTINGS for word in ("--set", one)]
    command = ["train", str(corpus[0]), "--data", str(corpus[1]), "-o", str(run), "--threads", "1"]
    return subprocess.run(
        [sys.executable, "-m", "support.limited", str(mebibytes), *command, *settings],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        check=False,
    )


def is_clear(done: subprocess.CompletedProcess[str]) -> bool:
    """Whether it stopped for want of memory, and said so in one line."""
    if done.returncode == 0:
        return False
    if done.returncode < 0:
        return True  # a library of C that does not look: no worse than SIGKILL, tested elsewhere
    assert done.returncode == 1, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: training stopped at update "), done.stderr
    assert "out of memory" in last
    assert "Traceback" not in done.stderr
    return True


def test_batches_are_halved(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    done = train(corpus, tmp_path / "r", 160)
    if is_clear(done):
        pytest.skip("this machine's libraries take more at once")
    if "do not fit" not in done.stderr:
        pytest.skip("this machine's libraries take less")
    assert "times a batch was halved: memory did not suffice" in done.stdout
    assert "finished (the recipe's end): 2 updates" in done.stdout


def test_too_little_is_told(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    done = train(corpus, tmp_path / "r", 40)
    assert is_clear(done)
    assert not (tmp_path / "r/last").exists()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_any_amount_ends_well(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    clear = [is_clear(train(corpus, tmp_path / f"{n}", n)) for n in (16, 40, 70, 100, 300, 900)]
    assert clear == sorted(clear, reverse=True), "with more memory it does not get worse"
    assert clear[0]
    assert not clear[-1]
