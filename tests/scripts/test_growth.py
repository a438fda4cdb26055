"""Memory and costs: the corpora that are made, the processes that are watched, the tables."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from benchmarks.costs import AXES, Corpus, Cost, costs, measure, precisions
from benchmarks.gpu import OnGpu
from benchmarks.gpu import measure as measure_gpu
from benchmarks.gpu import rows as gpu_rows
from benchmarks.growth_report import cost_tables, gpu_table, memory_table, together_table
from benchmarks.many import Held, Memory, descendants, memory, numbered, watched_run
from benchmarks.model import RECIPE
from benchmarks.processes import WorkerError, environment
from benchmarks.text import Side, Text
from benchmarks.together import Together
from benchmarks.together import measure as measure_together
from benchmarks.together import rows as together_rows
from benchmarks.trial import Trial, covered
from hypothesis import given
from hypothesis import strategies as st
from support.tiny import tiny_recipe

from seq2seq.data.preparing.prepare import prepare
from seq2seq.recipe.files import load_recipe

SMALL = [
    f"model.{side}.{name}={size}"
    for side in ("encoder", "decoder")
    for name, size in (("embedding", 6), ("hidden", 8))
] + ["training.batch_tokens=99"]  # fmt: skip
linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")


@pytest.fixture
def text(tmp_path: Path) -> Text:
    prepare(tiny_recipe(tmp_path, count=100), tmp_path / "data", processes=1)
    train = Side(tmp_path / "train.en", tmp_path / "train.de")
    val = Side(tmp_path / "val.en", tmp_path / "val.de")
    return Text("tiny", train, val, val)


def test_many_lines_are_distinct_and_all_of_the_text() -> None:
    side = ["a dog", "the old man sleeps", "yes", "a loudspeaker", "no no"]
    found = list(islice(numbered(side), 5000))
    assert len(set(found)) == 5000
    known = {word for line in side for word in line.split()}
    assert {word for line in found for word in line.split()} <= known
    for start in (0, 5, 4995):  # every line comes before one comes again
        assert {next(x for x in side if one.startswith(x + " ")) for one in found[start:][:5]} == {
            *side
        }
    assert next(numbered(side, first=4999)) == found[4999]
    assert len({len(line.split()) for line in islice(numbered(["x"]), 100)}) == 1


@linux
def test_memory_of_few_and_many_pairs_is_watched(tmp_path: Path, text: Text) -> None:
    work = tmp_path / "work"
    tokenizer = tmp_path / "data" / "tokenizer.model"
    found = list(memory(text, tokenizer, work, [150], updates=2, threads=1))
    assert [(one.task, one.pairs) for one in found] == [("prepare", 150), ("train", 150)]
    for one in found:
        assert 20 < one.held.anonymous <= one.held.family < 10_000
        assert one.held.anonymous < one.held.resident
    assert sorted(path.name for path in work.iterdir()) == ["prepare.log", "train.log"]


@linux
def test_a_command_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(WorkerError, match=r"(?s)^seq2seq prepare failed:\n.*no-such-recipe"):
        watched_run(["prepare", "no-such-recipe"], 1, tmp_path / "log")


@linux
def test_children_of_children_are_found() -> None:
    code = (
        "import subprocess, sys; "
        "subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == b"1\n"
        found = descendants(process.pid)
        process.stdin.write(b"\n")
        process.stdin.close()
    assert len(found) == 1
    assert process.pid not in found
    assert descendants(process.pid) == []


def test_a_network_is_changed_in_one_thing_at_a_time() -> None:
    base = load_recipe(str(RECIPE), Cost("vocabulary", 8000, "float32").settings)
    for cost in costs(["float32"]):
        recipe = load_recipe(str(RECIPE), cost.settings)
        assert (recipe == base) == (cost.base or cost.axis == "vocabulary")
    assert len(costs(["float32", "bfloat16"])) == 2 * sum(map(len, AXES.values()))
    assert [cost.axis for cost in costs(["float32"]) if cost.base] == list(AXES)
    assert precisions() in (["float32"], ["float32", "bfloat16"])


def test_pieces_are_drawn_from_the_vocabulary_that_is_asked_for(tmp_path: Path, text: Text) -> None:
    trial = Trial(tmp_path / "data", SMALL, vocabulary=999)
    real = Trial(tmp_path / "data", SMALL)
    ours, theirs = next(trial.batches), next(real.batches)
    assert ours.labels_BT.shape == theirs.labels_BT.shape
    assert theirs.labels_BT.max() < 150 < ours.labels_BT.max() < 999
    assert trial.facts()["parameters"] - real.facts()["parameters"] == (999 - 150) * (6 + 1)
    assert trial.facts()["device"] == "cpu"


def test_networks_are_measured_in_processes_of_their_own(tmp_path: Path, text: Text) -> None:
    rows = [Cost("vocabulary", 2000, "float32"), Cost("vocabulary", 8000, "float32")]
    log = tmp_path / "log"
    assert list(measure(rows, tmp_path / "data", 2, 1, 1, log, SMALL)) == ["vocabulary, float32"]
    for row in rows:
        assert len(row.speed) == len(row.milliseconds) == 2
        assert row.mib > 20
    assert rows[1].parameters - rows[0].parameters == 6000 * 7


def test_without_a_gpu_the_rows_are_left_out(tmp_path: Path, text: Text) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is one")
    told = measure_gpu(gpu_rows(), tmp_path / "data", 1, 1, 1, tmp_path / "log", SMALL)
    assert next(told) == "LSTM, bfloat16"
    with pytest.raises(WorkerError, match=r"^there is no GPU that PyTorch can use$"):
        next(told)


def test_a_process_sees_gpus_only_where_it_is_to() -> None:
    body = (
        "from benchmarks.processes import environment, hide_gpus; hide_gpus();"
        "import json; e = environment(1, gpu=True);"
        "print(json.dumps([e.get('CUDA_VISIBLE_DEVICES'),"
        "environment(1)['CUDA_VISIBLE_DEVICES']]))"
    )
    scripts = str(Path(__file__).parents[2] / "scripts")
    for given_, expected in ((None, [None, ""]), ("1", ["1", ""])):
        variables = {**environment(1), "PYTHONPATH": f"{scripts}:{Path(scripts).parent}"}
        del variables["CUDA_VISIBLE_DEVICES"]
        if given_:
            variables["CUDA_VISIBLE_DEVICES"] = given_
        done = subprocess.run(
            [sys.executable, "-c", body], env=variables, capture_output=True, check=True
        )
        assert json.loads(done.stdout) == expected


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9))))
def test_spans_that_overlap_count_once(spans: list[tuple[int, int]]) -> None:
    ends = [(begin, begin + length) for begin, length in spans]
    assert covered(ends) == len({at for begin, end in ends for at in range(begin, end)})


def test_the_tables_set_each_figure_beside_its_base() -> None:
    base = Cost("layers", 1, "float32", [100.0, 50.0], [10.0, 20.0], 5_000_000, 300)
    two = Cost("layers", 2, "float32", [50.0, 25.0], [20.0, 40.0], 7_000_000, 400)
    corpus = Corpus(30_000, 1.5, 12.0, 600_000)
    words = " ".join("\n".join(cost_tables([base, two], [corpus])).split())
    assert "| layers 2 | 7.0 | 38 (25–50) | 30 (20–40) | 2.00 | 400 |" in words
    assert "| 30,000 | 1.5 | 20,000 | 12.0 | 0.60 | 133.3 |" in words  # at 75 tokens a second
    assert "| 30,000 | 1.5 | 20,000 | 12.0 | 0.60 |" in " ".join(
        cost_tables([], [corpus])[0].split()
    )
    assert cost_tables([], []) == []

    held = [Memory("train", 10, Held(300, 200, 250)), Memory("train", 99, Held(330, 210, 500))]
    words = " ".join(memory_table(held)[0].split())
    assert "| train | 99 | 330 | 210 | 500 |" in words
    assert "| train, many / few | aim 1.1 | 1.10 | 1.05 | 2.00 |" in words
    assert memory_table([]) == []

    gpu = OnGpu("LSTM", (), True, [1000.0, 900.0], [50.0, 45.0], [0.25, 0.75], "H1")
    words = " ".join(gpu_table([gpu, OnGpu("GRU", ())])[0].split())
    assert words.startswith("| H1 |")
    assert "| LSTM | 950 (900–1,000) | 50.0 (25.0–75.0) | 20.0, aim 10 |" in words
    assert "GRU" not in words


@pytest.mark.slow
def test_processes_train_for_real_and_their_speed_is_what_they_have_logged(
    text: Text, tmp_path: Path
) -> None:
    found = together_rows(["float32"], 2)
    assert [(way.processes, way.threads) for way in found] == [(1, 2), (2, 1)]
    work = tmp_path / "work"
    more = [*SMALL, "tokenizer.vocab_size=150", "tokenizer.kind=unigram", "tokenizer.joint=true"]
    turns = list(measure_together(found, text, tmp_path / "data", 1, 1, work, more))
    assert turns == [1]
    assert all(len(way.speed) == 1 and way.speed[0] > 0 for way in found)
    assert [path.name for path in work.iterdir()] == ["together.log"]
    log = (work / "together.log").read_text(encoding="utf-8")
    assert "2 processes train together, each with a thread" in log
    assert "40 updates" in log


def test_a_training_of_several_processes_that_fails_is_told(text: Text, tmp_path: Path) -> None:
    one = [Together("float32", 1, 1)]
    with pytest.raises(WorkerError, match=r"with 1 processes failed:\n(.|\n)*nowhere"):
        list(measure_together(one, text, tmp_path / "nowhere", 1, 1, tmp_path / "work", SMALL))


def test_the_table_of_processes() -> None:
    ways = [Together("float32", 1, 2, [100.0, 200.0]), Together("float32", 2, 1, [150.0, 240.0])]
    (found,) = together_table(ways, [50.0, 80.0])
    assert "| float32, 2 processes |" in found
    assert "1.35 (1.20–1.50)" in found
    assert "| 3.00 |" in " ".join(found.split())
    (found,) = together_table(ways, [])
    assert "fairseq" not in found
    assert together_table([Together("float32", 1, 2)], []) == []
