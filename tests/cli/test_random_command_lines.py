"""Random command lines: each ends with exit code 0 or 2, one line on what was wrong, and no harm.

The options are those that the program itself declares, so a new one is drawn without being named
here. Of values there are good ones, and bad ones of every kind.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bad_input import write_files

import seq2seq
from seq2seq.cli.app import app
from seq2seq.report import page

ODD = (
    "", "x", "-1", "0", "nan", "inf", "1e400", "9" * 30, "9" * 5000, "0x10", "½", "-", "--", "=",
    "\x1b[2J", "a\nb", "\u202egnp", "e\u0301", "\U0010ffff", "\udcff", "y" * 5000, "/dev/null",
)  # fmt: skip
"""Values that fit nothing, or almost nothing."""
TEXTS = (
    "two.en", "two.de", "two.en", "two.de", "three.de", "empty", "binary",
    "text.gz", "utf16", "folder", "loop", "two.en/x", "nowhere", "nowhere/x", "-",
    "/dev/null", "nbest", "constraints.jsonl",
)  # fmt: skip
OUTPUTS = ("out", "new/out", "out.gz", "out.npz", "two.de", "folder", "loop", "/dev/null", "-")
FOLDERS = (
    "run",
    "model",
    "run",
    "model",
    "data",
    "folder",
    "nowhere",
    "two.en",
    "loop",
    "run/checkpoints",
)
RECIPES = (
    "one.toml", "missing.toml", "ok.toml", "mismatched.toml", "typo.toml", "syntax.toml",
    "latin.toml", "no_data.toml", "empty.toml", "binary.toml", "run/recipe.toml",
    "quickstrat", "folder", "/dev/null", "binary",
)  # fmt: skip
VALUES: dict[str, tuple[str, ...]] = {
    "N": ("1", "2", "3", "4"),
    "X": ("0.5", "1", "2.5"),
    "X,X,": ("1,2", "1", "0.5,0.5,1", "1,x", "nan,1", ","),
    "NAME": (
        "none", "length", "gnmt", "chrf", "chrf++", "bleu", "ter", "onnx", "torch", "auto",
        "float32", "int8", "text", "nbest", "jsonl", "split", "truncate", "keep", "log",
        "probability", "13a", "char", "intl", "html", "markdown", "po", "srt", "xliff",
    ),
    "WORD": ("<BT>", "word", "tag", "zurück", "two words", " "),
    "KEY=VALUE": (
        "seed=7", "training.updates=1", "model.encoder.hidden=8", "cleaning.max_length=50",
        "training.epochs=0", "model.encoder.hidden=99999999", "data.train=[]",
        "model.decoder.attention=general", "tokenizer.vocab_size=1", "training.precision=float33",
        "trainig.epochs=1", "=", "seed", "seed=", "a.b.c.d=1", "\x07=1", "training={}",
        "data.val=['two.en', 'two.de']",
    ),
    "FILE": (*TEXTS, *OUTPUTS),
    "FILE.npz": OUTPUTS,
    "FOLDER": (*FOLDERS, *OUTPUTS),
    "MODEL": FOLDERS, "RUN": FOLDERS, "DATA": FOLDERS,
    "RECIPE": RECIPES,
    # Two files that fit would be trained on for a minute.
    "RECIPE | SOURCE TARGET": (*RECIPES, "two.en", "three.de", "empty", "nowhere", "-", "a.tsv"),
    "INPUT": TEXTS, "SOURCE": TEXTS, "TARGET": TEXTS, "REFERENCE": TEXTS, "HYPOTHESES": TEXTS,
    "SOURCE TARGET": TEXTS,
}  # fmt: skip
"""What a value may be, by what help calls it; the first four are good ones."""
WRITES = ("-o", "--output", "--alignments", "--attention")
SKIPPED = ("--debug", "--processes")
"""Left out: what shows tracebacks, and what starts processes, a second each."""
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\u202e]")


@dataclass(frozen=True)
class Verb:
    """A verb as it is written, and what it takes."""

    words: tuple[str, ...]
    options: tuple[Any, ...]
    arguments: tuple[Any, ...]


def verbs(group: Any, *words: str) -> Iterator[Verb]:
    """All verbs, with the verbs below verbs."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if hasattr(command, "list_commands"):
            yield from verbs(command, *words, name)
            continue
        options = tuple(p for p in command.params if p.param_type_name == "option")
        arguments = tuple(p for p in command.params if p.param_type_name == "argument")
        yield Verb((*words, name), options, arguments)


ALL = tuple(verbs(typer.main.get_command(app)))


def values(of: Any) -> st.SearchStrategy[str]:
    """Values of a parameter: mostly good ones, and mostly of its kind."""
    own = VALUES[(of.metavar or "").strip("{}[].")]
    if of.metavar == "NAME" and of.help:  # which mentions the names
        own = (*[one for one in own if one in re.findall(r"[\w+]+", of.help)][:4], *own)
    everything = st.sampled_from([one for several in VALUES.values() for one in several])
    text = st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]))
    odd = st.sampled_from(ODD) | everything | text
    kinds = [st.sampled_from(own[:4]), st.sampled_from(own), odd]
    return st.sampled_from([0] * 14 + [1] * 5 + [2]).flatmap(lambda kind: kinds[kind])


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    verb = draw(st.sampled_from(ALL))
    words: list[str] = []
    for argument in verb.arguments:
        most = draw(st.sampled_from([1, 2])) if argument.nargs == -1 else 1
        count = most if draw(st.integers(0, 9)) else draw(st.integers(0, most + 1))
        words += [draw(values(argument)) for _ in range(count)]
    options = [one for one in verb.options if one.opts[-1] not in SKIPPED]
    for option in draw(st.lists(st.sampled_from(options), max_size=4)) if options else ():
        given_ = [draw(st.sampled_from(option.opts))]
        if not option.is_flag:
            given_ += [draw(values(option)) for _ in range(option.nargs)]
        at = draw(st.sampled_from([0, len(words)]))
        words[at:at] = given_
    match draw(st.integers(0, 29)):
        case 0:
            words.append(
                draw(st.sampled_from(["--beem", "-q", "--output=", "--", "-h", "-o", "x"]))
            )
        case 1:
            words = words[:-1]
    return [*verb.words, *words]


Files = dict[str, tuple[int, ...]]


def files_of(folder: Path) -> Files:
    """All below a folder, with what changes whenever a file does."""
    found: Files = {}
    for path in folder.rglob("*"):
        about = path.lstat()
        kept = (about.st_ino, about.st_mode, about.st_size, about.st_mtime_ns)
        found[str(path.relative_to(folder))] = kept if path.is_symlink() or path.is_file() else ()
    return found


def write_world(folder: Path, trained: Path) -> None:
    """Writes what the command lines find: texts, recipes good and bad, data, a run, a model."""
    shutil.copytree(trained, folder, symlinks=True)
    write_files(folder)
    (folder / "full").unlink()
    (folder / "nbest").write_bytes(b"0 ||| ein Hund\n1 ||| zwei Kinder\n")
    (folder / "constraints.jsonl").write_bytes(b'{"prefix": "ein"}\n\n')
    one = (folder / "tiny.toml").read_bytes().replace(b"epochs = 1", b"updates = 1")
    (folder / "one.toml").write_bytes(one)


@pytest.fixture(scope="module")
def world(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as every command line finds it."""
    folder = tmp_path_factory.mktemp("world") / "whole"
    write_world(folder, trained)
    seq2seq.export_model(folder / "run", folder / "model")
    return folder


def is_asked_for(name: str, words: list[str]) -> bool:
    """Whether a command line may write a file, or make a folder for it."""
    given_ = [words[i + 1] for i, word in enumerate(words[:-1]) if word in WRITES]
    defaults = {"train": ["runs"], "prepare": ["data"], "report": words[1:]}
    allowed = [os.path.normpath(one) for one in [*given_, *defaults.get(words[0], [])] if one]
    return any(f"{name}/".startswith(f"{one}/") or one.startswith(f"{name}/") for one in allowed)


def check(run: Callable[..., Any], words: list[str], stdin: bytes, world: Path) -> None:
    here = Path.cwd()
    around = here.parent
    if not files_of(here):
        shutil.copytree(world, here, symlinks=True, dirs_exist_ok=True)
    before, before_around = files_of(here), set(around.iterdir())
    done = run(*words, stdin=stdin)
    after = files_of(here)
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if changed:  # the next command line finds everything as it was
        for path in here.iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    assert set(around.iterdir()) == before_around
    assert not UNPRINTABLE.search(done.err + done.out), done
    if done.code == 0:
        assert "error: " not in done.err, done
        assert [name for name in changed if not is_asked_for(name, words)] == [], done
    elif not done.err.startswith("Usage: "):  # a verb without the verb that it needs
        assert done.code == 2, done
        lines = done.err.splitlines()
        at = [line.startswith("error: ") for line in lines].index(True)  # after progress, warnings
        assert not lines[at].startswith("error: unexpected "), done
        assert all(line.startswith("  ") for line in lines[at + 1 :]), done  # a recipe's problems
        assert changed == set(), done


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the charts out of reports: a second each."""
    monkeypatch.setattr(page, "charts", lambda *_: [])


STDIN = st.sampled_from([b"ein Hund\n", b"", b"ein Hund\nzwei Kinder", b"\xff\0", b"\n" * 9])
FIXTURES = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.usefixtures("plain")
@settings(max_examples=200, suppress_health_check=FIXTURES, database=None)
@given(words=command_lines(), stdin=STDIN)
def test_random_command_lines(run, world: Path, words: list[str], stdin: bytes) -> None:
    check(run, words, stdin, world)


@pytest.mark.slow
@pytest.mark.timeout(10_000)
@pytest.mark.usefixtures("plain")
@settings(max_examples=10_000, suppress_health_check=FIXTURES, database=None)
@given(words=command_lines(), stdin=STDIN)
def test_many_random_command_lines(run, world: Path, words: list[str], stdin: bytes) -> None:
    check(run, words, stdin, world)
