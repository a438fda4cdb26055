from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from seq2seq.recipe import packaged


def program(*arguments: str, **options) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "seq2seq", *arguments]
    return subprocess.run(command, capture_output=True, check=False, **options)


def test_version(run) -> None:
    done = run("--version")
    assert (done.code, done.out, done.err) == (0, f"seq2seq {version('seq2seq')}\n", "")


def test_python_m_seq2seq() -> None:
    done = program("--version")
    assert done.stdout.decode() == f"seq2seq {version('seq2seq')}\n"


def test_help_is_instant_and_loads_nothing_heavy() -> None:
    """Under 0.4 s: of the processor's time, which other work on the machine does not lengthen."""
    code = (
        "import sys, atexit; sys.argv = ['seq2seq', '--help']\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'datasets', 'sacrebleu', 'sentencepiece',"
        " 'pydantic', 'rich'}\n"
        "atexit.register(lambda: print('loaded:', sorted(heavy & set(sys.modules))))\n"
        "from seq2seq.cli.app import main; main()\n"
    )
    before = os.times()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    after = os.times()
    assert done.stdout.endswith(b"loaded: []\n")
    spent = after.children_user + after.children_system
    assert spent - before.children_user - before.children_system < 0.4


@pytest.mark.parametrize("debug", [("--debug", "recipe", "list"), ("recipe", "list", "--debug")])
def test_an_unexpected_error_is_one_line_unless_debugging(run, monkeypatch, debug) -> None:
    def broken() -> None:
        raise ZeroDivisionError("division\nby zero")

    monkeypatch.setattr(packaged, "packaged_recipes", broken)
    done = run("recipe", "list")
    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: unexpected ZeroDivisionError: division by zero; "
        "run the command again with --debug and report this\n"
    )
    done = run(*debug)
    assert done.code == 1
    assert done.err.startswith("Traceback (most recent call last):\n")
    assert done.err.endswith("\nerror: unexpected ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (
            MemoryError(),
            1,
            "error: out of memory: use a smaller batch, or fewer processes at a time\n",
        ),
        (
            PermissionError(13, "Permission denied", "a.toml"),
            2,
            "error: a.toml: Permission denied\n",
        ),
        (OSError(28, "No space left on device", b"x"), 1, "error: x: No space left on device\n"),
        (BrokenPipeError(), 141, ""),
    ],
)
def test_errors_of_the_system(run, monkeypatch, error, code, told) -> None:
    def failing() -> None:
        raise error

    monkeypatch.setattr(packaged, "packaged_recipes", failing)
    done = run("recipe", "list")
    assert (done.code, done.out, done.err) == (code, "", told)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_a_full_disk_behind_standard_output() -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "seq2seq", "recipe", "schema"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False)
    told = b"error: standard output: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, told)


def test_a_reader_that_goes_away() -> None:
    done = subprocess.run(
        f"{sys.executable} -m seq2seq recipe schema | head -n 1; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        check=True,
    )
    first, code = done.stdout.splitlines()
    assert first == b"{"
    assert code in (b"141", b"0")  # 0: the pipe took it all before its reader left
    assert done.stderr == b""


def test_an_interrupt_that_a_library_made_an_error_of(run, monkeypatch) -> None:
    def failing() -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            raise ImportError("cannot import half a module") from interrupt

    monkeypatch.setattr(packaged, "packaged_recipes", failing)
    done = run("recipe", "list")
    assert (done.code, done.out, done.err) == (130, "", "interrupted\n")


@pytest.mark.parametrize("hold", ["typer", "seq2seq.cli.translate", "seq2seq.inference.translator"])
def test_ctrl_c_while_the_program_starts(hold: str) -> None:
    """In the midst of an import that waits to be interrupted."""
    script = (
        "import importlib.abc, sys, time\n"
        "class Slow(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {hold!r}:\n"
        "            print('importing', flush=True)\n"
        "            time.sleep(60)\n"
        "sys.meta_path.insert(0, Slow())\n"
        "sys.argv = ['seq2seq', 'translate', 'nowhere']\n"
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from seq2seq.cli import main; main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"importing\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, b"", b"interrupted\n")


def test_a_killed_translation_leaves_no_file(tmp_path: Path) -> None:
    """Killed by a signal that cannot be caught, in the midst of writing."""
    script = (
        "import os, signal, sys\n"
        "from seq2seq.cli import files\n"
        "with files.write_lines('out') as output:\n"
        "    output.write('half')\n"
        "    output.flush()\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    if not hasattr(os, "O_TMPFILE"):
        pytest.skip("this system has no files without names")
    try:
        os.close(os.open(tmp_path, os.O_TMPFILE | os.O_WRONLY))
    except OSError:
        pytest.skip("this file system has no files without names")
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage(run) -> None:
    done = run("score", "a", "b", "--bogus")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: No such option: --bogus; see seq2seq score --help\n"
    wrong = {
        ("translat",): "No such command 'translat'",
        ("translate",): "Missing argument",
        ("translate", "model", "--beam"): "Option '--beam' requires an argument",
        ("translate", "model", "--beam", "0"): "Invalid value for '--beam'",
        ("inspect", "attentio"): "No such command 'attentio'",
        ("x" * 3000,): "No such command 'xxx",
    }
    for words, told in wrong.items():
        done = run(*words)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"error: {told}")
        assert done.err.count("\n") == 1
        assert done.err.endswith(" --help\n")
        assert len(done.err) < 2100


@pytest.mark.parametrize("words", [(), ("recipe",), ("inspect",)])
def test_no_verb_shows_the_verbs(run, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.code == 2
    assert (done.out + done.err).startswith(f"Usage: {' '.join(['seq2seq', *words])} [OPTIONS]")


def test_debug_after_two_dashes_is_a_name(run) -> None:
    done = run("recipe", "check", "--", "--debug")
    assert done.err.startswith("error: recipe '--debug': no packaged recipe has this name; there")


def test_standard_streams_are_utf8_in_every_locale(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("x y z w v\nq r s t\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = program(
        "score", "a", "b", "--metric", "chrf", "--bootstrap", "2", cwd=tmp_path, env=environment
    )
    assert done.returncode == 0
    assert "(μ = 100.00 ± 0.00)" in done.stdout.decode("utf-8")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_nothing_half_written(tmp_path: Path, number: int, code: int) -> None:
    """A translation that reads from a pipe which stays open, and is stopped by a signal."""
    script = (
        "import sys\n"
        "from seq2seq.inference import translator\n"
        "from seq2seq.recipe import Translation\n"
        "from seq2seq.inference.request import search_options\n"
        "class Fake:\n"
        "    options = Translation()\n"
        "    search_options = search_options(options)\n"
        "    has_attention = False\n"
        "    def run(self, lines, request, constraints, advance):\n"
        "        for line in lines:\n"
        "            yield [translator.ScoredTranslation(line, 0.0, 0.0, False)]\n"
        "            print('one', file=sys.stderr, flush=True)\n"
        "translator.Translator.load = lambda path, **options: Fake()\n"
        "sys.argv = ['seq2seq', 'translate', 'model', '-', '-o', 'out.txt']\n"
        "from seq2seq.cli.app import main; main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(b"first\nsecond\n")
    process.stdin.flush()
    assert process.stderr.readline() == b"one\n"
    assert not (tmp_path / "out.txt").exists()
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code
    assert out == b""
    assert b"Traceback" not in err
    assert list(tmp_path.iterdir()) == []
