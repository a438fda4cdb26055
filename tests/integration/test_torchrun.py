"""A training by several processes: it ends as one process's does, well or not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from support.processes import start, torchrun
from support.published import weights_file
from support.tiny import write_recipe

import seq2seq
from seq2seq.storage.layout import plain_name
from seq2seq.training.monitoring import Silent, Step
from seq2seq.training.run.checkpoint import load_checkpoint

STILL = ["training.precision=float32", "model.encoder.dropout=0.0", "model.decoder.dropout=0.0"]
SHORT = ["training.updates=24", "training.validation.every=8", "training.checkpoint_every=3"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("torchrun")
    recipe = write_recipe(folder)
    seq2seq.prepare(recipe, folder / "data")
    return recipe, folder / "data"


class Alone(Silent):
    """Asks for an end at an update."""

    def __init__(self, update: int) -> None:
        super().__init__()
        self.update = update

    def step(self, step: Step) -> None:
        if step.update == self.update:
            signal.raise_signal(signal.SIGTERM)


def arguments(corpus: tuple[Path, Path], run: Path, *settings: str) -> list[object]:
    recipe, data = corpus
    words = [word for one in (*SHORT, *settings) for word in ("--set", one)]
    return ["train", recipe, "--data", data, "-o", run, "--threads", "1", *words]


def ranked(
    corpus: tuple[Path, Path],
    run: Path,
    what: str = "nothing",
    at: tuple[int, int] = (0, 0),
    *,
    settings: list[str] = STILL,
    restarts: int = 0,
) -> subprocess.CompletedProcess[str]:
    """Two processes; something happens to a rank after an update."""
    words = [what, *at, run.with_suffix(".seen"), *arguments(corpus, run, *settings)]
    return torchrun(2, "support.ranked", *words, restarts=restarts)


def alone(
    corpus: tuple[Path, Path], run: Path, update: int = 0, settings: list[str] = STILL
) -> seq2seq.TrainingResult:
    read = seq2seq.load_recipe(str(corpus[0]), [*SHORT, *settings])
    return seq2seq.train(read, run, data=corpus[1], threads=1, monitor=Alone(update))


def seen(run: Path) -> dict[int, list[list[int]]]:
    """The pairs of each update; of one that was done twice, those of the second time."""
    lines = run.with_suffix(".seen").read_text(encoding="utf-8").splitlines()
    return dict(json.loads(line) for line in lines)


def contents(run: Path) -> dict[str, bytes]:
    files = [*sorted((run / "last").glob("*.safetensors")), weights_file(run)]
    return {plain_name(file.name): file.read_bytes() for file in files}


def close(run: Path, other: Path, tolerance: float = 1e-5) -> None:
    """Checks that two runs have come to nearly the same weights, in the same files."""
    assert contents(run).keys() == contents(other).keys()
    one, two = (load_file(path / "last/model.safetensors") for path in (run, other))
    assert one.keys() == two.keys()
    assert not any("module." in name for name in one)
    apart = sum(float((one[name] - two[name]).double().square().sum()) for name in one)
    size = sum(float(one[name].double().square().sum()) for name in one)
    assert apart <= tolerance**2 * size
    ours, theirs = (load_checkpoint(path / "last").state for path in (run, other))
    assert (ours.update, ours.place, ours.tokens) == (theirs.update, theirs.place, theirs.tokens)
    for mine, their in zip(ours.history, theirs.history, strict=True):
        assert mine["loss"] == pytest.approx(their["loss"], rel=1e-5)
        assert mine["bleu"] == their["bleu"]


@pytest.fixture(scope="module")
def whole(corpus: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process."""
    run = tmp_path_factory.mktemp("whole") / "one"
    assert alone(corpus, run).finished
    return run


@pytest.fixture(scope="module")
def together(corpus: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two processes, with dropout."""
    run = tmp_path_factory.mktemp("together") / "two"
    done = ranked(corpus, run, settings=[])
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("finished (the recipe's end): 24 updates") == 1
    assert "Traceback" not in done.stderr
    assert "2 processes train together, each with a thread" in done.stderr
    return run


def test_a_run_goes_on_with_more_processes_and_with_fewer(
    corpus: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    """One begins, two go on until a signal comes to the second of them, and one ends it."""
    run = tmp_path / "r"
    assert alone(corpus, run, 5).updates == 5
    asked = ranked(corpus, run, "SIGTERM", (1, 13))
    assert asked.returncode != 0
    assert "resuming from update 5" in asked.stderr
    assert "processes 1 -> 2" in asked.stderr
    assert "SIGTERM: saved at update 14; run the same command again to resume" in asked.stderr
    assert "run the same command again to resume" not in asked.stdout
    assert " after 14 updates in " in asked.stdout
    assert "exitcode  : 130" in asked.stderr
    assert "/seq2seq/" not in asked.stderr, "a traceback of ours"
    assert load_checkpoint(run / "last").state.update == 14
    assert alone(corpus, run).finished
    close(run, whole)
    again = tmp_path / "again"
    done = ranked(corpus, again)
    assert done.returncode == 0, done.stderr
    close(again, whole)
    both = seen(again)
    assert sorted(both) == list(range(24))
    assert seen(run) == {update: both[update] for update in range(5, 14)}


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_is_started_again_by_torchrun(
    corpus: tuple[Path, Path], together: Path, tmp_path: Path, rank: int
) -> None:
    run = tmp_path / "r"
    killed = ranked(corpus, run, "SIGKILL", (rank, 11), settings=[], restarts=1)
    assert killed.returncode == 0, killed.stderr
    assert "resuming from update 9" in killed.stderr
    assert contents(run) == contents(together)
    assert seen(run) == seen(together)
    assert [path.name for path in run.rglob(".*")] == []


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("SIGKILL", "exitcode  : -9"),
        ("error", "error: unexpected ValueError: nobody knows why"),
        (
            "memory",
            "error: training stopped at update 4: out of memory; the last checkpoint, if there is "
            "one, is {run}/last; a lower training.batch_tokens or a smaller model needs less",
        ),
    ],
)
def test_an_error_of_one_process_ends_all_and_is_told_once(
    corpus: tuple[Path, Path], tmp_path: Path, what: str, told: str
) -> None:
    run = tmp_path / "r"
    begun = time.monotonic()
    failed = ranked(corpus, run, what, (1, 4))
    assert failed.returncode != 0
    assert time.monotonic() - begun < 50, "torchrun has not had to kill any"
    assert failed.stderr.count(told.format(run=run)) == 1, failed.stderr
    assert failed.stderr.count("error: ") <= 2
    assert load_checkpoint(run / "last").state.update == 3


def test_a_signal_in_a_validation_is_not_waited_for(
    corpus: tuple[Path, Path], together: Path, tmp_path: Path
) -> None:
    """All drop it, whoever got the signal, and the session that goes on does it."""
    run = tmp_path / "r"
    asked = ranked(corpus, run, "validation", (1, 8), settings=[])
    assert "SIGTERM: saved at update 8; run the same command again to resume" in asked.stderr
    state = load_checkpoint(run / "last").state
    assert (state.update, state.validated, state.history) == (8, False, [])
    ended = ranked(corpus, run, settings=[])
    assert ended.returncode == 0, ended.stderr
    assert contents(run) == contents(together)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_torchrun_hands_signals_on(
    corpus: tuple[Path, Path], tmp_path: Path, number: signal.Signals
) -> None:
    run = tmp_path / "r"
    process = start(
        2, "seq2seq", *arguments(corpus, run, "training.updates=10000", "training.epochs=10000")
    )
    assert process.stderr is not None
    told = ""
    while "validation at update 8 " not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    begun = time.monotonic()
    process.send_signal(number)
    out, rest = process.communicate(timeout=60)
    told += rest
    assert time.monotonic() - begun < 25, "torchrun would kill after 30 seconds"
    update = load_checkpoint(run / "last").state.update
    assert f"{number.name}: saved at update {update}; run the same command again to resume" in told
    assert "run the same command again to resume" not in out
    assert [path.name for path in run.rglob(".*")] == []


def test_other_data_on_another_machine_is_noticed(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    """Both processes are on this machine; the second one takes another folder."""
    other = tmp_path / "other"
    seq2seq.prepare(seq2seq.load_recipe(str(corpus[0]), ["tokenizer.vocab_size=140"]), other)
    script = tmp_path / "two.py"
    script.write_text(
        "import os, sys\n"
        "from seq2seq.cli.app import main\n"
        "place = sys.argv.index('--data') + 1\n"
        f"sys.argv[place] = {str(other)!r} if os.environ['RANK'] == '1' else sys.argv[place]\n"
        "main()\n",
        encoding="utf-8",
    )
    run = tmp_path / "r"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    words = [*command, script, *arguments(corpus, run)]
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode != 0
    assert done.stderr.count("process 1 of 2") == 1, done.stderr
    assert "has other data there than process 0" in done.stderr
    assert list(tmp_path.glob("r/*")) == []
    assert not torch.distributed.is_initialized()


def test_processes_measure_the_old_validation_set_together(
    corpus: tuple[Path, Path], whole: Path, tmp_path: Path
) -> None:
    """Only the first sees the run's folder; the figures are those of one process alone."""
    old = [str(corpus[0].parent / name) for name in ("train.en", "train.de")]
    settings = [*STILL, "training.updates=4", "training.validation.every=2"]
    sets = [word for one in (*SHORT, *settings) for word in ("--set", one)]
    words = ["train", corpus[0], "--threads", "1", "--init-from", whole, "--old-val", *old, *sets]
    one, two = tmp_path / "one", tmp_path / "two"
    log = tmp_path / "two.seen"
    done = torchrun(2, "support.ranked", "nothing", 0, 0, log, *words, "-o", two)
    assert done.returncode == 0, done.stderr
    read = seq2seq.load_recipe(str(corpus[0]), [*SHORT, *settings])
    files = (old[0], old[1])
    seq2seq.train(read, one, init_from=whole, old_val=files, threads=1, monitor=Silent())
    ours, theirs = (load_checkpoint(path / "last").state.history for path in (two, one))
    assert [record["update"] for record in ours] == [0, 2, 4]
    for mine, their in zip(ours, theirs, strict=True):
        assert mine["old"]["loss"] == pytest.approx(their["old"]["loss"], rel=1e-5)
        assert mine["old"]["bleu"] == their["old"]["bleu"]
        assert mine["old"]["loss"] != mine["loss"]
    assert "old validation set: loss" in done.stderr


NARMA = """
name = "narma"
[data]
kind = "problem"
problem = "narma10"
length = 160
train_size = 12
val_size = 3
[model.encoder]
cell = "rnn"
directions = "forward"
hidden = 20
[training]
method = { kind = "ridge", penalty = 0.1 }
batch_pairs = 5
"""


def test_a_problem_is_solved_together(tmp_path: Path) -> None:
    """Ridge regression sums over the processes; nothing of the data lies in a folder."""
    recipe, one, two = tmp_path / "narma.toml", tmp_path / "one", tmp_path / "two"
    recipe.write_text(NARMA, encoding="utf-8")
    seq2seq.train(str(recipe), one, threads=1, monitor=Silent())
    done = torchrun(2, "seq2seq", "train", recipe, "-o", two, "--threads", 1)
    assert done.returncode == 0, done.stderr
    ours, theirs = (load_file(weights_file(run)) for run in (one, two))
    assert ours.keys() == theirs.keys()
    assert all(torch.allclose(ours[name], theirs[name], atol=1e-5) for name in ours)
