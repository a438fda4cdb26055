"""Training in odd places, each in a real process: no locale, no home, no terminal, one core."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.published import weights_file
from support.tiny import write_recipe

import seq2seq

TESTS = Path(__file__).parents[1]
LOCALE = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
HOME = {"HOME": "/dev/null/home", "XDG_CACHE_HOME": "", "MPLCONFIGDIR": "", "HF_HOME": ""}
PLACES = {
    "C locale": LOCALE,
    "no home": HOME,
    "a clock that jumps": {"SEQ2SEQ_TEST_CLOCK": "yes"},
    "no terminal": {"TERM": "", "COLUMNS": ""},
    "one core": {},
    "C locale, no home, one core": {**LOCALE, **HOME},
}
QUICK = "C locale, no home, one core"
UPDATES = ("--set", "training.updates=10")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("Orte") / "größe \u2028x"
    folder.mkdir()
    return write_recipe(folder, count=200)


@pytest.fixture(scope="module")
def expected(corpus: Path) -> bytes:
    """The weights of the same training in this process."""
    run = corpus.parent / "here"
    recipe = seq2seq.load_recipe(str(corpus), ["training.updates=10"])
    seq2seq.train(recipe, run, threads=1)
    return weights_file(run).read_bytes()


@pytest.mark.parametrize(
    "place", [pytest.param(one, marks=() if one == QUICK else pytest.mark.slow) for one in PLACES]
)
def test_trains_translates_and_goes_on(
    corpus: Path, expected: bytes, tmp_path: Path, place: str
) -> None:
    run = tmp_path / "läuft"
    environment = {**os.environ, **PLACES[place]}
    environment = {name: value for name, value in environment.items() if value}
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment["PYTHONPATH"] = os.pathsep.join(paths)
    if "one core" in place:
        environment.pop("OMP_NUM_THREADS", None)

    def settle() -> None:
        os.setsid()  # no terminal to control it
        if "one core" in place and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    def command(*words: str) -> bytes:
        done = subprocess.run(
            [sys.executable, "-m", "support.clocked", *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            preexec_fn=settle,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"\x1b" not in done.stderr, "no control characters where there is no terminal"
        assert b"Traceback" not in done.stderr
        return done.stdout

    train = ("train", str(corpus), "-o", str(run), "--threads", "1", "--set")
    command(*train, "training.updates=6")
    for path in run.rglob("*"):  # as if copied, or from a time that has not come
        os.utime(path, (0, 0) if len(path.name) % 2 else (2**33, 2**33))
    command(*train, "training.updates=10")
    source = tmp_path / "quelle.txt"
    source.write_text("The dog sleeps.\nA cat – größe\n", encoding="utf-8")
    command("translate", str(run), str(source), "-o", str(tmp_path / "ziel.txt"))
    assert (tmp_path / "ziel.txt").read_bytes().count(b"\n") == 2
    if place != QUICK:
        whole = tmp_path / "whole"
        command("train", str(corpus), "-o", str(whole), "--threads", "1", *UPDATES)
        assert weights_file(whole).read_bytes() == expected
