"""Preparing: what lands in the folder, that it is repeated exactly, and how it fails."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import seq2seq
import seq2seq.data.preparing.prepare as module
from seq2seq.data.dataset import PairDataset, PreparedData
from seq2seq.data.preparing.prepare import is_prepared, prepare
from seq2seq.data.preparing.statistics import PrepareReport, Sentences, report_table
from seq2seq.errors import DataError, ModelError, RecipeError, Seq2SeqError
from seq2seq.recipe import Recipe
from seq2seq.recipe.data import LinesSource
from seq2seq.storage import atomic
from seq2seq.text.cleaning import Dropped
from seq2seq.text.tokenizer import train_tokenizers

Corpus = dict[str, list[str]]
Make = Callable[..., Recipe]

ARROW = ("train.arrow", "val.arrow", "test.arrow")


def everything(dataset: PairDataset) -> tuple[list[str], list[str]]:
    return dataset.texts(np.arange(len(dataset)))


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if "partial" in path.name or "old" in path.name]


def problem(recipe: Recipe, output: Path, kind: type[Exception] = DataError, **keys: bool) -> str:
    with pytest.raises(kind) as error:
        prepare(recipe, output, **keys)
    assert leftovers(output.parent) == []
    return str(error.value)


def test_what_is_in_the_folder(corpus: Corpus, recipe_for: Make, tmp_path: Path) -> None:
    data = prepare(recipe_for(), tmp_path / "new" / "out")
    names = sorted(path.name for path in data.folder.iterdir())
    assert names == sorted([*ARROW, "manifest.json", "recipe.toml", "tokenizer.model"])
    assert everything(data.train) == (corpus["train.a"], corpus["train.b"])
    assert everything(data.val) == (corpus["val.a"], corpus["val.b"])  # every line, as it was
    assert data.test is not None
    assert everything(data.test) == (corpus["test.a"], corpus["test.b"])
    assert data.train.lines(np.arange(900)).tolist() == list(range(1, 901))
    for dataset in (data.train, data.val):
        source, target = dataset.ids(np.arange(len(dataset)))
        texts = everything(dataset)
        assert [row.tolist() for row in source] == data.tokenizers.source.encode(texts[0])
        assert [row.tolist() for row in target] == data.tokenizers.target.encode(texts[1])
    assert data.recipe == recipe_for()
    assert data.manifest["files"].keys() == set(names) - {"manifest.json"}
    assert data.manifest["versions"].keys() == {
        "python", "numpy", "pyarrow", "sentencepiece", "seq2seq"
    }  # fmt: skip
    assert len(data.manifest["inputs"]["train"]) == 2
    assert (data.folder.stat().st_mode & 0o777) == 0o755


def test_no_test_set_and_one_tokenizer_a_side(
    corpus: Corpus, recipe_for: Make, tmp_path: Path
) -> None:
    recipe = recipe_for(tokenizer={"vocab_size": 60, "joint": False})
    recipe = recipe.model_copy(update={"data": recipe.data.model_copy(update={"test": None})})
    data = prepare(recipe, tmp_path / "out")
    assert data.test is None
    assert sorted(path.name for path in data.folder.iterdir()) == [
        "manifest.json", "recipe.toml", "source.model", "target.model", "train.arrow", "val.arrow"
    ]  # fmt: skip
    assert not data.tokenizers.joint
    assert "ß" in data.tokenizers.target.decode(data.tokenizers.target.encode(["ßß"]))[0]


def test_repeated_exactly_by_any_number_of_processes(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.data.arrow.BATCH_PAIRS", 64)
    monkeypatch.setattr("seq2seq.data.preparing.workers.WORTH_A_PROCESS", 100)
    made = [prepare(recipe_for(), tmp_path / str(n), processes=n) for n in (1, 3)]
    for name in (*ARROW, "tokenizer.model"):
        assert len({(data.folder / name).read_bytes() for data in made}) == 1
    assert len({data.digest for data in made}) == 1
    assert everything(made[1].train) == (corpus["train.a"], corpus["train.b"])


def test_pipes_are_as_wide_as_the_system_lets_them_be(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Linux refuses where a user's pipes hold 64 MiB: with a hundred processors they would."""

    def refused(*_: object) -> int:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr("seq2seq.data.preparing.workers.WORTH_A_PROCESS", 100)
    monkeypatch.setattr("seq2seq.data.arrow.BATCH_PAIRS", 64)
    monkeypatch.setattr("fcntl.fcntl", refused)
    assert len(prepare(recipe_for(), tmp_path / "out", processes=2).train) == 900


def test_cleaning_and_the_report(corpus: Corpus, recipe_for: Make, tmp_path: Path) -> None:
    with (tmp_path / "train.a").open("ab") as a, (tmp_path / "train.b").open("ab") as b:
        a.write(b"kato caf\xe9\n\nkato\n" + corpus["train.a"][0].encode() + b"\nkato\xff\n")
        b.write(b"HUNDO\nHUNDO\nKA\0TO\n" + corpus["train.b"][0].encode() + b"\nKATO\n")
    (tmp_path / "val.a").write_bytes(b"kato\n\nhun\xffdo\n\nRUO\xc4\n")
    (tmp_path / "val.b").write_bytes(b"KATO\n\nHUNDO\nx\n???\n")
    cleaning = {"duplicates": True, "max_length": 11}
    data = prepare(recipe_for(encoding="utf-8", cleaning=cleaning), tmp_path / "out")
    long = sum(len(line.split()) > 11 for line in corpus["train.a"])
    first_long = 1 + next(n for n, x in enumerate(corpus["train.a"]) if len(x.split()) > 11)
    train, val, test = data.report.splits
    assert (train.name, train.read, train.kept) == ("train", 905, 901 - 1 - long)
    assert train.dropped == (
        Dropped("invalid_utf8", 2, 901),
        Dropped("empty", 1, 902),
        Dropped("control_characters", 1, 903),
        Dropped("max_length", long, first_long),
        Dropped("duplicates", 1, 904),
    )
    assert (train.replaced, train.replaced_line) == (0, None)
    assert (val.read, val.kept, val.dropped) == (5, 5, ())
    assert (val.replaced, val.replaced_line) == (2, 3)
    assert everything(data.val) == (
        ["kato", "", "hun\ufffddo", "", "RUO\ufffd"],
        ["KATO", "", "HUNDO", "x", "???"],
    )
    lines = data.train.lines(np.arange(len(data.train)))
    assert lines[-1] == 900
    assert first_long not in lines

    rows = data.tokenizers.target.encode(["KATO", "", "HUNDO", "x", "???"])
    lengths = sorted(map(len, rows))
    assert val.target.tokens == sum(lengths)
    assert val.target.unknown == sum(row.count(1) for row in rows) > 0
    assert val.target.unknown_rate == val.target.unknown / val.target.tokens
    assert (val.target.p50, val.target.longest) == (lengths[2], lengths[-1])
    assert data.report.seconds > 0
    assert data.report.peak_memory > 2**20
    assert test.read == 25

    report = data.report
    assert PrepareReport.from_json(json.loads(json.dumps(report.to_json()))) == report


def test_percentiles_are_the_smallest_length_that_covers_the_share() -> None:
    from seq2seq.data.preparing.statistics import SideCounter

    generator = np.random.default_rng(3)
    lengths = generator.integers(0, 300, size=1000).astype(np.int32)
    counter = SideCounter()
    for part in np.array_split(lengths, 7):
        counter.add(np.ones(part.sum(), dtype=np.int32), part)
    side = counter.side()
    expected = [int(np.percentile(lengths, share, method="inverted_cdf")) for share in (50, 90, 99)]
    assert [side.p50, side.p90, side.p99] == expected
    assert (side.longest, side.tokens, side.unknown) == (
        lengths.max(), lengths.sum(), lengths.sum()
    )  # fmt: skip


def test_the_table(corpus: Corpus, recipe_for: Make, tmp_path: Path) -> None:
    from rich.console import Console

    with (tmp_path / "train.a").open("ab") as a, (tmp_path / "train.b").open("ab") as b:
        a.write(b"\n" * 3)
        b.write(b"\n" * 3)
    (tmp_path / "val.a").write_bytes(b"kato\xff\n" * 40)
    data = prepare(recipe_for(encoding="utf-8"), tmp_path / "out")
    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(report_table(data.report))
        text = " ".join(console.export_text().split())
    assert "train │ 903 │ 3 │ 900 │" in text
    for source, target in list(zip(corpus["train.a"], corpus["train.b"], strict=True))[:3]:
        assert f"train │ {source} │ {target} │" in text
    assert "train │ {} │ {} │".format(corpus["train.a"][3], corpus["train.b"][3]) not in text
    assert "train │ empty │ 3 │ 901 │" in text
    source = data.report.splits[0].source
    assert f"train source │ {source.tokens:,} │ 0.000% │ {source.p50} │ {source.p90} │" in text
    assert "val: bytes that are not UTF-8 were replaced in 40 pairs, first at line 1" in text
    assert f"{data.report.seconds:.1f} seconds, " in text


def test_pairs_are_shown_as_they_were_read_but_safe_for_a_terminal(
    recipe_for: Make, corpus: Corpus, tmp_path: Path
) -> None:
    from rich.console import Console

    with (tmp_path / "val.a").open("w") as a, (tmp_path / "val.b").open("w") as b:
        a.write("[bold]A\tdog\x1b]0;title\x07[/bold]\n")
        b.write("x" * 10_000 + "\n")
    data = prepare(recipe_for(), tmp_path / "out")
    console = Console(width=250, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(report_table(data.report))
    text = console.export_text()
    assert r"[bold]A\tdog\x1b]0;title\x07[/bold]" in text
    assert "x" * 67 + "... " in text
    assert "\x1b" not in text


def test_text_in_another_encoding_is_an_error_above_a_share(
    recipe_for: Make, corpus: Corpus, tmp_path: Path
) -> None:
    def write(wrong: int, lines: int = 100) -> None:
        text = b"gr\xfcn und sch\xf6n\n" * wrong + "grün und schön\n".encode() * (lines - wrong)
        (tmp_path / "val.a").write_bytes(text)
        (tmp_path / "val.b").write_bytes(b"x\n" * lines)

    write(2)
    assert prepare(recipe_for(), tmp_path / "few").report.splits[1].replaced == 2
    write(3)
    assert problem(recipe_for(), tmp_path / "more") == (
        f"{tmp_path / 'val.a'}: not UTF-8: 3 of 100 lines cannot be decoded (first: line 1); "
        'probably cp1252: if so, give its table in the recipe the key encoding = "cp1252", or '
        "--set data.train.encoding=cp1252 (of validation pairs data.val.encoding; where one of two "
        'files is UTF-8, a list by side: \'["utf-8","cp1252"]\')'
    )
    assert prepare(recipe_for("utf-8"), tmp_path / "told").report.splits[1].replaced == 3
    write(100)
    data = prepare(recipe_for("cp1252"), tmp_path / "read")
    assert set(everything(data.val)[0]) == {"grün und schön"}
    assert everything(data.train)[0][0] == corpus["train.a"][0]  # plain ASCII


def test_a_latin_1_training_text_is_not_dropped_in_silence(
    recipe_for: Make, corpus: Corpus, tmp_path: Path
) -> None:
    text = "\n".join(f"{line} ö" for line in corpus["train.b"]).replace("ß", "ü")
    (tmp_path / "train.b").write_bytes(text.encode("latin-1"))
    assert problem(recipe_for(), tmp_path / "out").startswith(
        f"{tmp_path / 'train.b'}: not UTF-8: 900 of 900 lines cannot be decoded (first: line 1); "
    )


def test_lines_that_hold_no_pair_are_counted(recipe_for: Make, tmp_path: Path) -> None:
    rows = [f"A dog {n}\tEin Hund {n}" for n in range(200)]
    (tmp_path / "train.tsv").write_text("\n".join(["en\tde", *rows, "a\tb\tc", "d", ""]))
    (tmp_path / "val.tsv").write_text("A\tB\nno pair\n")
    data = {split: str(tmp_path / f"{split}.tsv") for split in ("train", "val")}
    train, val = prepare(
        recipe_for(data=data, tokenizer={"vocab_size": 30}), tmp_path / "out"
    ).report.splits
    assert train.dropped == (Dropped("header", 1, 1), Dropped("columns", 2, 202))
    assert train.examples[0] == ("A dog 0", "Ein Hund 0")
    assert (train.kept, val.kept, val.dropped) == (200, 1, (Dropped("columns", 1, 2),))


def test_files_that_were_renamed_are_the_same_data(
    corpus: Corpus, recipe_for: Make, tmp_path: Path
) -> None:
    prepare(recipe_for(), tmp_path / "out")
    named = recipe_for(
        data={
            split: [str(tmp_path / f"{split}.{side}") for side in ("x", "y")]
            for split in ("train", "val", "test")
        }
    )
    for split in ("train", "val", "test"):
        (tmp_path / f"{split}.a").rename(tmp_path / f"{split}.x")
        (tmp_path / f"{split}.b").rename(tmp_path / f"{split}.y")
    assert is_prepared(named, tmp_path / "out")
    assert prepare(named, tmp_path / "out").changed_inputs(named) == []
    swapped = named.model_copy(update={"data": recipe_for().data})
    (tmp_path / "train.x").rename(tmp_path / "train.b")
    (tmp_path / "train.y").rename(tmp_path / "train.a")
    for split in ("val", "test"):
        (tmp_path / f"{split}.x").rename(tmp_path / f"{split}.a")
        (tmp_path / f"{split}.y").rename(tmp_path / f"{split}.b")
    assert not is_prepared(swapped, tmp_path / "out")


def test_a_folder_of_the_same_recipe_and_files_is_kept(
    corpus: Corpus, recipe_for: Make, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    recipe = recipe_for()
    assert not is_prepared(recipe, output)
    prepare(recipe, output)
    before = (output / "manifest.json").stat().st_mtime_ns
    other_training = recipe_for(training={"epochs": 3})
    assert is_prepared(recipe, output)
    assert prepare(other_training, output).folder == output
    assert (output / "manifest.json").stat().st_mtime_ns == before

    another = recipe_for(cleaning={"max_length": 5})
    assert not is_prepared(another, output)
    message = (
        f"{output}: holds data of another recipe, other files or an older version: choose "
        "another folder, remove this one, or replace it (seq2seq prepare --overwrite)"
    )
    assert problem(another, output) == message
    with (tmp_path / "val.a").open("a") as file:
        file.write("kato\n")
    with (tmp_path / "val.b").open("a") as file:
        file.write("KATO\n")
    assert problem(recipe, output) == message
    assert len(prepare(recipe, output, overwrite=True).val) == 41
    assert len(prepare(another, output, overwrite=True).train) < 900
    assert leftovers(tmp_path) == []


def test_what_is_not_ours_is_never_overwritten(
    corpus: Corpus, recipe_for: Make, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    for name in ("a", "thesis.tex", "x", "y"):
        (output / name).write_text("mine")
    for overwrite in (False, True):
        assert problem(recipe_for(), output, overwrite=overwrite) == (
            f"{output}: not empty, and not a prepared folder (it holds a, thesis.tex, x, ...): "
            "choose another"
        )
    assert (output / "thesis.tex").read_text() == "mine"
    file = tmp_path / "val.a"
    assert problem(recipe_for(), file) == f"{file}: a file, where a folder is to be made"
    empty = tmp_path / "empty"
    empty.mkdir()
    assert len(prepare(recipe_for(), empty).train) == 900


def test_a_failed_replacement_leaves_the_old_folder(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    digest = prepare(recipe_for(), output).digest

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for owner, place in (
        (module, "train_tokenizers"),
        (module, "write_manifest"),
        (atomic, "sync"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(owner, place, interrupt)
            with pytest.raises(KeyboardInterrupt):
                prepare(recipe_for(cleaning={"max_length": 5}), output, overwrite=True)
        assert leftovers(tmp_path) == []
        assert PreparedData.open(output).digest == digest


def test_recipes_without_data(recipe_for: Make, tmp_path: Path) -> None:
    message = problem(recipe_for(name="mine", data={}), tmp_path / "out", RecipeError)
    assert message == (
        "recipe mine: data.train: missing: name the files, for instance "
        '--set \'data.train=["FILE.en","FILE.de"]\''
    )


def test_bad_input_is_found_before_work_begins(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test.b").unlink()
    monkeypatch.setattr(module, "read_blocks", None)
    message = problem(recipe_for(), tmp_path / "out")
    assert message == f"{tmp_path / 'test.b'}: no such file (did you mean 'test.a'?)"


def test_bad_data(corpus: Corpus, recipe_for: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    (tmp_path / "val.a").write_text("one\ntwo\n")
    assert problem(recipe_for(), output) == (
        f"{tmp_path / 'val.a'} has 2 lines but {tmp_path / 'val.b'} has 40: "
        "line n of one must be the translation of line n of the other"
    )
    for name in ("train.a", "train.b"):
        (tmp_path / name).write_bytes(b"\n\nx\0\n")
    assert problem(recipe_for(), output) == (
        "data.train: cleaning dropped every pair (empty 2, control_characters 1): mend its text "
        "or the rules of [cleaning]"
    )
    (tmp_path / "train.a").write_bytes(b"a b c\n" * 3)
    (tmp_path / "train.b").write_bytes(b"A B C\n" * 3)
    (tmp_path / "val.a").write_text("x\n" * 40)
    assert problem(recipe_for(), output) == (
        "tokenizer.vocab_size = 90 is too large for this little text, which allows at most 12 for "
        'both sides: leave it out ("auto": a size that suits the text), or use --set '
        "tokenizer.vocab_size=8, or more text"
    )
    model = tmp_path / "no.model"
    assert problem(recipe_for(tokenizer={"model": str(model)}), output, ModelError) == (
        f"{model}: no such file (a SentencePiece model)"
    )
    assert not output.exists()


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError("Error writing bytes to file. Detail: [errno 28] No space left on device"),
    ],
)
def test_a_full_disk(
    corpus: Corpus,
    recipe_for: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
) -> None:
    def full(*_: object) -> None:
        raise error

    monkeypatch.setattr(module, "write_manifest", full)
    usage = type("Usage", (), {"free": 5 * 2**20})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    output = tmp_path / "out"
    assert problem(recipe_for(), output) == (
        f"{output}: the disk is full (5 MiB left); nothing was kept"
    )


def test_arrow_says_that_the_disk_is_full_as_we_expect() -> None:
    # /dev/full is a disk that is always full: this is the text that pyarrow's error really has.
    with pytest.raises(OSError, match="No space left on device"), pa.OSFile("/dev/full", "wb") as f:
        f.write(b"x" * 2**20)


def test_where_nothing_can_be_written(corpus: Corpus, recipe_for: Make, tmp_path: Path) -> None:
    output = tmp_path / "val.a" / "out"
    with pytest.raises(DataError) as error:
        prepare(recipe_for(), output)
    assert str(error.value) == f"{output}: cannot be written: Not a directory"


def test_parent_folders_are_left_as_they_were(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    bad = recipe_for(tokenizer={"vocab_size": 9000})
    for output in (Path("data/deep/out"), tmp_path / "data/out"):
        with pytest.raises(DataError, match=r"^tokenizer\.vocab_size = 9000 is too large"):
            prepare(bad, output)
        assert sorted(tmp_path.iterdir()) == before
    (tmp_path / "data").mkdir()  # the user's, though it is empty
    with pytest.raises(DataError):
        prepare(bad, Path("data/deep/out"))
    assert list((tmp_path / "data").iterdir()) == []
    prepare(recipe_for(), Path("data/deep/out"))
    with pytest.raises(DataError):
        prepare(bad, Path("data/deep/other"))
    assert [path.name for path in Path("data/deep").iterdir()] == ["out"]


def test_a_tokenizing_process_that_fails(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.data.preparing.workers.WORTH_A_PROCESS", 100)
    stand_in = tmp_path / "python"
    cases = {
        "exit 3": "exit status 3",
        "echo oh; echo dear >&2; exit 1": "dear",
        "kill -9 $$": "killed by SIGKILL (out of memory?)",
    }
    for script, reason in cases.items():
        stand_in.write_text(f"#!/bin/sh\n{script}\n")
        stand_in.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(stand_in))
        message = problem(recipe_for(), tmp_path / "out")
        assert message == f"a tokenizing process failed: {reason}; try fewer processes"


def test_ctrl_c_leaves_nothing(corpus: Corpus, recipe_for: Make, tmp_path: Path) -> None:
    # A script without a __main__ guard, which multiprocessing would run again in its children.
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time\nfrom pathlib import Path\n"
        "from seq2seq.data import arrow as storage\nfrom seq2seq.data.preparing import workers\n"
        "from seq2seq.data.preparing.prepare import prepare\n"
        "from seq2seq.recipe import Recipe\n"
        "storage.BATCH_PAIRS, workers.WORTH_A_PROCESS = 64, 100\n"
        "class Slow:\n"
        "    def start(self, task, total): print(task, flush=True)\n"
        "    def advance(self, count): time.sleep(0.01)\n"
        "    def finish(self): pass\n"
        "recipe = Recipe.model_validate_json(sys.argv[1])\n"
        "try: prepare(recipe, Path(sys.argv[2]), processes=3, progress=Slow())\n"
        "except KeyboardInterrupt: sys.exit(130)\n"
        "time.sleep(60)\n"
    )
    output = tmp_path / "out"
    command = [sys.executable, str(script), recipe_for().model_dump_json(), str(output)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            if line == "tokenizing train\n":
                break
        time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(120) == 130, process.stderr.read()
        assert process.stderr.read() == ""
    assert not output.exists()
    assert leftovers(tmp_path) == []


def test_progress(corpus: Corpus, recipe_for: Make, tmp_path: Path) -> None:
    said: list[object] = []

    class Listener:
        def start(self, task: str, total: int | None) -> None:
            said.extend([task, total, 0])

        def advance(self, count: int) -> None:
            said[-1] += count  # type: ignore[operator]

        def finish(self) -> None:
            said.append("done")

    prepare(recipe_for(), tmp_path / "out", progress=Listener())
    assert said == [
        "reading train", None, 900, "done", "reading val", None, 40, "done",
        "reading test", None, 25, "done", "training the tokenizer", None, 0, "done",
        "tokenizing train", 900, 900, "done", "tokenizing val", 40, 40, "done",
        "tokenizing test", 25, 25, "done", "comparing val and test with train", None, 0, "done",
    ]  # fmt: skip


def test_memory_does_not_grow_with_the_corpus(
    corpus: Corpus, recipe_for: Make, tmp_path: Path
) -> None:
    code = (
        "import sys, threading, time\nfrom pathlib import Path\n"
        "from seq2seq.data import arrow as storage\n"
        "from seq2seq.data.preparing.prepare import prepare\n"
        "from seq2seq.recipe import Recipe\n"
        "storage.BATCH_PAIRS = 256\n"
        "peak = 0\n"
        "def watch():\n"
        "    global peak\n"
        "    while True:\n"
        "        status = Path('/proc/self/status').read_text()\n"
        "        peak = max(peak, int(status.split('RssAnon:')[1].split()[0]))\n"
        "        time.sleep(0.002)\n"
        "threading.Thread(target=watch, daemon=True).start()\n"
        "data = prepare(Recipe.model_validate_json(sys.argv[1]), Path(sys.argv[2]), processes=1)\n"
        "print(peak)\n"
    )  # its own pages: ru_maxrss is inherited from the parent, and VmHWM counts the mapped files
    options = recipe_for().tokenizer
    model = tmp_path / "given.model"
    model.write_bytes(train_tokenizers(options, corpus["train.a"], corpus["train.b"]).source.proto)
    peaks = []
    for times in (40, 120):  # more than the reader's buffer holds
        for name in ("train.a", "train.b"):
            text = "\n".join(corpus[name] * times) + "\n"
            (tmp_path / name).write_text(text, "utf-8", newline="\n")
        recipe = recipe_for(tokenizer={"model": str(model)})
        command = [sys.executable, "-c", code, recipe.model_dump_json(), str(tmp_path / str(times))]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        peaks.append(int(done.stdout))
    grown = (tmp_path / "120" / "train.arrow").stat().st_size // 1024
    assert peaks[1] - peaks[0] < 0.4 * grown
    assert peaks[1] < 1.1 * peaks[0]


KILLED = """
import os, signal, sys
from pathlib import Path
from seq2seq.data.preparing import prepare as module
from seq2seq.recipe import Recipe

class Deadly:
    def start(self, task, total):
        if task == sys.argv[3]:
            os.kill(os.getpid(), signal.SIGKILL)
    def advance(self, count): pass
    def finish(self): pass

recipe, output = Recipe.model_validate_json(sys.argv[1]), Path(sys.argv[2])
module.prepare(recipe, output, progress=Deadly())
"""


@pytest.mark.parametrize(
    "moment", ["reading val", "training the tokenizer", "tokenizing train", "tokenizing test"]
)
def test_after_a_kill_at_any_moment_the_same_command_works(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, moment: str
) -> None:
    recipe, output = recipe_for(), tmp_path / "new" / "out"
    command = [sys.executable, "-c", KILLED, recipe.model_dump_json(), str(output), moment]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not output.exists()
    assert leftovers(output.parent) != []
    killed = prepare(recipe, output)
    assert leftovers(output.parent) == []
    assert killed.digest == prepare(recipe, tmp_path / "undisturbed").digest


def test_training_that_was_killed_while_it_prepared_goes_on(
    corpus: Corpus, recipe_for: Make, tmp_path: Path
) -> None:
    settings = {"updates": 1, "validation": {"lines": 2}}
    recipe = recipe_for(training=settings, translation={"max_ratio": 0.5, "max_extra": 2})
    run = tmp_path / "run"
    script = KILLED.replace(
        "module.prepare(recipe, output, progress=Deadly())",
        "import seq2seq; real = module.prepare\n"
        "module.prepare = lambda *a, **k: real(*a, **{**k, 'progress': Deadly()})\n"
        "from seq2seq.training import session\nsession.prepare = module.prepare\n"
        "seq2seq.train(recipe, output, threads=1)",
    )
    for moment in ("tokenizing train", "never"):
        command = [sys.executable, "-c", script, recipe.model_dump_json(), str(run), moment]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        expected = -signal.SIGKILL if moment != "never" else 0
        assert done.returncode == expected, done.stderr
    assert PreparedData.open(run / "data").digest == prepare(recipe, tmp_path / "out").digest
    assert leftovers(run) == []


def test_the_current_folder_is_refused_before_work_begins(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = recipe_for()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(module, "read_blocks", None)
    assert problem(recipe, Path()) == (
        ".: the current folder or a link, and the folder is renamed into its place when it is "
        "complete: give -o a name of its own"
    )


def test_a_folder_that_holds_a_recipe_alone_is_the_users(
    corpus: Corpus, recipe_for: Make, tmp_path: Path
) -> None:
    output = tmp_path / "mine"
    output.mkdir()
    (output / "recipe.toml").write_text("# by hand\n")
    with pytest.raises(DataError, match=r"not empty, and not a prepared folder \(it holds recipe"):
        prepare(recipe_for(), output, overwrite=True)
    assert (output / "recipe.toml").read_text() == "# by hand\n"


def test_the_same_files_elsewhere_fit(corpus: Corpus, recipe_for: Make, tmp_path: Path) -> None:
    recipe = recipe_for()
    prepared = prepare(recipe, tmp_path / "out")
    source = recipe.data.train
    assert isinstance(source, LinesSource)
    moved = tmp_path / "moved.a"
    moved.write_bytes(Path(source.source_path).read_bytes())

    def named(path: Path) -> Recipe:
        other = source.model_copy(update={"source_path": str(path)})
        return recipe.model_copy(update={"data": recipe.data.model_copy(update={"train": other})})

    prepared.check_fits(named(moved))
    prepared.check_fits(named(tmp_path / "on another machine"))
    moved.write_text("something else\n")
    with pytest.raises(DataError, match=r"data\.train\.source_path is "):
        prepared.check_fits(named(moved))


def test_sentences_a_line_are_counted(corpus: Corpus, recipe_for: Make, tmp_path: Path) -> None:
    single = prepare(recipe_for(), tmp_path / "single").report.splits[0].sentences
    assert single == Sentences(0.0, 1)
    lines = corpus["train.a"]
    several = [f"{line}. {line}. {line}." if n % 2 else line for n, line in enumerate(lines)]
    source = recipe_for().data.train
    assert isinstance(source, LinesSource)
    Path(source.source_path).write_text("\n".join(several) + "\n", encoding="utf-8", newline="\n")
    found = prepare(recipe_for(), tmp_path / "several").report.splits[0].sentences
    assert found is not None
    assert found.several == pytest.approx(0.5, abs=0.1)
    assert found.p99 == 3


def test_what_cannot_be_spelled_is_shown(corpus: Corpus, recipe_for: Make, tmp_path: Path) -> None:
    from rich.console import Console

    (tmp_path / "val.b").write_text("KATO Ω Ж\nΩ\n" + "HUNDO\n" * 38, encoding="utf-8")
    data = prepare(recipe_for(), tmp_path / "out")
    train, val, _ = data.report.splits
    assert train.target.unspelled == ()
    assert val.target.unspelled == (("Ω", 2), ("Ж", 1))
    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(report_table(data.report))
    told = "val target: characters that the tokenizer cannot spell: 'Ω' (2), 'Ж' (1)"
    assert told in console.export_text()


@pytest.mark.parametrize(
    ("rule", "rewritten"),
    [
        ("nmt_nfkc", (("…", 3), ("½", 1))),
        ("nfkc_cf", (("K", 38), ("A", 37), ("T", 37))),
        ("identity", ()),
        ("auto", ()),
    ],
)
def test_what_normalization_takes_from_targets_is_shown(
    corpus: Corpus,
    recipe_for: Make,
    tmp_path: Path,
    rule: str,
    rewritten: tuple[tuple[str, int], ...],
) -> None:
    """By a rule for the vocabulary, or in a model that is given."""
    for name in ("train.b", "val.b"):
        lines = ["KATO … ½  …", "Ko…ĝ ä\u3000", *["KATO", "KATO\u2028"] * 18]
        source = (tmp_path / name.replace(".b", ".a")).read_text("utf-8").split("\n")[:38]
        (tmp_path / name.replace(".b", ".a")).write_text("\n".join(source) + "\n", "utf-8")
        (tmp_path / name).write_text("\n".join(lines) + "\n", "utf-8")
    cleaning = {"empty": False, "control_characters": False}
    recipe = recipe_for(tokenizer={"normalization": rule}, cleaning=cleaning)
    data = prepare(recipe, tmp_path / "out")
    train, val, _ = data.report.splits
    assert train.target.rewritten == val.target.rewritten == rewritten
    model = next(data.folder.glob("t*.model"))
    given = recipe_for(tokenizer={"model": str(model)}, cleaning=cleaning)
    assert prepare(given, tmp_path / "given").report.splits[0].target.rewritten == rewritten
    from rich.console import Console

    console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(report_table(data.report))
    told = "train target: characters that the tokenizer rewrites, so that no translation has them: "
    assert ((told + "'…' (3), '½' (1)") in console.export_text()) == (rule == "nmt_nfkc")


def test_a_column_of_numbers_is_told(recipe_for: Make, tmp_path: Path) -> None:
    """A column is named by its number, and is that of the ids."""
    from rich.console import Console

    rows = [f"{n}\tla kato kuras {n}\t{'9' * (n % 3)}DIE {n}\n" for n in range(60)]
    (tmp_path / "rows.tsv").write_text("".join(rows), "utf-8")
    told = []
    for column in (0, 1):
        data = {"train": {"path": str(tmp_path / "rows.tsv"), "source": column, "target": 2}}
        report = prepare(recipe_for(data=data, tokenizer={}), tmp_path / str(column)).report
        console = Console(width=200, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
        with console.file:
            console.print(report_table(report))
        told.append([s for s in console.export_text().splitlines() if s.startswith("warning")])
    assert told[0][0] == (
        "warning: train: the source is only numbers (0, 1, 2): is it another column?"
    )
    assert told[1] == []


def test_texts_in_quotes_are_told(recipe_for: Make, tmp_path: Path) -> None:
    """As spreadsheets write them; a pair among the first without them says that they are meant."""
    rows = [f'"Der kato {n}."\t"La kuras {n}."\n' for n in range(60)]
    told = []
    for name, first in (("all", ""), ("some", '"Yes," he says.\tJa.\n')):
        (tmp_path / f"{name}.tsv").write_text(first + "".join(rows), "utf-8")
        data = {"train": str(tmp_path / f"{name}.tsv")}
        report = prepare(recipe_for(data=data, tokenizer={}), tmp_path / name).report
        told.append([one for one in report.warnings() if one.startswith("train: the texts")])
    assert told == [
        [
            "train: the texts stand in quotes, which are kept: write the file without them if they "
            "are not meant"
        ],
        [],
    ]


def test_names_that_are_not_utf8_are_refused_before_anything_is_done(
    corpus: Corpus, recipe_for: Make, tmp_path: Path
) -> None:
    strange = os.fsdecode(b"caf\xe9")
    with pytest.raises(Seq2SeqError) as error:
        seq2seq.prepare(recipe_for(), tmp_path / strange)
    assert str(error.value) == rf"{tmp_path}/caf\udce9: this name is not UTF-8: give it another"
    here = tmp_path / strange
    here.mkdir()
    (here / "mine.toml").write_text('data = {train = ["a", "b"], val = ["a", "b"]}')
    with pytest.raises(Seq2SeqError, match=r"this name is not UTF-8: give it another$"):
        seq2seq.load_recipe(str(here / "mine.toml"))
    for where in ({"run": tmp_path / strange}, {"run": tmp_path / "run", "data": here}):
        with pytest.raises(Seq2SeqError, match=r"this name is not UTF-8: give it another$"):
            seq2seq.train(recipe_for(), **where)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("tokenizer", [{"vocab_size": 90}, {"model": "given"}])
def test_held_out_pairs_that_are_trained_on_are_counted(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, tokenizer: dict[str, object]
) -> None:
    if "model" in tokenizer:
        made = prepare(recipe_for(), tmp_path / "before").folder
        tokenizer = {"model": str(made / "tokenizer.model")}
    recipe = recipe_for(tokenizer=tokenizer)
    train, val, test = prepare(recipe, tmp_path / "out").report.splits
    known = set(zip(corpus["train.a"], corpus["train.b"], strict=True))
    for split in (val, test):
        pairs = zip(corpus[f"{split.name}.a"], corpus[f"{split.name}.b"], strict=True)
        assert split.in_train == sum(pair in known for pair in pairs)
    assert (train.in_train, val.in_train, test.in_train) == (0, 38, 25)
    assert list(PreparedData.open(tmp_path / "out").report.warnings()) == [
        f"{count} of the {pairs} are training pairs, too: scores on them are too good; name others "
        f"as data.{split}, or leave them out of data.train"
        for count, pairs, split in (
            (38, "40 validation pairs", "val"),
            (25, "25 test pairs", "test"),
        )
    ]


@pytest.mark.parametrize("repeated", [0, 4, 5])
def test_few_validation_pairs_that_are_trained_on_are_no_matter(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, repeated: int
) -> None:
    for side in ("a", "b"):
        lines = corpus[f"train.{side}"][:repeated] + [f"nova {n}" for n in range(40 - repeated)]
        (tmp_path / f"val.{side}").write_text("".join(f"{one}\n" for one in lines), "utf-8")
    report = prepare(recipe_for(), tmp_path / "out").report
    assert report.splits[1].in_train == repeated
    told = [one for one in report.warnings() if "validation pairs are training pairs, too" in one]
    assert len(told) == (repeated > 4)


def test_validation_on_the_training_files_is_refused(
    corpus: Corpus, recipe_for: Make, tmp_path: Path
) -> None:
    a, b = str(tmp_path / "train.a"), str(tmp_path / "train.b")
    (tmp_path / "link.b").symlink_to(b)
    (tmp_path / "rows.tsv").write_text("kato\tKATO\nhundo\tHUNDO\n", "utf-8")
    rows, other = {"path": str(tmp_path / "rows.tsv")}, [str(tmp_path / f"val.{s}") for s in "ab"]
    link = str(tmp_path / "link.b")
    for data, named in (
        ({"train": [a, b], "val": [a, link]}, (f"{a}, {link}", f"{a}, {b}")),
        ({"train": [other, rows], "val": rows}, (rows["path"], rows["path"])),
    ):
        assert problem(recipe_for(data=data), tmp_path / "out") == (
            f"data.val ({named[0]}) and data.train ({named[1]}) are the same: how text that was "
            "trained on is translated says nothing of other text: name other pairs, or leave "
            "data.val out, and some of the training pairs are held out"
        )
    assert not (tmp_path / "out").exists()
    one_side = recipe_for(data={"train": [a, b], "val": [a, str(tmp_path / "other.b")]})
    (tmp_path / "other.b").write_text("nova\n" * 900, "utf-8")
    assert len(prepare(one_side, tmp_path / "out").val) == 900


@pytest.mark.parametrize("side", ["a", "b"])
def test_validation_files_of_empty_lines_are_refused(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, side: str
) -> None:
    for language in ("a", "b"):
        text = "\n \n\n" if language == side else "kato\nkato\nkato\n"
        (tmp_path / f"val.{language}").write_text(text, encoding="utf-8")
    recipe = recipe_for()
    with pytest.raises(DataError) as error:
        prepare(recipe, tmp_path / "out")
    name = {"a": "source", "b": "target"}[side]
    assert str(error.value) == f"data.val: every line of the {name} is empty: name other files"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("same", [True, False])
def test_the_same_text_on_both_sides_is_told_of(
    corpus: Corpus, recipe_for: Make, tmp_path: Path, same: bool
) -> None:
    if same:
        for split in ("train", "val"):
            text = "".join(f"{line}\n" for line in corpus[f"{split}.a"])
            (tmp_path / f"{split}.b").write_text(text, encoding="utf-8")
    told = [
        f"{split}: the first pairs have the same text on both sides: is one of the files the "
        "wrong one?"
        for split in ("train", "val")
    ]
    found = prepare(recipe_for(), tmp_path / "out").report.warnings()
    assert [one for one in found if "both sides" in one] == told * same


def test_a_corpus_of_several_with_the_same_text_on_both_sides_is_told_of(
    corpus: Corpus, recipe_for: Make, tmp_path: Path
) -> None:
    a, b = str(tmp_path / "train.a"), str(tmp_path / "train.b")
    train = [[a, b], {"source_path": b, "target_path": b, "label": "twice"}]
    recipe = recipe_for(data={"train": train, "held_out": 20})
    found = prepare(recipe, tmp_path / "out").report.warnings()
    assert [one.partition(" have ")[0] for one in found if "both sides" in one] == [
        "train: twice: the first pairs"
    ]
