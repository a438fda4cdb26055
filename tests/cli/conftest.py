from __future__ import annotations

import io
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.scripted import ScriptedModel, copying_script
from support.tiny import tiny_recipe, write_recipe

import seq2seq
from seq2seq import recipe
from seq2seq.cli.app import main
from seq2seq.inference.engines import check_engine
from seq2seq.inference.translator import Translator
from seq2seq.text.tokenizer import Tokenizers, train_tokenizers
from seq2seq.training.monitoring import Silent

WORDS = "ein Hund läuft über die grüne Wiese und zwei Kinder spielen am Wasser".split()


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(here: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary) -> Iterator[Run]:
    """Runs a command line in this process, and puts back what it sets for the whole process."""
    loggers = [logging.getLogger(name) for name in ("seq2seq", "sacrebleu")]
    kept = [(one.handlers, one.propagate) for one in loggers]
    handler = signal.getsignal(signal.SIGTERM)

    def run_here(*arguments: str, stdin: bytes = b"") -> Done:
        reader = io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin)), encoding="utf-8")
        monkeypatch.setattr(sys, "stdin", reader)
        monkeypatch.setattr(sys, "argv", ["seq2seq", *arguments])
        with pytest.raises(SystemExit) as exit_:
            main()
        out, err = capsysbinary.readouterr()
        return Done(exit_.value.code or 0, out.decode(), err.decode())

    yield run_here
    signal.signal(signal.SIGTERM, handler)
    for one, (handlers, propagate) in zip(loggers, kept, strict=True):
        one.handlers, one.propagate = handlers, propagate


@pytest.fixture(scope="session")
def tokenizers() -> Tokenizers:
    lines = [" ".join(WORDS[i:] + WORDS[:i]) for i in range(len(WORDS))] * 20
    return train_tokenizers(recipe.Tokenizer(vocab_size=40), lines, lines)


@pytest.fixture
def model(here: Path, tokenizers: Tokenizers, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model's folder; its translator says each line again, by the real search."""
    folder = here / "model"
    folder.mkdir()
    (folder / "recipe.toml").write_text("", encoding="utf-8")

    def load(paths: list[str], *, engine: str, **_: object) -> Translator:
        assert [Path(path).name for path in paths] == ["model"]
        check_engine(engine)
        size = tokenizers.target.size
        copier = ScriptedModel(size, copying_script(size))
        return Translator(copier, tokenizers, recipe.Translation(max_source=200))

    monkeypatch.setattr(Translator, "load", load)
    return "model"


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a recipe, its prepared data and its run; who changes it works on a copy."""
    folder = tmp_path_factory.mktemp("trained")
    file = write_recipe(folder)
    file.write_bytes(file.read_bytes().replace(b"epochs = 2", b"epochs = 1"))
    seq2seq.prepare(file, folder / "data", processes=1)
    seq2seq.train(file, folder / "run", data=folder / "data", threads=1, monitor=Silent())
    return folder


@pytest.fixture(scope="session")
def attending(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of a small model with attention, which has learned a little."""
    folder = tmp_path_factory.mktemp("attending")
    options = """
        model.decoder.attention=general translation.beam=3 training.epochs=8
        training.learning_rate=0.02 training.validation.every=none training.validation.bleu=false
        training.early_stopping.metric=loss training.checkpoint_every=none
        training.precision=float32
    """  # a precision that every processor has, so that all learn about the same
    recipe_ = tiny_recipe(folder, options.split())
    seq2seq.prepare(recipe_, folder / "data", processes=1)
    seq2seq.train(recipe_, folder / "run", data=folder / "data", threads=1, monitor=Silent())
    return folder
