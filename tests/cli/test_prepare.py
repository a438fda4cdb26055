from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np

from seq2seq.data.dataset import PreparedData

LINES = [f"the {i} old men see a dog and {i * 7} cats\n" for i in range(200)]


def write_corpus() -> None:
    for name in ("train.en", "train.de", "val.en", "val.de"):
        Path(name).write_text("".join(LINES), encoding="utf-8")


def test_prepare_own_files(run) -> None:
    write_corpus()
    settings = [
        "--set",
        'data.train=["train.en", "train.de"]',
        "--set",
        'data.val=["val.en", "val.de"]',
        "--set",
        "data.test=none",
        "--set",
        "tokenizer.vocab_size=60",
    ]
    done = run("prepare", "quickstart", *settings, "-o", "out", "--processes", "1")
    assert done.code == 0, done.err
    prepared = PreparedData.open(Path("out"))
    assert len(prepared.train) == 200
    assert "\x1b" not in done.out + done.err
    assert "\r" not in done.out + done.err
    lines = done.out.splitlines()
    assert any("200" in line and "train" in line for line in lines)
    assert lines[-2] == "prepared out; next:"
    words = ["seq2seq", "train", "quickstart", *settings, "--data", "out", "-o", "runs/quickstart"]
    assert shlex.split(lines[-1]) == words
    assert all(line.endswith(" s") for line in done.err.splitlines()), done.err


def test_the_folder_has_the_recipes_name_by_default(run, monkeypatch) -> None:
    write_corpus()
    Path("mine.toml").write_text(
        'name = "mine"\ndata = {train = ["train.en", "train.de"], val = ["val.en", "val.de"]}\n'
        "tokenizer.vocab_size = 60\n",
        encoding="utf-8",
    )
    done = run("prepare", "mine.toml", "--processes", "1")
    assert done.code == 0, done.err
    assert PreparedData.open(Path("data/mine")).recipe.name == "mine"


def test_preparing_for_fine_tuning_takes_the_models_tokenizer(run, trained) -> None:
    write_corpus()
    Path("mine.toml").write_text(
        'name = "mine"\ndata = {train = ["train.en", "train.de"], val = ["val.en", "val.de"]}\n',
        encoding="utf-8",
    )
    options = ["--init-from", str(trained / "run"), "-o", "out", "--processes", "1"]
    done = run("prepare", "mine.toml", *options)
    assert done.code == 0, done.err
    assert "reading the tokenizer: " in done.err
    assert "training the tokenizer" not in done.err
    model = (trained / "run" / "tokenizer.model").read_bytes()
    assert Path("out/tokenizer.model").read_bytes() == model
    words = ["seq2seq", "train", "mine.toml", "--data", "out", "-o", "runs/mine"]
    assert shlex.split(done.out.splitlines()[-1]) == [*words, *options[:2]]
    none = run("prepare", "mine.toml", "--init-from", "nowhere", "-o", "other")
    assert none.code == 2
    assert none.err == (
        "error: nowhere: no such folder; expected one that seq2seq train or export wrote\n"
    )
    assert not Path("other").exists()


def test_set_adds_keys_to_the_pairs_of_val(run) -> None:
    """As the message on text in another encoding says."""
    write_corpus()
    text = "".join(f"fünf Männer und {n} Hunde\n" for n in range(len(LINES)))
    Path("val.de").write_bytes(text.encode("cp1252"))
    command = ["prepare", "train.en", "train.de", "--val", "val.en", "val.de", "-o", "out"]
    assert "(of validation pairs data.val.encoding; " in run(*command).err
    done = run(*command, "--processes", "1", "--set", 'data.val.encoding=["utf-8","cp1252"]')
    assert done.code == 0, done.err
    texts = PreparedData.open(Path("out")).val.texts(np.arange(1))
    assert texts[1] == ["fünf Männer und 0 Hunde"]


def test_validation_pairs_named_twice(run) -> None:
    write_corpus()
    command = ["prepare", "train.en", "train.de", "--val", "val.en", "val.de", "-o", "out"]
    done = run(*command, "--set", 'data.val=["train.en", "train.de"]')
    assert done.code == 2
    assert done.err == (
        "error: --val and --set data.val name the same pairs: leave one of them out\n"
    )
    assert not Path("out").exists()
