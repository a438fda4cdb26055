"""The benchmark of translating, on tools that are made up and on a tiny model of ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import main
from benchmarks.processes import Worker, WorkerError, first_answer
from benchmarks.text import Side, Text, write_pieces
from benchmarks.translate import CELLS, Plan, Tool, measure
from benchmarks.translate_report import AIMS, as_json, report

from seq2seq import recipe
from seq2seq.text.tokenizer import Tokenizer, train_tokenizers

LINES = [f"ein Hund läuft über {word}" for word in "die grüne Wiese und das Wasser".split()]

WORKER = """
import sys
sys.path.insert(0, {workers!r})
from loop import serve

def load():
    print("loading, as tools like to say")
    assert sys.argv[1:] == {arguments!r}, sys.argv
    def translate(lines, batch, beam):
        print("more noise")
        if {broken!r} == f"{{batch}}x{{beam}}":
            raise RuntimeError("it broke down")
        return [line if {same!r} else line.upper() for line in lines]
    return translate, {{}}

serve(load)
"""


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizers(recipe.Tokenizer(vocab_size=30), LINES, LINES).target


@pytest.fixture
def plan(tokenizer: Tokenizer, tmp_path: Path) -> Plan:
    references = [line.upper() for line in LINES]
    return Plan(LINES, references, tokenizer, threads=1, runs=2, single=2, logs=tmp_path / "logs")


def made_up(folder: Path, name: str, broken: str = "", **more: object) -> Tool:
    """A tool that writes capitals (of pieces, what it reads), and may break at one measurement."""
    workers = str(Path(sys.modules["benchmarks"].__path__[0]) / "workers")
    script = folder / f"{name}.py"
    same = "pieces" in more
    code = WORKER.format(workers=workers, arguments=["model", "1"], broken=broken, same=same)
    script.write_text(code, encoding="utf-8")
    return Tool(name, (sys.executable, str(script), "model"), peer=True, **more)  # type: ignore[arg-type]


def test_tools_take_turns_and_one_that_breaks_is_left_out(
    tmp_path: Path, plan: Plan, capfd: pytest.CaptureFixture[str]
) -> None:
    good = made_up(tmp_path, "good")
    bad = made_up(tmp_path, "bad", broken="64x5")
    gone = Tool("gone", (sys.executable, "-c", "raise SystemExit('no such model')"), peer=True)
    measure([good, bad, gone], plan)
    assert good.problem is None
    assert set(good.speed) == set(CELLS)
    assert {len(runs) for runs in good.speed.values()} == {2}
    assert min(min(runs) for runs in good.speed.values()) > 0
    assert len(good.load) == len(good.first) == 2
    assert good.texts[64, 5] == plan.references
    assert good.texts[1, 1] == plan.references[:2]
    assert good.bleu == {1: pytest.approx(100), 5: pytest.approx(100)}
    assert good.mib is not None
    assert 5 < good.mib < 500
    assert bad.problem is not None
    assert bad.problem.startswith("RuntimeError: it broke down (see ")
    assert gone.problem is not None
    assert gone.problem.startswith("no such model (see ")
    assert "left out: bad: RuntimeError" in capfd.readouterr().err


def test_tokens_a_second_count_what_was_said(tmp_path: Path, plan: Plan) -> None:
    tool = made_up(tmp_path, "good")
    measure([tool], plan)
    said = [len(row) + 1 for row in plan.tokenizer.encode(plan.references)]
    # The same seconds stand behind both: tokens a second times seconds is the count.
    assert sum(said) / tool.speed[64, 1][0] < 5
    assert sum(said[:2]) / tool.speed[1, 1][0] < 5


def test_a_tool_that_takes_pieces_is_given_pieces(tmp_path: Path, plan: Plan) -> None:
    rows = [plan.tokenizer.pieces(row) for row in plan.tokenizer.encode(LINES)]
    assert plan.join(rows) == LINES
    tool = made_up(tmp_path, "split", pieces=True)
    measure([tool], plan)
    assert tool.texts[64, 1] == LINES


def test_the_report_has_every_figure(tmp_path: Path, plan: Plan) -> None:
    ours = Tool("seq2seq onnx-int8", ("ours",), load=[1.0], first=[0.5], mib=100.0)
    peer = Tool("OpenNMT-py 3.5.1", ("peer",), load=[3.0], first=[3.5], mib=500.0, peer=True)
    for tool, speed in ((ours, 800.0), (peer, 100.0)):
        tool.speed = {cell: [speed, 2 * speed] for cell in CELLS}
        tool.texts = {cell: ["a", "b"] for cell in CELLS}
        tool.bleu = {1: 30.0, 5: 31.0}
    ours.step = {cell: [125.0] for cell in CELLS}
    ours.overhead = {cell: [0.2] for cell in CELLS}
    ours.texts[1, 5] = ["a", "other"]
    lost = Tool("lost", ("lost",), problem="it is not there")
    text = report([ours, peer, lost], plan, {"processor": "abacus", "threads": "1"})
    assert text.startswith("processor abacus; threads 1.\n")
    words = " ".join(text.split())
    assert "| seq2seq onnx-int8 | 1,200 (800–1,600) |" in words
    assert "| batch 64, beam 1 | 8.0, aim 5 |" in words
    assert AIMS["seq2seq onnx-int8"][1, 5] == 12
    assert "| seq2seq onnx-int8 | 0 of 2 | 1 of 2 |" in words
    assert text.endswith("Not measured: lost: it is not there\n")

    figures = json.loads(json.dumps(as_json([ours, peer, lost], plan, {"threads": "1"})))
    assert figures["tools"][0]["tokens_per_second"]["64x5"] == [800.0, 1600.0]
    assert figures["tools"][2]["problem"] == "it is not there"


def test_a_command_line_is_timed_to_its_first_line() -> None:
    answer = "import sys, time; print(sys.stdin.readline(), flush=True); time.sleep(0.7)"
    seconds = first_answer([sys.executable, "-c", answer], "hello", threads=1)
    assert 0 < seconds < 0.7
    with pytest.raises(WorkerError, match=r"^no model there$"):
        first_answer([sys.executable, "-c", "raise SystemExit('no model there')"], "", threads=1)


def test_a_worker_is_gone_when_it_is_closed(tmp_path: Path) -> None:
    tool = made_up(tmp_path, "good")
    with Worker(tool.command, 1, tmp_path / "log") as worker:
        assert worker.ask("translate", lines=["a"], batch=1, beam=1)["texts"] == ["A"]
        assert worker.load_seconds > 0
        process = worker.process
    assert process.returncode is not None


def test_pieces_are_written_for_peers(tokenizer: Tokenizer, tmp_path: Path) -> None:
    source, target = tmp_path / "a", tmp_path / "b"
    for path in (source, target):
        path.write_text("".join(f"{line}\n" for line in LINES), encoding="utf-8")
    side = Side(source, target)
    write_pieces(Text("text", side, side, side), tokenizer, tmp_path / "pieces")
    rows = (tmp_path / "pieces" / "train.target").read_text(encoding="utf-8").splitlines()
    assert ["".join(row.split()).replace("▁", " ").strip() for row in rows] == LINES
    vocabulary = (tmp_path / "pieces" / "vocab").read_text(encoding="utf-8").splitlines()
    assert len(vocabulary) == tokenizer.size - 4
    assert {piece for row in rows for piece in row.split(" ")} <= set(vocabulary)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--engines", "torch,onyx"],
            "bench: --engines: there is no 'onyx'; allowed: onnx-int8, onnx-float32, torch\n",
        ),
        (
            ["--train", "a.en", "a.de"],
            "bench: --val and --test missing: give --train, --val and --test, or none of them\n",
        ),
        (
            "--train a.en a.de --val a.en a.de --test a.en a.de".split(),
            "bench: a.en: no such file\n",
        ),
    ],
)
def test_wrong_options_are_one_clear_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["translate", *arguments]) == 2
    assert capsys.readouterr().err == message
    assert list(tmp_path.iterdir()) == []
