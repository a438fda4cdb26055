from __future__ import annotations

import tomllib
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import seq2seq
from seq2seq.data.dataset import data_tables
from seq2seq.errors import RecipeError
from seq2seq.recipe import Recipe
from seq2seq.recipe.base import Checks, is_auto, tables_in
from seq2seq.recipe.data import (
    JsonlPart,
    JsonlSource,
    LinesPart,
    LinesSource,
    TsvPart,
    TsvSource,
)
from seq2seq.recipe.files import (
    load_recipe,
    packaged_recipes,
    read_recipe_text,
    recipe_from_toml,
    recipe_to_toml,
)
from seq2seq.recipe.problems import problems_of

KINDS = "rnn, gru, lstm, mgu, transition, sru, ssru, mingru, minlstm, echo"
OTHERS = (
    "; {} of another package is known once that package is installed (entry points 'seq2seq.{}')"
)


def message(*, text: str, origin: str = "r.toml") -> str:
    with pytest.raises(RecipeError) as caught:
        recipe_from_toml(text, origin)
    return str(caught.value)


def test_recipes_come_with_the_package() -> None:
    assert "quickstart" in packaged_recipes()
    for name, path in packaged_recipes().items():
        assert path.name == f"{name}.toml"


@pytest.mark.parametrize("name", packaged_recipes())
def test_packaged_recipe_is_valid_and_round_trips(name: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # by name, from anywhere
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe_from_toml(recipe_to_toml(recipe), name) == recipe


def test_recipes_beside_the_package_are_found_first(tmp_path: Path, monkeypatch) -> None:
    """A wheel holds its recipes inside the package."""
    (tmp_path / "recipes" / "deep").mkdir(parents=True)
    (tmp_path / "recipes" / "deep" / "mine.toml").write_text("seed = 7\n", encoding="utf-8")
    monkeypatch.setattr(seq2seq, "__file__", str(tmp_path / "__init__.py"))
    assert load_recipe("mine").seed == 7
    assert list(packaged_recipes()) == ["mine"]


def test_assignments_are_a_list() -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstart", "seed=3")
    assert str(caught.value) == (
        "recipe quickstart: assignments must be a list of strings, such as ['seed=3']"
    )


def test_a_path_is_as_good_as_a_string(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("seed = 2\n", encoding="utf-8")
    assert load_recipe(path) == load_recipe(str(path))
    corpus = path.with_suffix(".tsv")
    assert load_recipe(corpus) == load_recipe([corpus])


def test_unknown_name_lists_the_names() -> None:
    names = ", ".join(packaged_recipes())
    with pytest.raises(RecipeError) as caught:
        load_recipe("quickstrat")
    assert str(caught.value) == (
        "recipe 'quickstrat': no packaged recipe has this name (did you mean 'quickstart'?); "
        f"there are: {names}; a file's name ends in .toml"
    )


def test_text_of_a_recipe_keeps_comments(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"# why\nseed = 2\n")
    assert read_recipe_text(str(path)) == "# why\nseed = 2\n"


def test_bad_files(tmp_path: Path) -> None:
    def said(path: Path | str) -> str:
        with pytest.raises(RecipeError) as caught:
            load_recipe(str(path))
        return str(caught.value)

    missing = tmp_path / "missing.toml"
    assert said(missing) == f"recipe {missing}: there is no such file"
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    assert said(folder) == f"recipe {folder}: this is a folder, not a recipe's file"
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"seed = 1\n# caf\xe9\n")
    assert said(latin) == f"recipe {latin}:2: not UTF-8 text: byte 0xe9"
    below = latin / "r.toml"
    assert said(below) == f"recipe {below}: cannot be read: Not a directory"
    assert said("a\0.toml") == "recipe a\0.toml: cannot be read: embedded null byte"


def test_file_without_suffix_and_byte_order_mark(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").write_bytes(b"\xef\xbb\xbfseed = 3\r\n")
    assert load_recipe("mine").seed == 3
    assert load_recipe("./mine").seed == 3


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("text", [b"seed = 3\n# \xe9f\n", b"seed = 3\n\xe9"])
def test_a_bad_byte_is_found_after_a_byte_order_mark(
    text: bytes, mark: bytes, tmp_path: Path
) -> None:
    (tmp_path / "r.toml").write_bytes(mark + text)
    with pytest.raises(RecipeError) as caught:
        load_recipe(tmp_path / "r.toml")
    assert str(caught.value) == f"recipe {tmp_path}/r.toml:2: not UTF-8 text: byte 0xe9"


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("seed = 1\nx == 2\n", "r.toml:2:4"),
        ("seed = 1\nseed = 2\n", "r.toml:2:9"),
        ("seed = 1\nx = [1,", "r.toml:2:8"),
        ("seed =", "r.toml:1:7"),
        ("x = " + "[" * 100_000, "r.toml"),
        ("seed = " + "9" * 5000, "r.toml"),
    ],
)
def test_syntax_errors_say_where(text: str, where: str) -> None:
    first_line = message(text=text)
    assert first_line.startswith(f"recipe {where}: not TOML: ")
    assert "\n" not in first_line
    assert "(at " not in first_line


def test_all_problems_at_once_in_plain_words() -> None:
    text = """
    name = "-"
    seed = 1099511627776
    x = 1
    [data]
    train = ["a", 3]
    val = "x.foo"
    test = {kind = "tsv", source = true}
    [cleaning]
    max_length = "many"
    max_ratio = 0.5
    [tokenizer]
    kind = "wordpiece"
    vocab_size = 2.0
    user_defined_symbols = [1, "a"]
    sampling = 3
    [model]
    encoder = {cell = "lstmm", layers = "2", hid = 3, dropout = 1.5}
    decoder = {cell = 5, attention = "dto"}
    [training]
    learning_rate = inf
    optimizer = "adm"
    schedule = {kind = "cosine", warm = 3}
    clip_norm = -1
    average = {}
    precision = 3
    validation = 3
    early_stopping.metric = "bleuu"
    """
    assert message(text=text) == (
        "recipe r.toml: 27 problems:\n"
        "  name: must be letters, digits, '.', '_' and '-' that begin with a letter or digit, "
        "not '-'\n"
        "  seed: must be at least 0 and below 2147483648, not 1099511627776\n"
        '  data.train: a list here means ["source file", "target file"]: two strings; several '
        "corpora are a list of such lists or of tables\n"
        "  data.val: cannot tell what 'x.foo' is: give two files, or one that ends in .tsv, "
        ".jsonl or .parquet (perhaps .gz or .zst), or a table with a kind\n"
        "  data.test.path: missing\n"
        "  data.test.source: must be a column's number, counted from 0, or its name in the header\n"
        "  cleaning.max_length: must be a whole number at least 1, or 'none', not 'many'\n"
        "  cleaning.max_ratio: must be above 1, or 'none', not 0.5\n"
        "  tokenizer.kind: unknown value 'wordpiece'; allowed: unigram, bpe\n"
        "  tokenizer.vocab_size: must be a whole number from 8 to 1,000,000, 'auto', or a table "
        "{source = N, target = N}, not 2.0\n"
        "  tokenizer.user_defined_symbols[0]: must be a string, not 1\n"
        "  tokenizer.sampling: must be a table, or 'none', not 3\n"
        "  model.encoder.cell.kind: unknown kind 'lstmm' (did you mean 'lstm'?); "
        f"allowed: {KINDS}{OTHERS.format('a cell', 'cells')}\n"
        "  model.encoder.layers: must be a whole number at least 1 and at most 256, not '2'\n"
        "  model.encoder.dropout: must be at least 0 and below 1, or 'auto', not 1.5\n"
        "  model.encoder.hid: unknown key (did you mean 'hidden'?); allowed: cell, embedding, "
        "hidden, layers, directions, dropout, word_dropout, variational_dropout, "
        "recurrent_dropout, residual, reverse\n"
        "  model.decoder.cell: must be a table, or the name of a kind, not 5\n"
        "  model.decoder.attention: unknown name 'dto' (did you mean 'dot'?); "
        f"allowed: none, dot, general, additive{OTHERS.format('an attention', 'attentions')}\n"
        "  training.learning_rate: must be a finite number above 0 and at most 1000000, or 'auto', "
        "not inf\n"
        "  training.optimizer.kind: unknown kind 'adm' (did you mean 'adam'?); "
        "allowed: adam, adamw, sgd, hessian_free\n"
        "  training.schedule.warm: unknown key (did you mean 'warmup'?); "
        "allowed: kind, warmup, floor\n"
        "  training.clip_norm: must be above 0, or 'none', not -1\n"
        "  training.average.kind: missing; allowed: none, ema, last\n"
        "  training.precision: must be a string, not 3; allowed: auto, float32, bfloat16\n"
        "  training.validation: must be a table, not 3\n"
        "  training.early_stopping.metric: unknown value 'bleuu' (did you mean 'bleu'?); "
        "allowed: loss, bleu, chrf\n"
        "  x: unknown key; allowed: name, seed, data, cleaning, text, tokenizer, model, training, "
        "translation"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "model.encoder.cell = {forget_bias = 3}",
            f"model.encoder.cell.kind: missing; allowed: {KINDS}",
        ),
        (
            "model.encoder.cell = {kind = 'xx', forget_bias = 3}",
            f"model.encoder.cell.kind: unknown kind 'xx'; allowed: {KINDS}"
            + OTHERS.format("a cell", "cells"),
        ),
        (
            "model.encoder.cell = {kind = 'gru', forget_bias = 3}",
            "model.encoder.cell.forget_bias: unknown key; allowed: kind, reset",
        ),
        ("data.train = ['', 'b']", "data.train.source_path: must not be empty"),
        ("model.decoder.cell.kind = 4", "model.decoder.cell.kind: must be a string, not 4"),
        ("training.schedule.kind = 4", "training.schedule.kind: must be a string, not 4"),
        (
            "training.schedule = 4",
            "training.schedule: must be a table, or the name of a kind, not 4",
        ),
        (
            "model.encoder.hidden = 3",
            "model.encoder: hidden = 3 must be even with directions = 'both'",
        ),
        (
            "training.epochs = 'none'",
            "training: give epochs or updates: training needs an end",
        ),
        (
            "model.tie = 'all'\ntokenizer.joint = false",
            "model.tie = 'all' needs tokenizer.joint = true",
        ),
        (
            "translation.coverage = 0.2\nmodel.decoder.attention = 'none'",
            "translation.coverage > 0 needs model.decoder.attention",
        ),
        ("translation.min_ratio = 3.0", "translation: min_ratio must be at most max_ratio"),
        (
            "training.learning_rate = 1979-05-27",
            "training.learning_rate: must be a number above 0, or 'auto', not 1979-05-27",
        ),
        (
            "data.train = {kind = 'hub', name = 'x', source = 'en', target = 'de'}",
            "data.train.split: missing",
        ),
        (
            "data.train = [['a', 'b'], {path = 'b.tsv', weigt = 2.0}]",
            "data.train[1].weigt: unknown key (did you mean 'weight'?); allowed: kind, path, "
            "source, target, header, encoding, weight, label",
        ),
        (
            "data.train = [['a', 'b'], {path = 'b.tsv', weight = -1}]",
            "data.train[1].weight: must be above 0, not -1",
        ),
        (
            "data.train = [['a', 'b'], {path = 'b.foo'}]",
            "data.train[1].kind: missing; allowed: lines, tsv, jsonl, parquet, hub",
        ),
        (
            "data.train = [['a', 'b'], ['c']]",
            'data.train[1]: a list here means ["source file", "target file"]: two strings; several '
            "corpora are a list of such lists or of tables",
        ),
        (
            "data.train = ['a.tsv', 'b.jsonl.gz']",
            "data.train: 'a.tsv' and 'b.jsonl.gz' are a corpus each, not the two sides of one: "
            "several corpora are a list of tables, [{path = ...}, {path = ...}]",
        ),
        ("data.train = [['a', 'b'], 3]", "data.train[1]: must be a table, not 3"),
        (
            "data.train = [{path = 'a.tsv', label = 'x'}, {path = 'b.tsv', label = 'x'}]",
            "data: two corpora in train have the label 'x'",
        ),
        (
            "data.train = [{path = 'a.tsv', label = ''}, ['a', 'b']]",
            "data.train[0].label: must be letters, digits, '.', '_' and '-' that begin with a "
            "letter or digit, not ''",
        ),
        (
            "data.train = ['a', 'b']\ndata.temperature = 5.0",
            "data: temperature needs several corpora in train",
        ),
        (
            "data.stream = true",
            "data.stream has no epochs: it needs training.epochs = 'none', training.updates, "
            "training.validation.every",
        ),
        (
            "data.stream = true\ncleaning.duplicates = true\n"
            "training = {epochs = 'none', updates = 9, validation = {every = 3}}",
            "cleaning.duplicates would remember every pair of a stream: data.stream needs "
            "cleaning.duplicates = false",
        ),
        (
            "translation.source_language = 'German'",
            "translation.source_language: must be two or three small letters, such as 'de', not "
            "'German'",
        ),
        (
            "data.train = {source_path = 'a', target_path = 'b', encoding = {}}",
            'data.train.encoding: must be the name of an encoding, such as "latin-1"',
        ),
        ("data = []", "data: must be a table, not an empty list"),
        (
            '"a.b" = 1',
            '"a.b": unknown key; allowed: name, seed, data, cleaning, text, tokenizer, model, '
            "training, translation",
        ),
        (
            "name = '" + "n" * 50 + " " + "n" * 50 + "'",
            "name: must be letters, digits, '.', '_' and '-' that begin with a letter or digit, "
            "not '" + "n" * 50 + " nnnnn...",
        ),
    ],
)
def test_single_problem(text: str, problem: str) -> None:
    assert message(text=text) == f"recipe r.toml: {problem}"


def test_rules_are_checked_beside_other_problems() -> None:
    text = """
    seed = "x"
    data.stream = true
    data.temperature = 2.0
    data.train = [{path = "a.tsv", label = "x"}, {path = "b.tsv", label = "x"}, 3]
    cleaning.duplicates = true
    tokenizer = {joint = false, source_model = "a", vocab = 2}
    [model]
    tie = "all"
    encoder = {hidden = 3, embedding = 12}
    decoder = {attention = "dot", feeding = "upper", cell = "xx", hidden = 5, embedding = 13}
    [training]
    epochs = "none"
    optimizer = {kind = "sgd", nesterov = true, momentum = 0.0}
    early_stopping.metric = "bleu"
    validation.bleu = false
    [translation]
    beam = 0
    min_ratio = 3.0
    coverage = 0.3
    """
    assert message(text=text) == (
        "recipe r.toml: 17 problems:\n"
        "  seed: must be a whole number at least 0 and below 2147483648, not 'x'\n"
        "  data.train[2]: must be a table, not 3\n"
        "  tokenizer.vocab: unknown key (did you mean 'vocab_size'?); allowed: kind, joint, "
        "vocab_size, character_coverage, byte_fallback, normalization, user_defined_symbols, "
        "max_lines, model, source_model, target_model, sampling\n"
        "  model.encoder: hidden = 3 must be even with directions = 'both'\n"
        f"  model.decoder.cell.kind: unknown kind 'xx'; allowed: {KINDS}"
        f"{OTHERS.format('a cell', 'cells')}\n"
        "  training.optimizer: nesterov = true needs momentum > 0\n"
        "  translation.beam: must be at least 1, not 0\n"
        "  tokenizer: source_model and target_model go together: give both or neither\n"
        "  model.decoder: feeding = 'upper' needs layers >= 2\n"
        "  training: give epochs or updates: training needs an end\n"
        "  training: early_stopping.metric = 'bleu' needs validation.bleu = true\n"
        "  translation: min_ratio must be at most max_ratio\n"
        "  model: tie = 'all' needs encoder.embedding = decoder.embedding, not 12 and 13\n"
        "  model: decoder.attention = 'dot' needs encoder.hidden = decoder.hidden, not 3 and 5; "
        "'general' takes any sizes\n"
        "  model.tie = 'all' needs tokenizer.joint = true\n"
        "  data.stream has no epochs: it needs training.updates, training.validation.every\n"
        "  cleaning.duplicates would remember every pair of a stream: data.stream needs "
        "cleaning.duplicates = false"
    )


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("training.optimizer = {nesterov = true, momentum = 0.0, kind = 'sgd'}", ""),
        ("training = {epochs = 'none', updates = 'none'}", ""),
        ("training = {early_stopping.metric = 'bleu', validation.bleu = false}", ""),
        ("translation = {min_ratio = 3.0, max_ratio = 2.0}", ""),
        ("model.encoder = {directions = 'both', hidden = 3}", ""),
        ("model.decoder = {feeding = 'input', attention = 'none'}", ""),
        (
            "model.decoder.feeding = 'upper'\nmodel.decoder.layers = 1",
            "model.decoder.attention = 'dot'",
        ),
        ("model = {tie = 'all', encoder.embedding = 8, decoder.embedding = 9}", ""),
        ("model = {decoder = {attention = 'dot', hidden = 8}, encoder.hidden = 6}", ""),
        ("data = {temperature = 2.0, train = ['a', 'b']}", ""),
        ("data.train = [{path = 'a.tsv', label = 'x'}, {path = 'b.tsv', label = 'x'}]", ""),
        (
            "tokenizer.source_model = 'a'",
            "tokenizer.joint = false",
        ),
        ("tokenizer = {model = 'a', joint = false}", ""),
        ("model.tie = 'all'\ntokenizer.joint = false", ""),
        ("translation.coverage = 0.2\nmodel.decoder.attention = 'none'", ""),
        (
            "data.stream = true\n"
            "training = {epochs = 2, updates = 'none', validation.every = 'none'}",
            "",
        ),
        (
            "data.stream = true\ncleaning.duplicates = true",
            "training = {epochs = 'none', updates = 2, validation.every = 2}",
        ),
    ],
)
def test_a_rule_counts_only_where_the_keys_it_reads_are_right(text: str, fixed: str) -> None:
    def problems(values: dict[str, Any]) -> set[str]:
        with pytest.raises(RecipeError) as caught:
            recipe_from_toml(tomli_w.dumps(values), "r")
        return set(caught.value.problems)

    def paths(table: dict[str, Any], *before: str) -> Iterator[tuple[str, ...]]:
        for key, value in table.items():
            yield (*before, key)
            yield from paths(value, *before, key) if isinstance(value, dict) else ()

    def broken() -> dict[str, Any]:
        return tomllib.loads(f"{text}\n{fixed}")

    (rule,) = problems(broken())
    assert len(problems(broken() | {"seed": -1}) - {rule}) == 1
    assert rule in problems(broken() | {"seed": -1})
    for *tables, key in paths(tomllib.loads(text)):
        values = broken()
        reduce(getitem, tables, values)[key] = date(1979, 5, 27)
        (wrong,) = problems(values)
        assert wrong.endswith("not 1979-05-27") or "must be a string" in wrong


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_looking_further_never_fails_and_hides_nothing(data: st.DataObject) -> None:
    """Whatever the values are: what pydantic finds at first is told first."""
    wild = st.sampled_from(
        [3, -1, 0.5, True, "all", "upper", "dot", "x", [], {}, {"kind": "sgd"}, [["a"]]]
    )
    values: dict[str, Any] = {}
    for section, table in tables_in(Recipe, tomllib.loads(recipe_to_toml(Recipe()))):
        for key, field in section.model_fields.items():
            if is_auto(field):
                table.pop(key, None)
        for key in data.draw(st.sets(st.sampled_from([*section.model_fields, "odd"]), max_size=3)):
            table[key] = deepcopy(data.draw(wild))
        values = values or table
    text = tomli_w.dumps(values)
    try:
        Recipe.model_validate(values, context=Checks(cells=True))
    except ValidationError as error:
        first = problems_of(error)
    else:
        assert recipe_from_toml(text, "r", stored=False)
        return
    with pytest.raises(RecipeError) as caught:
        recipe_from_toml(text, "r", stored=False)
    told = caught.value.problems
    assert told[: len(first)] == tuple(first)
    assert len(set(told)) == len(told)


def test_paths_are_relative_to_the_file_and_assigned_ones_to_the_folder(
    tmp_path: Path, monkeypatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "r.toml").write_text(
        'data = {train = ["a.en", "/b.de"], val = "c.tsv.gz", '
        'test = {kind = "jsonl", path = "../d.jsonl"}}\n'
        'tokenizer.model = "~/t.model"\n',
        encoding="utf-8",
    )
    recipe = load_recipe("../r.toml")
    assert recipe.data.train == LinesSource(source_path=f"{tmp_path}/a.en", target_path="/b.de")
    assert recipe.data.val == TsvSource(path=f"{tmp_path}/c.tsv.gz")
    assert recipe.data.test == JsonlSource(path=f"{tmp_path.parent}/d.jsonl")
    assert recipe.tokenizer.model == "/home/me/t.model"

    assigned = load_recipe(
        "../r.toml",
        ["data.val=['x.en', 'x.de']", "data.train.source_path=y.en", "data.test=none"],
    )
    assert assigned.data.val == LinesSource(
        source_path=str(elsewhere / "x.en"), target_path=str(elsewhere / "x.de")
    )
    assert assigned.data.train == LinesSource(
        source_path=str(elsewhere / "y.en"), target_path="/b.de"
    )
    assert assigned.data.test is None


def test_a_path_up_from_a_link_is_where_the_system_goes(tmp_path: Path) -> None:
    (tmp_path / "far/folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far/folder")
    (tmp_path / "far/a.tsv").write_text("x\ty\n", encoding="utf-8")
    (tmp_path / "link/r.toml").write_text('data.train = "../a.tsv"\n', encoding="utf-8")
    source = load_recipe(tmp_path / "link/r.toml").data.train
    assert isinstance(source, TsvSource)
    assert Path(source.path).read_text(encoding="utf-8") == "x\ty\n"


def test_several_corpora_are_tables_lists_or_names(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text(
        "[data]\ntemperature = 2.0\n"
        "[[data.train]]\nkind = 'lines'\nsource_path = 'a.en'\ntarget_path = 'a.de'\n"
        "[[data.train]]\npath = '/b.tsv'\nweight = 3.0\nlabel = 'talks'\n",
        encoding="utf-8",
    )
    read = load_recipe(str(tmp_path / "r.toml"))
    first = LinesPart(source_path=f"{tmp_path}/a.en", target_path=f"{tmp_path}/a.de")
    assert read.data.train == (first, TsvPart(path="/b.tsv", weight=3.0, label="talks"))
    inline = "[['{0}/a.en', '{0}/a.de'], {{path='/b.tsv', weight=3.0, label='talks'}}]"
    given = load_recipe(
        str(tmp_path / "r.toml"), [f"data.train={inline.format(tmp_path)}", "data.temperature=2.0"]
    )
    assert given == read
    assert recipe_from_toml(recipe_to_toml(read), "r") == read
    named = recipe_from_toml("data.train = [['a', 'b'], 'c.jsonl.zst']", "r", tmp_path)
    assert named.data.train == (
        LinesPart(source_path=f"{tmp_path}/a", target_path=f"{tmp_path}/b"),
        JsonlPart(path=f"{tmp_path}/c.jsonl.zst"),
    )


def test_without_a_base_paths_stay_and_hub_names_are_no_paths(tmp_path: Path) -> None:
    recipe = recipe_from_toml('data.train = ["a", "b"]', "r")
    assert recipe.data.train == LinesSource(source_path="a", target_path="b")
    hub = "data.train = {kind='hub', name='bentrevett/multi30k', split='s', source='e', target='d'}"
    assert recipe_from_toml(hub, "r", tmp_path) == recipe_from_toml(hub, "r")


def test_none_where_toml_has_no_null() -> None:
    recipe = recipe_from_toml(
        "training = {epochs = 'none', updates = 5, clip_norm = 'none'}\n"
        "cleaning.max_length = 'none'\ntokenizer.sampling = 'none'",
        "r",
    )
    assert recipe.training.epochs is None
    assert recipe.training.clip_norm is None
    assert recipe.cleaning.max_length is None
    assert recipe_from_toml(recipe_to_toml(recipe), "r") == recipe


_text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
_rates = st.floats(min_value=1e-30, max_value=1e6, allow_nan=False)


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**31 - 1),
    rate=_rates,
    clip=st.none() | _rates,
    epochs=st.none() | st.integers(1, 10**12),
    length=st.none() | st.integers(1, 10**6),
    symbols=st.lists(_text, max_size=3).map(tuple),
    model=st.none() | _text.filter(bool),
    split=_text,
    config=st.none() | _text,
    kind=st.sampled_from(["lstm", "gru", "rnn"]),
    average=st.sampled_from([{"kind": "none"}, {"kind": "ema", "decay": 0.25}, {"kind": "last"}]),
)
def test_round_trip(seed, rate, clip, epochs, length, symbols, model, split, config, kind, average):
    hub = {"kind": "hub", "name": "n", "split": split, "config": config, "source": "", "target": ""}
    recipe = Recipe.model_validate(
        {
            "seed": seed,
            "data": {"train": hub, "test": {"kind": "tsv", "path": "test.tsv"}},
            "cleaning": {"max_length": length},
            "tokenizer": {"user_defined_symbols": symbols, "model": model},
            "model": {"encoder": {"cell": kind}},
            "training": {
                "learning_rate": rate,
                "clip_norm": clip,
                "epochs": epochs,
                "updates": 9,
                "average": average,
            },
        }
    )
    text = recipe_to_toml(recipe)
    assert recipe_from_toml(text, "r", cells=False) == recipe
    whole = recipe_from_toml(text, "r")  # with the defaults of the cells' own keys
    assert recipe_from_toml(recipe_to_toml(whole), "r") == whole
    assert tomllib.loads(text)["seed"] == seed


@pytest.mark.parametrize("text", ["", "\n \n", "# a comment\n"])
def test_a_file_without_a_key_is_no_recipe(tmp_path: Path, text: str) -> None:
    path = tmp_path / "empty.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(path), ["seed=3"])
    assert str(caught.value) == (
        f"recipe {path}: there is nothing in it: 'seq2seq recipe show quickstart' prints one to "
        "begin with"
    )


def test_auto_is_the_same_as_left_out() -> None:
    for text in (
        "training.learning_rate = 'auto'",
        "training.epochs = 'auto'\nmodel.encoder.hidden = 'auto'",
        "training.schedule = {kind = 'inverse_sqrt', warmup = 'auto'}",
    ):
        recipe = recipe_from_toml(text, "r.toml")
        assert "learning_rate" not in recipe.training.model_fields_set
        assert "warmup" not in recipe.training.schedule.model_fields_set
        assert recipe_from_toml(recipe_to_toml(recipe), "r.toml") == recipe
    written = recipe_to_toml(recipe_from_toml("model.encoder.hidden = 8", "r.toml"))
    assert tomllib.loads(written)["model"]["encoder"]["hidden"] == 8
    assert tomllib.loads(written)["model"]["decoder"]["hidden"] == "auto"
    assert message(text="seed = 'auto'") == (
        "recipe r.toml: seed: must be a whole number at least 0 and below 2147483648, not 'auto'"
    )


def test_keys_that_preparing_decides_stay_left_out() -> None:
    """Whatever way a recipe goes: fine-tuning takes a tokenizer's table over by a dump."""
    left_out = Recipe.model_validate({"tokenizer": {"vocab_size": "auto"}})
    for recipe in (
        Recipe(),
        left_out,
        Recipe.model_validate(left_out.model_dump()),
        Recipe.model_validate_json(left_out.model_dump_json()),
        recipe_from_toml(recipe_to_toml(left_out), "r"),
    ):
        assert (recipe.tokenizer.sizes, recipe.tokenizer.rules) == ((None, None), None)
        assert data_tables(recipe)["tokenizer"]["vocab_size"] == "auto"
        assert tomllib.loads(recipe_to_toml(recipe))["tokenizer"]["normalization"] == "auto"
    given_ = Recipe.model_validate({"tokenizer": {"vocab_size": 8000, "normalization": "nfkc"}})
    for recipe in (given_, Recipe.model_validate_json(given_.model_dump_json())):
        assert recipe.tokenizer.sizes == (8000, 8000)
        assert recipe.tokenizer.rules == ("nfkc", "nfkc")
        assert data_tables(recipe)["tokenizer"]["vocab_size"] == 8000
