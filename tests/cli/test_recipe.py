from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from seq2seq.recipe.files import load_recipe, recipe_from_toml
from seq2seq.recipe.packaged import packaged_recipes
from seq2seq.recipe.schema import json_schema


def test_list_has_every_recipe_and_its_score(run) -> None:
    done = run("recipe", "list")
    assert (done.code, done.err) == (0, "")
    names = [line.split()[0] for line in done.out.splitlines()]
    assert names == list(packaged_recipes())


def test_list_aligns_what_the_opening_comments_say(run, monkeypatch) -> None:
    Path("a.toml").write_text("# Command: x\n# Score:   BLEU 12.3\n", encoding="utf-8")
    Path("long.toml").write_text("seed = 1\n", encoding="utf-8")
    found = {"a": Path("a.toml"), "long": Path("long.toml")}
    monkeypatch.setattr("seq2seq.recipe.packaged.packaged_recipes", lambda: found)
    assert run("recipe", "list").out == "a     BLEU 12.3\nlong\n"


def test_list_is_a_table_in_a_terminal(here: Path) -> None:
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "seq2seq", "recipe", "list"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    subprocess.run(command, stdout=child, env=environment, check=True)
    os.close(child)
    shown = os.read(parent, 2**16).decode()
    os.close(parent)
    assert "┃" in shown
    assert "quickstart" in shown


def test_show_prints_the_file(run) -> None:
    done = run("recipe", "show", "multi30k_en_de_lstm")
    assert done.out == packaged_recipes()["multi30k_en_de_lstm"].read_text(encoding="utf-8")


def test_show_prints_line_ends_as_such(run, here: Path) -> None:
    Path("windows.toml").write_bytes(b'name = "a"\r\nseed = 2\r\n')
    assert run("recipe", "show", "windows.toml").out == 'name = "a"\nseed = 2\n'


def test_what_show_prints_finds_the_packaged_files_from_anywhere(run, here: Path) -> None:
    file = packaged_recipes()["quickstart"]
    done = run("recipe", "show", "quickstart")
    text = file.read_text(encoding="utf-8")
    assert done.out == text.replace('["quickstart/', f'["{file.parent}/quickstart/').replace(
        ', "quickstart/', f', "{file.parent}/quickstart/'
    )
    Path("mine.toml").write_text(done.out, encoding="utf-8")
    assert load_recipe("mine.toml") == load_recipe("quickstart")


def test_show_full_prints_every_key(run) -> None:
    done = run("recipe", "show", "quickstart", "--full")
    assert recipe_from_toml(done.out, "r") == load_recipe("quickstart")
    assert "forget_bias = 1.0" in done.out
    done = run("recipe", "show", "quickstart", "--set", "seed=77")
    assert recipe_from_toml(done.out, "r").seed == 77


def test_check(run) -> None:
    done = run("recipe", "check", "quickstart", "--set", "model.encoder.layers=2")
    assert (done.code, done.out, done.err) == (0, "quickstart: a valid recipe\n", "")


def test_check_looks_for_the_files(run, here: Path) -> None:
    Path("a.en").touch()
    Path("my.toml").write_text(
        'data = {train = ["a.en", "a.de"], val = "v.tsv"}\n'
        'tokenizer = {joint = false, source_model = "s.model", target_model = "t.model"}\n',
        encoding="utf-8",
    )
    done = run("recipe", "check", "my.toml")
    assert (done.code, done.out) == (0, "my.toml: a valid recipe\n")
    assert done.err == (
        f"warning: data.train.target_path: {here}/a.de: no such file\n"
        f"warning: data.val.path: {here}/v.tsv: no such file\n"
        f"warning: tokenizer.source_model: {here}/s.model: no such file\n"
        f"warning: tokenizer.target_model: {here}/t.model: no such file\n"
    )


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", ["pipe", "/dev/zero", "link"])
def test_check_reads_no_device_as_a_tokenizer(run, here: Path, place: str) -> None:
    """It would wait, or read, for ever; preparing refuses it before it begins."""
    os.mkfifo("pipe")
    Path("link").symlink_to("/dev/zero")
    path = here / place
    done = run("recipe", "check", "quickstart", "--set", f"tokenizer.model={place}")
    told = f"{path}: a device or a pipe, where a file is expected\n"
    assert (done.code, done.out) == (0, "quickstart: a valid recipe\n")
    assert done.err == f"warning: tokenizer.model: {told}"
    done = run("prepare", "quickstart", "--set", f"tokenizer.model={place}", "-o", "data")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"error: {path}: ")
    assert done.err.endswith(told.partition(": ")[2])
    assert done.err.count("\n") == 1
    assert not (here / "data").exists()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", ["pipe", "/dev/zero"])
def test_check_reads_no_device_as_a_recipe(run, here: Path, place: str) -> None:
    os.mkfifo("pipe")
    done = run("recipe", "check", place)
    assert (done.code, done.out) == (2, "")
    assert done.err.count("\n") == 1
    assert place in done.err


def test_the_help_of_check_says_what_a_missing_file_means(run) -> None:
    told = " ".join(run("recipe", "check", "--help").out.split())
    assert "files that are missing, are only warnings (exit code 0)" in told


def test_check_looks_for_the_files_of_several_corpora(run, here: Path) -> None:
    Path("a.en").touch()
    Path("my.toml").write_text(
        'data = {train = [["a.en", "a.de"], {path = "b.tsv", weight = 2.0}]}\n', encoding="utf-8"
    )
    done = run("recipe", "check", "my.toml")
    assert (done.code, done.out) == (0, "my.toml: a valid recipe\n")
    assert done.err == (
        f"warning: data.train[0].target_path: {here}/a.de: no such file\n"
        f"warning: data.train[1].path: {here}/b.tsv: no such file\n"
    )


def test_check_tells_which_data_are_not_named(run) -> None:
    """Of pairs that are stored some are held out for validation; of a stream none are."""
    Path("my.toml").write_text("seed = 2\n", encoding="utf-8")
    streamed = [
        "data.stream=true", "training.epochs=none", "training.updates=9",
        "training.validation.every=3",
    ]  # fmt: skip
    for settings, splits in (([], ["train"]), (streamed, ["train", "val"])):
        words = [word for one in settings for word in ("--set", one)]
        done = run("recipe", "check", "my.toml", *words)
        assert (done.code, done.out) == (
            0,
            "my.toml: a valid recipe; it cannot train before its data are named\n",
        )
        why = {"train": "", "val": " (a stream holds out no pairs)"}
        assert done.err == "".join(
            f"warning: data.{split}: missing{why[split]}: name the files, for instance --set "
            f'\'data.{split}=["FILE.en","FILE.de"]\'\n'
            for split in splits
        )


def test_schema(run) -> None:
    assert json.loads(run("recipe", "schema").out) == json_schema()


@pytest.mark.parametrize("verb", ["show", "check"])
def test_a_typo_in_the_name(run, verb: str) -> None:
    done = run("recipe", verb, "quickstrat")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "error: recipe 'quickstrat': no packaged recipe has this name (did you mean "
        f"'quickstart'?); there are: {', '.join(packaged_recipes())}; "
        "a file's name ends in .toml\n"
    )
