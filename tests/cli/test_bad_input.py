"""One table: what a user may get wrong, the command, and the exact message.

To add a case, add a row: what goes wrong in a few words, the command line, what is on standard
error. Commands run in a folder that ``write_files`` fills; ``{here}`` in a message is that folder.
``CASES`` find a model in ``model`` that says each line again; ``RUN_CASES`` find a run that was
trained, ``run``, and its data, ``data``, and damage them. Errors end with exit code 2 unless the
row says otherwise, and nothing is printed or written beside.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.bad_input import Case, contents, truncate, write_files
from support.published import weights_file
from support.tokenizers import save

from seq2seq import recipe
from seq2seq.recipe.packaged import packaged_recipes
from seq2seq.text.tokenizer import train_tokenizers

NAMES = ", ".join(packaged_recipes())
SECTIONS = "name, seed, data, cleaning, text, tokenizer, model, training, translation"
PROGRESS = (
    "translating", "reading", "holding", "training", "tokenizing", "comparing", "resuming",
    "validation", "update ",
)  # fmt: skip
LINE_N = "line n of one must belong to line n of the other"
ALLOWED = (
    "give a recipe, or a corpus: two text files, line n of one translating line n of the other, or "
    "one file that ends in .tsv, .jsonl or .parquet"
)
CASES = [
    # What is to be translated
    Case("missing input", "translate model nowhere.en", "nowhere.en: no such file"),
    Case(
        "folder as input",
        "translate model folder",
        "folder: a folder, where a file is expected",
    ),
    Case("below a file", "translate model two.en/x", "two.en/x: cannot be read: Not a directory"),
    Case(
        "unreadable input",
        "translate model loop",
        "loop: cannot be read: Too many levels of symbolic links",
    ),
    Case(
        "binary input",
        "translate model binary -o out",
        "binary: not UTF-8 text (60% of its beginning are control characters or not UTF-8): a "
        "binary file, or text in another encoding?",
    ),
    Case(
        "binary standard input",
        "translate model",
        "standard input: not UTF-8 text (100% of its beginning are control characters or not "
        "UTF-8): a binary file, or text in another encoding?",
        stdin=bytes(100),
    ),
    Case(
        "packed input that is cut",
        "translate model text.gz",
        "text.gz: the gzip data ends too early: a broken copy?",
    ),
    Case(
        "UTF-16 input",
        "translate model utf16",
        "utf16: not plain text but UTF-16 text: convert it to UTF-8",
    ),
    Case(
        "a line without end",
        "translate model - -o out",
        "standard input, line 1: longer than 16,777,216 bytes: not a sentence",
        stdin=b"x" * (2**24 + 1),
    ),
    *(
        Case(
            f"{verb} by an unknown engine",
            f"{verb} model two.en{reference} --engine tpu",
            "engine is 'tpu'; allowed: auto, onnx, torch",
        )
        for verb, reference in (("translate", ""), ("evaluate", " two.de"))
    ),
    # Where translations go
    Case(
        "folder as output",
        "translate model two.en -o folder",
        "folder: a folder, where a file is to be written",
    ),
    Case(
        "no folder for the output",
        "translate model two.en -o nowhere/out",
        "nowhere/out: there is no folder nowhere to write it in",
    ),
    Case(
        "output below a file",
        "translate model two.en -o two.de/out",
        "two.de/out: there is no folder two.de to write it in",
    ),
    # Pairs that a model makes
    Case(
        "sides to distil out of step",
        "distil model two.en three.de -o out",
        f"two.en has 2 lines but three.de has 3 lines: {LINE_N}",
    ),
    Case("nothing to distil", "distil model two.en empty -o out", "empty: the file is empty"),
    Case(
        "standard input to distil",
        "distil model - two.de -o out",
        "standard input cannot be read again after a stop: name a file",
    ),
    *(
        Case(
            f"an output of {verb} that is there",
            f"{verb} model two.en{references} -o two.csv",
            "two.csv: already exists: name another folder, or remove it",
        )
        for verb, references in (("distil", " two.de"), ("backtranslate", ""))
    ),
    Case(
        "an unknown choice",
        "distil model two.en two.de -o out --choose blue",
        "choose: unknown name 'blue' (did you mean 'bleu'?); allowed: best, bleu, chrf",
    ),
    Case(
        "choosing twice",
        "distil model two.en two.de -o out --choose bleu --mbr chrf",
        "--mbr and --choose bleu or chrf cannot be combined: leave one of them out",
    ),
    Case(
        "n best to choose nothing of",
        "distil model two.en two.de -o out --n-best 2",
        "--n-best needs --choose bleu or chrf: give both, or leave --n-best out",
    ),
    Case(
        "a tag of two words",
        "backtranslate model two.de -o out --tag 'a tag'",
        "tag is 'a tag'; it must be one word, such as <BT>",
    ),
    Case(
        "noise that leaves nothing",
        "backtranslate model two.de -o out --noise 1",
        "noise is 1.0; it must be at least 0 and below 1",
    ),
    Case(
        "full disk",
        "translate model two.en -o full",
        "full: cannot be written: No space left on device",
        code=1,
    ),
    Case(
        "output is the input",
        "translate model two.en -o ./two.en",
        "./two.en: is an input, and would be overwritten: write to another file",
    ),
    Case(
        "output is the model's",
        "translate model two.en -o model/card.json",
        "model/card.json: belongs to the model: write to another file",
    ),
    Case(
        "output is a checkpoint",
        "evaluate model two.en two.de -o folder/../model/checkpoints/x",
        "folder/../model/checkpoints/x: belongs to the model: write to another file",
    ),
    Case(
        "output is another model's",
        "evaluate model two.en two.de --with other -o other/card.json",
        "other/card.json: belongs to the model: write to another file",
    ),
    Case(
        "output is the reference",
        "evaluate model two.en two.de -o two.de",
        "two.de: is an input, and would be overwritten: write to another file",
    ),
    # How it is translated
    Case(
        "more translations than hypotheses",
        "translate model two.en --beam 2 --n-best 3 -o out",
        "n_best is 3, but beam is 2: --n-best 3 needs --beam 3 or more",
    ),
    # Scores
    Case("missing translations", "score nowhere.de two.de", "nowhere.de: no such file"),
    Case("missing reference", "score two.de nowhere.de", "nowhere.de: no such file"),
    Case(
        "no translations",
        "score empty two.de",
        "empty: the file is empty, so there is nothing to score",
    ),
    Case(
        "nothing on standard input",
        "score - two.de",
        "standard input: the file is empty, so there is nothing to score",
        stdin=b"",
    ),
    Case(
        "mismatched scores",
        "score three.de two.de",
        f"three.de has 3 lines but two.de has 2 lines: {LINE_N}",
    ),
    Case(
        "mismatched second reference",
        "score - two.de three.de",
        f"standard input has 1 line but two.de has 2 lines: {LINE_N}",
    ),
    Case(
        "mismatched test set",
        "evaluate model two.en three.de",
        f"two.en has 2 lines but three.de has 3 lines: {LINE_N}",
    ),
    Case(
        "empty test set",
        "evaluate model empty empty",
        "empty: the file is empty, so there is nothing to score",
    ),
    Case(
        "standard input twice",
        "evaluate model - -",
        "standard input can be read only once: give - for one file only",
    ),
    Case(
        "standard input twice in scoring",
        "score - -",
        "standard input can be read only once: give - for one file only",
    ),
    Case(
        "unknown metric",
        "score two.de two.de --metric blue",
        "metrics: unknown name 'blue' (did you mean 'bleu'?); allowed: bleu, chrf, chrf++, ter",
    ),
    Case(
        "bootstrap of one",
        "score two.de two.de --bootstrap 1",
        "bootstrap: must be 0 (none) or at least 2, not 1",
    ),
    # Recipes
    Case(
        "typo in a recipe's name",
        "train quickstrat",
        "recipe 'quickstrat': no packaged recipe has this name (did you mean 'quickstart'?); "
        f"there are: {NAMES}; a file's name ends in .toml",
    ),
    Case("missing recipe", "train nowhere.toml", "recipe nowhere.toml: there is no such file"),
    Case(
        "folder as recipe",
        "prepare folder",
        f"recipe folder: this is a folder, not a recipe's file; {ALLOWED}",
    ),
    Case(
        "typo in a recipe",
        "recipe check typo.toml",
        "recipe typo.toml: 2 problems:\n"
        "  training.epochs: must be a whole number at least 1, or 'auto', or 'none', not '9'\n"
        f"  modle: unknown key (did you mean 'model'?); allowed: {SECTIONS}",
    ),
    Case(
        "no TOML",
        "train syntax.toml",
        "recipe syntax.toml:2:8: not TOML: Invalid value",
    ),
    Case("recipe in Latin-1", "train latin.toml", "recipe latin.toml:1: not UTF-8 text: byte 0xe9"),
    Case(
        "typo in an assignment",
        "prepare ok.toml --set cleaning.max_lenght=9",
        "recipe ok.toml: cleaning.max_lenght: unknown key (did you mean 'max_length'?); allowed: "
        "empty, unit, max_length, max_ratio, duplicates, identical, invalid_utf8, "
        "control_characters, min_letters (from --set cleaning.max_lenght=9)",
    ),
    Case(
        "no assignment",
        "prepare ok.toml --set seed",
        "recipe ok.toml: --set seed: is not KEY=VALUE, as in --set model.encoder.layers=2",
    ),
    # Preparing
    Case(
        "no data in the recipe",
        "prepare no_data.toml",
        "recipe mine: data.train: missing: name the files, for instance "
        '--set \'data.train=["FILE.en","FILE.de"]\'',
    ),
    # A corpus in the place of a recipe
    Case(
        "one text file",
        "train two.en",
        f"recipe two.en: one text file, without its translation, and no recipe (.toml); {ALLOWED}",
    ),
    Case(
        "a table separated by commas",
        "prepare two.csv",
        "recipe two.csv: make it tab-separated, without quotes, with a name that ends in .tsv; "
        f"{ALLOWED}",
    ),
    Case(
        "three files",
        "train two.en three.de two.en",
        f"recipe two.en three.de two.en: 3 names; {ALLOWED}",
    ),
    Case(
        "a recipe and a file",
        "prepare quickstart two.en",
        "recipe quickstart two.en: the recipe quickstart stands alone: --set names other files for "
        f"it; {ALLOWED}",
    ),
    Case(
        "a file and a recipe",
        "train two.en ok.toml",
        "recipe two.en ok.toml: the recipe ok.toml stands alone: --set names other files for it; "
        f"{ALLOWED}",
    ),
    Case(
        "the same file twice",
        "train two.en ./two.en",
        f"recipe two.en ./two.en: the same file twice; {ALLOWED}",
    ),
    Case(
        "one file that is not there",
        "train nowhere.en",
        f"recipe 'nowhere.en': no packaged recipe has this name; there are: {NAMES}; a file's name "
        f"ends in .toml; {ALLOWED}",
    ),
    Case(
        "a folder beside a file",
        "train two.en folder -o out",
        "{here}/folder: a folder, where a file is expected",
    ),
    Case(
        "two files, one not there",
        "train two.en nowhere.de -o out",
        "{here}/nowhere.de: no such file (did you mean 'three.de'?)",
    ),
    Case(
        "two files of other lengths",
        "train two.en three.de -o out",
        "{here}/two.en has 2 lines but {here}/three.de has 3: line n of one must be the "
        "translation of line n of the other",
    ),
    Case(
        "two files of pairs",
        "train a.tsv b.jsonl",
        "recipe a.tsv b.jsonl: data.train: '{here}/a.tsv' and '{here}/b.jsonl' are a corpus each, "
        "not the two sides of one: several corpora are a list of tables, [{path = ...}, "
        "{path = ...}]",
    ),
    Case(
        "two files and a wrong setting",
        "train two.en three.de --set training.epoch=2",
        "recipe two.en three.de: training.epoch: unknown key (did you mean 'epochs'?)...",
    ),
    Case(
        "one validation file",
        "train two.en three.de --val two.en",
        "Option '--val' requires 2 arguments; see seq2seq train --help",
    ),
    Case(
        "missing training text",
        "prepare missing.toml -o out",
        "{here}/nowhere.de: no such file (did you mean 'three.de'?)",
    ),
    Case(
        "mismatched training text",
        "prepare mismatched.toml -o out --processes 1",
        "{here}/two.en has 2 lines but {here}/three.de has 3: line n of one must be the "
        "translation of line n of the other",
    ),
    Case("empty training text", "prepare empty.toml -o out", "{here}/empty: the file is empty"),
    Case(
        "binary training text",
        "prepare binary.toml -o out --processes 1",
        "{here}/binary: not UTF-8 text (60% of its beginning are control characters or not UTF-8): "
        "a binary file, or text in another encoding?",
    ),
    Case(
        "prepare below a file",
        "prepare quickstart -o two.en/out",
        "two.en/out: cannot be written: Not a directory",
    ),
    Case(
        "train below a file",
        "train quickstart -o two.en/run",
        "two.en/run: Not a directory",
    ),
    Case(
        "prepare into a file",
        "prepare quickstart -o two.en",
        "two.en: a file, where a folder is to be made",
    ),
]


def other_tokenizer(here: Path) -> None:
    files = (here / "train.en", here / "train.de")
    sides = [file.read_text(encoding="utf-8").split("\n") for file in files]
    save(train_tokenizers(recipe.Tokenizer(vocab_size=149), *sides), here / "run")


def other_tokenizer_without_card(here: Path) -> None:
    other_tokenizer(here)
    (here / "run" / "card.json").unlink()
    weights_file(here / "run").rename(here / "run" / "weights.safetensors")


def checkpoint_files(here: Path) -> list[Path]:
    """The weights in each checkpoint, oldest first."""
    return sorted((here / "run" / "checkpoints").glob("*/model.safetensors"))


TRAIN = "train run/recipe.toml --data data -o run --threads 1"
DAMAGED = (
    "checkpoint run/checkpoints/update-{:08d} is damaged: model.safetensors does not match its "
    "sum; trying the one before"
)
RUN_CASES = [
    Case(
        "run of another recipe",
        f"{TRAIN} --set training.learning_rate=1.0",
        "run holds a run with a different recipe: training.learning_rate is 0.005 there and 1.0 "
        "here; give -o a new folder (to begin with its weights, --init-from run), or train with "
        "the run's own recipe.toml",
    ),
    Case(
        "truncated checkpoint",
        TRAIN,
        DAMAGED.format(32),
        code=0,
        damage=lambda here: truncate(checkpoint_files(here)[-1]),
        lines=5,
    ),
    Case(
        "no whole checkpoint",
        TRAIN,
        "none of the 3 checkpoints in run/checkpoints can be read: train into a new folder, or "
        "remove them to start over here",
        damage=lambda here: truncate(*checkpoint_files(here)),
        before=tuple(DAMAGED.format(update) for update in (32, 30, 20)),
    ),
    Case(
        "truncated weights",
        "translate run two.en --engine torch",
        "run/weights-DIGEST.safetensors: damaged: its sha256 is not the one in card.json: copy "
        "the folder again, or go on with the training, which writes it anew with the next better "
        "weights",
        damage=lambda here: truncate(weights_file(here / "run")),
    ),
    Case(
        "another tokenizer",
        "translate run two.en",
        "run: tokenizer.model is not the tokenizer that the model was trained with: card.json "
        "gives its sha256 as ...",
        damage=other_tokenizer,
    ),
    Case(
        "tokenizer of another size, and no card",
        "translate run two.en",
        "run/weights.safetensors: encoder.embedding.table.weight is (150, 12), recipe and "
        "tokenizer ask for (149, 12); recipe.toml, tokenizer and weights must come from the same "
        "run",
        damage=other_tokenizer_without_card,
    ),
    Case(
        "a line of ten thousand words",
        "translate run --beam 1 --threads 1 --long truncate",
        "2 of 2 lines (1, 2): the translation looks cut: parts of the source may be missing",
        before=("line 1: 10000 pieces, but the model takes at most 64: the rest was left out",),
        code=0,
        stdin=b"the " * 10_000 + b"\nthe dog\n",
        lines=2,
    ),
    Case(
        "full disk under translations",
        "translate run two.en -o full",
        "full: cannot be written: No space left on device",
        code=1,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_bad_input(case: Case, run: Callable, model: str, here: Path) -> None:
    write_files(here)
    (here / model / "card.json").write_bytes(b"{}")
    check(case, run, here)


@pytest.mark.parametrize("case", RUN_CASES, ids=lambda case: case.what)
def test_bad_run(case: Case, run: Callable, trained: Path, here: Path) -> None:
    shutil.copytree(trained, here, symlinks=True, dirs_exist_ok=True)
    write_files(here)
    check(case, run, here)


def check(case: Case, run: Callable, here: Path) -> None:
    if case.damage is not None:
        case.damage(here)
    before = contents(here)
    done = run(*shlex.split(case.command), stdin=case.stdin)
    told = [one for one in done.err.splitlines(keepends=True) if not one.startswith(PROGRESS)]
    assert case.is_told("".join(told), here), done.err
    assert (done.code, done.out.count("\n")) == (case.code, case.lines)
    assert done.code == 0 or contents(here) == before


def test_each_case_is_told_apart() -> None:
    cases = [*CASES, *RUN_CASES]
    commands = {(case.command, case.damage) for case in cases}
    assert len({case.what for case in cases}) == len(commands) == len(cases)


def test_a_disk_that_fills_up_while_writing(run, model, here: Path, monkeypatch) -> None:
    """At the very end, when the file is synced; /dev/full in the table fails at the first write."""

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    Path("out").write_bytes(b"precious\n")
    before = contents(here)
    monkeypatch.setattr(os, "fsync", full)
    done = run("translate", model, "-o", "out", stdin=b"ein Hund\n")
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("error: out: cannot be written: No space left on device\n")
    assert contents(here) == before


def test_an_input_that_breaks_while_reading(run, model, monkeypatch) -> None:
    """A file that may not be opened; root may open everything, so the system's answer is given."""
    Path("secret").write_bytes(b"ein Hund\n")

    def refused(self: Path, *args: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refused)
    done = run("translate", model, "secret")
    assert (done.code, done.out) == (2, "")
    assert done.err == "error: secret: cannot be read: Permission denied\n"
