"""The queue of trainings: what is asked for, what stops or fails, what the table says."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks import equal_time, sweep
from benchmarks.sweep import ROWS, Job, Results, main, read_sweep, report, summary

from seq2seq.errors import Seq2SeqError
from seq2seq.report.record import RunRecord
from seq2seq.storage.lock import Lock

RECIPE = """
name = "small"
[data]
kind = "problem"
problem = "adding"
length = 50
val_size = 20
[model.encoder]
cell = "rnn"
directions = "forward"
hidden = 4
[training]
updates = 2
batch_pairs = 4
"""
SWEEP = """
recipe = "small.toml"
set = ["training.learning_rate=1e-2"]
seeds = [1, 2]
[settings]
base = []
wide = ["model.encoder.hidden=6"]
"""

HONEST_ROW = Job.row


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plans").mkdir()
    (tmp_path / "plans" / "small.toml").write_text(RECIPE, encoding="utf-8")
    found = tmp_path / "plans" / "widths.toml"
    found.write_text(SWEEP, encoding="utf-8")
    return found


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Programs that stand for trainings, by their settings' names; others end at once."""
    found: dict[str, str] = {}

    def command(_: str, settings: tuple[str, ...], __: object, run: Path, ___: int) -> list[str]:
        return [sys.executable, "-c", found.get(run.name.partition("-")[0], "")]

    def row(job: Job) -> dict[str, Any]:
        one = job.training
        score = 30.0 + one.seed
        return {"folder": one.folder, **made_row(one.name, one.seed, score)}

    monkeypatch.setattr(sweep, "training_command", command)
    monkeypatch.setattr(Job, "row", row)
    return found


def made_row(name: str, seed: int, score: float) -> dict[str, Any]:
    best = {"update": 100 * seed, "bleu": score}
    more = {"updates": 300, "minutes": 1.5 * seed, "parameters": 2_500_000}
    return {"name": name, "seed": seed, "metric": "bleu", "score": score, "best": best, **more}


def test_seeds_come_one_after_the_other(file: Path) -> None:
    trainings = read_sweep(file)
    assert [(one.name, one.seed) for one in trainings] == [
        ("base", 1), ("wide", 1), ("base", 2), ("wide", 2),
    ]  # fmt: skip
    last = trainings[-1].checked
    assert (last.seed, last.model.encoder.hidden, last.training.learning_rate) == (2, 6, 1e-2)
    assert len({one.folder for one in trainings}) == 4
    before = trainings[0].folder
    file.write_text(SWEEP.replace("1e-2", "1e-3"), encoding="utf-8")
    assert read_sweep(file)[0].folder != before, "other settings are another run"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("recipe = ", "no TOML: "),
        ("recipe = 'small.toml'", "settings: Field required"),
        ("recipe = 'small.toml'\n[settings]\n'a/b' = []", "settings: 'a/b' cannot be a folder's"),
        ("recipe = 'small.toml'\nseeds = [1, 1]\n[settings]\na = []", "seeds: names a seed twice"),
        ("recipe = 'small.toml'\nseed = 1\n[settings]\na = []", "seed: Extra inputs are not"),
        ("recipe = 'small.toml'\n[settings]\na = ['model.hiden=3']", "recipe "),
        ("recipe = 'nowhere'\n[settings]\na = []", "no packaged recipe has this name"),
    ],
)
def test_a_file_that_is_wrong(file: Path, text: str, words: str, capsys: Any) -> None:
    file.write_text(text, encoding="utf-8")
    assert main([str(file)]) == 2
    told = capsys.readouterr().err
    assert told.startswith("sweep: ")
    assert words in told
    assert not Path("sweeps").exists()


def test_real_trainings(file: Path) -> None:
    file.write_text(SWEEP.replace("[1, 2]", "[1]"), encoding="utf-8")
    assert main([str(file), "--jobs", "2"]) == 0
    work = Path("sweeps", "widths")
    rows = {row["name"]: row for row in map(json.loads, (work / ROWS).read_bytes().splitlines())}
    assert [*sorted(rows)] == ["base", "wide"]
    for row in rows.values():
        run = RunRecord.read(work / row["folder"])
        record = run.of_kind("validation")[-1]
        assert (row["metric"], row["updates"], row["best"]["update"]) == ("loss", 2, 2)
        assert row["score"] == record["loss"]
        assert row["parameters"] == run.card["parameters"]
    assert rows["wide"]["parameters"] > rows["base"]["parameters"]
    assert json.loads((work / "results.json").read_bytes())["summary"][0]["name"] == "base"


def test_one_that_fails_is_told_and_stops_no_other(
    file: Path, programs: dict[str, str], capsys: Any
) -> None:
    programs["base"] = "print('error: no memory left'); raise SystemExit(1)"
    assert main([str(file), "-o", "work", "--jobs", "3"]) == 1
    out, err = capsys.readouterr()
    assert err.count("failed (exit code 1):\n    error: no memory left") == 2
    assert "| wide    |     2 |" in out
    assert "base-1-" in out.partition("failed:")[0].split("\n\n")[-1]
    programs["base"] = ""
    assert main([str(file), "-o", "work"]) == 0, "the next call tries it again"
    assert "failed" not in Path("work", "results.md").read_text(encoding="utf-8")
    assert "wide" not in capsys.readouterr().err, "what was done is not done again"


def test_one_that_has_found_no_finite_loss_stops_no_other(
    file: Path, programs: object, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Its run ends well, but has no model, and so no card."""
    monkeypatch.setattr(RunRecord, "read", lambda _: SimpleNamespace(card={}))
    made = Job.row

    def row(job: Job) -> dict[str, Any] | None:
        return (HONEST_ROW if job.training.name == "base" else made)(job)

    monkeypatch.setattr(Job, "row", row)
    assert main([str(file), "-o", "work", "--jobs", "1"]) == 1
    out, err = capsys.readouterr()
    assert err.count("failed (no finite loss):") == 2
    assert "| wide    |     2 |" in out


def test_a_stopped_sweep_goes_on(file: Path, programs: dict[str, str]) -> None:
    """Its processes are asked to save when it is stopped, and its last row may be half-written."""
    trainings, work = read_sweep(file), Path("work")
    saving = "import time\ntry:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    print('saved')"
    programs["wide"] = saving
    first = sweep.sweep(trainings, work, 2, 1)
    assert [len(next(first).rows), len(next(first).rows)] == [0, 1]
    first.close()
    assert "saved" in (work / f"{trainings[1].folder}.log").read_text(encoding="utf-8")
    with (work / ROWS).open("a", encoding="utf-8") as rows:
        rows.write('{"folder": "half a row')
    programs["base"] = "raise SystemExit(1)"
    del programs["wide"]
    last = [*sweep.sweep(trainings, work, 2, 1)][-1]
    assert [(row["name"], row["seed"]) for row in last.rows] == [
        ("base", 1), ("wide", 1), ("wide", 2),
    ]  # fmt: skip
    assert [*last.failed] == [trainings[2].folder]
    assert len((work / ROWS).read_text(encoding="utf-8").splitlines()) == 3


def test_a_run_that_a_killed_sweep_left_training_is_waited_for(
    file: Path, programs: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings, work = read_sweep(file)[:1], Path("work")
    run = work / trainings[0].folder
    run.mkdir(parents=True)
    lock, slept = Lock(run), []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            assert not (work / f"{run.name}.log").exists()
            lock.release()
        honest(0.05)

    honest = sweep.time.sleep
    monkeypatch.setattr(sweep.time, "sleep", sleep)
    assert len([*sweep.sweep(trainings, work, 1, 1)][-1].rows) == 1
    assert len(slept) >= 3


def test_equal_time(
    file: Path, programs: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A setting that takes twice as long makes half of the updates; a later one is told in the
    first one's seconds, on a machine that has become three times as slow."""
    text = 'recipe = "quickstart"\nseeds = [1, 2]\nminutes = 2\n[settings]\na = []\n'
    text += 'b = ["model.encoder.hidden=64"]\n'
    file.write_text(text, encoding="utf-8")
    machine, turns = [1.0], []

    class Turn:
        def __init__(self, _: Path, settings: tuple[str, ...], *, recipe: str) -> None:
            assert recipe == "quickstart"
            self.wide = "model.encoder.hidden=64" in settings

        def turn(self, updates: int) -> dict[str, float]:
            turns.append(self.wide)
            return {"seconds": updates * (0.4 if self.wide else 0.2) * machine[0]}

    monkeypatch.setattr(equal_time, "Trial", Turn)
    monkeypatch.setattr(sweep, "prepare", lambda *_: {})

    def updates() -> dict[str, int | None]:
        found = [*sweep.sweep(read_sweep(file), tmp_path / "work", 1, 1)][-1].trainings
        assert {one.checked.training.epochs for one in found} == {None}
        return {f"{one.name}{one.seed}": one.checked.training.updates for one in found}

    assert updates() == {"a1": 600, "b1": 300, "a2": 600, "b2": 300}
    assert turns[:4] == [False, False, True, True], "a warm-up before what counts, in turns"
    machine[0] = 3.0
    file.write_text(text + 'c = ["seed=7"]\n', encoding="utf-8")
    assert updates() == {"a1": 600, "b1": 300, "c1": 600, "a2": 600, "b2": 300, "c2": 600}


def test_equal_time_is_for_pairs(file: Path, capsys: Any) -> None:
    file.write_text(SWEEP.replace("[settings]", "minutes = 3\n[settings]"), encoding="utf-8")
    assert main([str(file)]) == 2
    assert "minutes: is for pairs of texts" in capsys.readouterr().err


def test_a_corpus_is_prepared_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'recipe = "quickstart"\nseeds = [1, 2]\n[settings]\na = ["model.encoder.hidden=8"]\n'
    file.write_text(text + "b = []\nc = ['tokenizer.vocab_size=300']\n", encoding="utf-8")
    names = [one.data for one in read_sweep(file)]
    assert names[0] == names[1] == names[3] == names[4]
    assert names[2] == names[5] != names[0]


def test_the_table(file: Path) -> None:
    rows = [made_row("base", 1, 30.0), made_row("wide", 1, 31.0), made_row("base", 2, 31.0)]
    results = Results(read_sweep(file), rows)
    base, wide = summary(results)
    assert (base["mean"], base["deviation"]) == (30.5, statistics.stdev([30.0, 31.0]))
    assert (base["low"], base["high"], base["best_update"], base["minutes"]) == (30, 31, 150, 2.25)
    assert (wide["mean"], wide["deviation"], wide["seeds"]) == (31.0, None, [1])
    lines = report(results, {"cores": "2"}).splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
    assert cells[2:] == [
        [
            "base",
            "2",
            "bleu 30.50 ± 0.71 (30.00–31.00)",
            "150",
            "300",
            "2.2 ± 1.1 (1.5–3.0)",
            "2,500,000",
        ],
        ["wide", "1", "bleu 31.00", "100", "300", "1.5", "2,500,000"],
    ]
    assert lines[-1] == "1 of 4 trainings are not done yet."


def test_no_row_yet(file: Path) -> None:
    assert "4 of 4 trainings" in report(Results(read_sweep(file), []), {"cores": "2"})


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(Seq2SeqError) as error:
        read_sweep(Path("nowhere.toml"))
    assert str(error.value) == "nowhere.toml: cannot be read: No such file or directory"
