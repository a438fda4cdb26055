from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from seq2seq.cli import translate
from seq2seq.storage.layout import MODEL_FILES, plain_name
from seq2seq.storage.lines import count_lines

TEXT = "zwei Kinder spielen\n\nein Hund läuft über die Wiese\n"


def test_a_file_to_a_file(run, model) -> None:
    Path("in.de").write_text(TEXT, encoding="utf-8")
    done = run("translate", model, "in.de", "-o", "out.de", "--beam", "2", "--batch-size", "1")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith("translating: 3 in ")
    assert done.err.endswith(" s\n")
    assert Path("out.de").read_bytes().decode() == TEXT
    assert sorted(path.name for path in Path().iterdir()) == ["in.de", "model", "out.de"]


@pytest.mark.parametrize("arguments", [(), ("-",), ("-", "-o", "-")])
def test_standard_input_to_standard_output(run, model, arguments) -> None:
    done = run("translate", model, *arguments, stdin=TEXT.encode())
    assert (done.code, done.out, done.err) == (0, TEXT, "")


def test_the_last_line_need_not_end(run, model) -> None:
    assert run("translate", model, stdin=b"ein Hund").out == "ein Hund\n"


def test_an_empty_input_gives_an_empty_output(run, model) -> None:
    done = run("translate", model, stdin=b"")
    assert (done.code, done.out, done.err) == (0, "", "")
    Path("empty").touch()
    done = run("translate", model, "empty", "-o", "out")
    assert done.code == 0
    assert Path("out").read_bytes() == b""


def test_n_best_has_index_text_and_score(run, model) -> None:
    done = run("translate", model, "--n-best", "2", "--beam", "3", stdin=b"ein Hund\n\nWasser\n")
    assert (done.code, done.err) == (0, "")
    rows = [line.split(" ||| ") for line in done.out.splitlines()]
    assert [row[0] for row in rows] == ["0", "0", "1", "2", "2"]
    assert [rows[i][1] for i in (0, 2, 3)] == ["ein Hund", "", "Wasser"]
    scores = [float(row[2]) for row in rows]
    assert scores[0] >= scores[1]
    assert rows[2] == ["1", "", "0.000000"]


def test_n_best_of_one_is_written_with_its_score(run, model) -> None:
    done = run("translate", model, "--n-best", "1", stdin=b"ein Hund\n")
    assert done.out.startswith("0 ||| ein Hund ||| -0.0")


def test_windows_line_ends_change_nothing(run, model) -> None:
    windows = TEXT.replace("\n", "\r\n").encode()
    done = run("translate", model, stdin=windows)
    assert (done.code, done.out, done.err) == (0, TEXT, "")
    Path("in.de").write_bytes(windows)
    assert run("translate", model, "in.de", "-o", "out.de").code == 0
    assert Path("out.de").read_bytes().decode() == TEXT


def test_lines_end_at_newlines_alone(run, model) -> None:
    odd = "ein\u2028Hund\n\x0bein\rHund\nein\x00Hund\n\x85\n"
    done = run("translate", model, stdin=odd.encode())
    assert done.code == 0
    assert done.out.count("\n") == 4
    assert done.err == ""


def test_invalid_utf8_is_replaced_and_reported(run, model) -> None:
    done = run("translate", model, stdin=b"ein Hund\nein \xff Hund\n\xc3\nWasser\n")
    assert done.code == 0
    assert done.out.count("\n") == 4
    assert done.err == (
        "warning: standard input: 2 lines are not UTF-8 (the first is line 2); "
        "the invalid bytes were replaced by U+FFFD\n"
    )


def test_a_line_of_ten_thousand_words(run, model) -> None:
    done = run("translate", model, "--beam", "1", stdin=b"Hund " * 10_000 + b"\nWasser\n")
    assert done.code == 0
    assert (done.out, done.err) == ("Hund " * 9_999 + "Hund\nWasser\n", "")
    long = ("--long", "truncate", "--beam", "1")
    done = run("translate", model, *long, stdin=b"Hund " * 10_000 + b"\nWasser\n")
    assert (done.code, done.out) == (0, "Hund " * 199 + "Hund\nWasser\n")
    assert done.err == (
        "warning: line 1: 10000 pieces, but the model takes at most 200: the rest was left out\n"
    )


def test_a_file_that_is_there_is_replaced_and_keeps_its_mode(run, model) -> None:
    Path("out").write_text("old\n" * 9, encoding="utf-8")
    Path("out").chmod(0o640)
    Path("link").symlink_to("out")
    assert run("translate", model, "-o", "link", stdin=b"Hund\n").code == 0
    assert Path("link").is_symlink()
    assert Path("out").read_bytes() == b"Hund\n"
    assert stat.S_IMODE(Path("out").stat().st_mode) == 0o640


def test_a_new_file_has_the_usual_mode(run, model) -> None:
    Path("usual").touch()
    run("translate", model, "-o", "out", stdin=b"Hund\n")
    assert Path("out").stat().st_mode == Path("usual").stat().st_mode


def test_an_output_that_is_no_file_is_written_directly(run, model) -> None:
    os.mkfifo("pipe")
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.append(Path("pipe").read_bytes()))
    reader.start()
    done = run("translate", model, "-o", "pipe", stdin=b"Hund\nWasser\n")
    reader.join(timeout=60)
    assert (done.code, found) == (0, [b"Hund\nWasser\n"])
    assert stat.S_ISFIFO(Path("pipe").stat().st_mode)
    assert run("translate", model, "-o", os.devnull, stdin=b"Hund\n").code == 0


def test_nothing_is_left_of_a_failed_translation(run, model) -> None:
    Path("out").write_bytes(b"precious\n")
    long_line = b"x" * (2**24 + 1)
    done = run("translate", model, "-o", "out", "--batch-size", "1", stdin=b"Hund\n" + long_line)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: standard input, line 2: longer than 16,777,216 bytes: not a sentence\n"
    )
    assert Path("out").read_bytes() == b"precious\n"
    assert sorted(path.name for path in Path().iterdir()) == ["model", "out"]


def test_nothing_that_a_run_holds_is_an_output(run, trained: Path, here: Path) -> None:
    held = [path.name for path in (trained / "run").iterdir()]
    assert len(held) > 5
    assert {*map(plain_name, held)} <= MODEL_FILES
    for name in held:
        output = str(trained / "run" / name)
        done = run("translate", str(trained / "run"), "-o", output, stdin=b"the dog\n")
        assert done.err == f"error: {output}: belongs to the model: write to another file\n"


@pytest.mark.parametrize(
    ("options", "counted"),
    [
        ([], []),
        (["-o", "out"], []),  # it takes less time than a line of progress comes after
        (["--prefix", "prefix"], ["in.de", "prefix"]),
        (["--prefix", "prefix", "-o", "out"], ["in.de", "prefix"]),
    ],
)
def test_files_are_counted_only_where_it_is_needed(run, model, monkeypatch, options, counted):
    asked: list[str] = []

    def count(path: str) -> int | None:
        asked.append(path)
        return count_lines(path)

    monkeypatch.setattr(translate, "count_lines", count)
    Path("in.de").write_text(TEXT, encoding="utf-8")
    Path("prefix").write_text("\n\n\n", encoding="utf-8")
    assert run("translate", model, "in.de", *options).code == 0
    assert asked == counted


def test_a_new_file_in_the_model_folder_is_fine(run, model) -> None:
    assert run("translate", model, "-o", "model/test.de", stdin=b"Hund\n").code == 0
    assert Path("model/test.de").read_bytes() == b"Hund\n"


def test_without_torch_the_extra_is_named(here: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from seq2seq.cli.app import main; sys.argv = ['seq2seq', 'train', 'quickstart']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert done.returncode == 2
    assert done.stderr.decode() == (
        "error: training needs the package 'torch', which is not installed: "
        "pip install 'seq2seq[train]'\n"
    )
    assert list(here.iterdir()) == []
