"""Validation pairs that are held out of the training pairs: which, how many, and what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from seq2seq.data.dataset import PairDataset, PreparedData
from seq2seq.data.preparing.prepare import is_prepared, prepare
from seq2seq.data.preparing.statistics import report_table
from seq2seq.errors import DataError, RecipeError
from seq2seq.recipe import Recipe
from seq2seq.text.cleaning import Dropped

Make = Callable[..., Recipe]
Pair = tuple[str, str]


def pairs_of(dataset: PairDataset) -> list[Pair]:
    return list(zip(*dataset.texts(np.arange(len(dataset))), strict=True))


def lines_of(dataset: PairDataset) -> list[int]:
    return dataset.lines(np.arange(len(dataset))).tolist()


def write(folder: Path, name: str, pairs: list[Pair]) -> list[str]:
    paths = [folder / f"{name}.{side}" for side in "ab"]
    for path, texts in zip(paths, zip(*pairs, strict=True), strict=True):
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="\n")
    return list(map(str, paths))


def numbered(count: int, word: str = "hundo") -> list[Pair]:
    return [(f"la {word} {n} kuras", f"DIE {word} {n} LÄUFT") for n in range(count)]


def problem(recipe: Recipe, folder: Path, kind: type[Exception] = DataError) -> str:
    with pytest.raises(kind) as error:
        prepare(recipe, folder)
    assert not folder.exists()
    return str(error.value)


@pytest.fixture
def make(recipe_for: Make, tmp_path: Path) -> Make:
    """Makes a recipe that has training pairs and no others."""

    def with_train(*corpora: list[Pair], held_out: int = 1000, **tables: object) -> Recipe:
        files = [write(tmp_path, f"train{n}", corpus) for n, corpus in enumerate(corpora)]
        train = files if len(files) > 1 else files[0]
        tables = {"tokenizer": {}, **tables}
        return recipe_for(data={"train": train, "held_out": held_out}, **tables)

    return with_train


def test_it_is_as_if_the_same_pairs_had_been_in_two_files(
    make: Make, recipe_for: Make, tmp_path: Path
) -> None:
    corpus = numbered(900)
    data = prepare(make(corpus), tmp_path / "out")
    val = pairs_of(data.val)
    assert len(val) == 90
    assert [corpus[line - 1] for line in lines_of(data.val)] == val
    assert [corpus[line - 1] for line in lines_of(data.train)] == pairs_of(data.train)
    left = [pair for pair in corpus if pair not in set(val)]
    files = {"train": write(tmp_path, "left", left), "val": write(tmp_path, "held", val)}
    explicit = prepare(recipe_for(data=files, tokenizer={}), tmp_path / "explicit")
    assert explicit.tokenizers.digest == data.tokenizers.digest
    for ours, theirs in ((data.train, explicit.train), (data.val, explicit.val)):
        assert pairs_of(ours) == pairs_of(theirs)
        for some, others in zip(*(d.ids(np.arange(len(d))) for d in (ours, theirs)), strict=True):
            assert np.array_equal(some.values, others.values)
            assert np.array_equal(some.offsets, others.offsets)
    ours, theirs = data.report.splits, explicit.report.splits
    assert [split.source for split in ours] == [split.source for split in theirs]
    assert [split.target for split in ours] == [split.target for split in theirs]


@pytest.mark.parametrize(
    ("pairs", "most", "count"),
    [(2, 1000, 1), (9, 1000, 1), (100, 1000, 10), (2500, 200, 200), (2500, 1000, 250)],
)
def test_a_tenth_and_no_more_than_the_recipe_says(
    make: Make, tmp_path: Path, pairs: int, most: int, count: int
) -> None:
    data = prepare(make(numbered(pairs), held_out=most), tmp_path / "out")
    assert (len(data.train), len(data.val)) == (pairs - count, count)
    assert data.report.splits[0].held_out == count
    assert data.test is None


def test_they_come_from_the_whole_corpus(make: Make, tmp_path: Path) -> None:
    lines = np.array(lines_of(prepare(make(numbered(5000)), tmp_path / "out").val))
    quarters = np.histogram(lines, bins=4, range=(1, 5001))[0]
    # 125 each; of numbers that are drawn at random none is outside this once in 100,000 times.
    assert quarters.sum() == 500
    assert ((quarters > 80) & (quarters < 170)).all()


@pytest.mark.parametrize("given", [False, True], ids=["trained", "given"])
def test_the_same_by_any_number_of_processes(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: bool
) -> None:
    recipe = make(numbered(900))
    if given:
        model = prepare(recipe, tmp_path / "first").folder / "tokenizer.model"
        recipe = make(numbered(900), tokenizer={"model": str(model)})
    monkeypatch.setattr("seq2seq.data.arrow.BATCH_PAIRS", 64)
    monkeypatch.setattr("seq2seq.data.preparing.workers.WORTH_A_PROCESS", 100)
    made = [prepare(recipe, tmp_path / str(n), processes=n) for n in (1, 3)]
    assert len({data.digest for data in made}) == 1
    monkeypatch.undo()
    whole = prepare(recipe, tmp_path / "whole")
    assert pairs_of(whole.val) == pairs_of(made[0].val)
    assert pairs_of(whole.train) == pairs_of(made[0].train)


def test_no_pair_is_in_both_however_often_it_comes(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seq2seq.data.arrow.BATCH_PAIRS", 50)
    corpus = numbered(400) * 3 + [("", "x"), ("unu", "")]
    data = prepare(make(corpus), tmp_path / "out")
    train, val = pairs_of(data.train), pairs_of(data.val)
    assert len(val) == len(set(val)) == 120  # a tenth of 1,200
    assert max(lines_of(data.val)) <= 400  # the first of each three
    assert Counter(train) == Counter({pair: 3 for pair in numbered(400) if pair not in set(val)})
    one, other = data.report.splits
    assert (one.read, one.held_out, one.kept) == (1202, 360, 840)
    assert one.dropped == (Dropped("empty", 2, 1201),)
    assert (other.read, other.kept) == (360, 120)
    assert [(drop.rule, drop.count) for drop in other.dropped] == [("duplicates", 240)]


def test_repeated_pairs_that_are_dropped_are_not_counted(make: Make, tmp_path: Path) -> None:
    recipe = make(numbered(400) * 3, cleaning={"duplicates": True})
    data = prepare(recipe, tmp_path / "out")
    assert (len(data.train), len(data.val)) == (360, 40)
    assert data.report.splits[1].dropped == ()


def test_at_most_half_of_what_differs(make: Make, tmp_path: Path) -> None:
    data = prepare(make(numbered(6) * 200), tmp_path / "out")
    assert (len(data.val), len(set(pairs_of(data.train)))) == (3, 3)
    assert not set(pairs_of(data.val)) & set(pairs_of(data.train))


@pytest.mark.parametrize("number", range(6))
def test_a_pair_that_is_most_of_the_corpus_stays(
    make: Make, tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever it is, though by its hash alone every second one would go."""
    monkeypatch.setattr("seq2seq.data.arrow.BATCH_PAIRS", 64)
    usual = (f"saluton {number}", f"SALUTON {number}")
    data = prepare(make([*numbered(60), *[usual] * 540]), tmp_path / "out")
    val = pairs_of(data.val)
    assert len(val) == len(set(val)) == 30
    assert usual not in val
    assert len(data.train) == 570


def test_several_corpora(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seq2seq.data.arrow.BATCH_PAIRS", 64)
    corpora = [numbered(300, "kato"), [], numbered(700, "domo")]
    corpora[1] = corpora[0][:100]  # what is held out of one is not trained on as another's
    recipe = make(*corpora)
    data = prepare(recipe, tmp_path / "out")
    val = set(pairs_of(data.val))
    assert len(val) == 110
    assert {"kato", "domo"} == {source.split()[1] for source, _ in val}
    mixture = data.mixture(recipe)
    assert mixture is not None
    train = pairs_of(data.train)
    for corpus, its in zip(corpora, mixture.ranges, strict=True):
        assert train[its.start : its.stop] == [pair for pair in corpus if pair not in val]
    parts = data.report.splits[0].corpora
    assert [one.held_out for one in parts] == [
        sum(pair in val for pair in corpus) for corpus in corpora
    ]
    assert sum(one.held_out for one in parts) == data.report.splits[0].held_out


def test_what_is_told(make: Make, tmp_path: Path) -> None:
    data = prepare(make(numbered(200)), tmp_path / "out")
    console = Console(width=200, record=True, file=StringIO())
    console.print(report_table(PreparedData.open(data.folder).report))
    told = console.export_text()
    rows = [line.replace("│", " ").split() for line in told.splitlines()]
    assert ["train", "200", "0", "20", "180"] in rows
    assert ["val", "20", "0", "0", "20"] in rows
    assert (
        "val: 20 of the training pairs, drawn evenly from all of them, which are not trained on: "
        "the recipe names no data.val\n"
    ) in told


def test_what_fits_data_with_pairs_held_out(
    make: Make, recipe_for: Make, tmp_path: Path, corpus: dict[str, list[str]]
) -> None:
    recipe = make(numbered(200))
    data = prepare(recipe, tmp_path / "out")
    assert is_prepared(recipe, data.folder)
    assert not is_prepared(make(numbered(200), held_out=5), data.folder)
    assert data.recipe == recipe
    data.check_fits(recipe)
    data.check_fits(recipe_for(data={}, tokenizer={}))
    data.check_fits(recipe_for(data={"held_out": 5}, tokenizer={}))  # without a corpus all fits
    named = recipe.data.model_copy(update={"val": recipe_for().data.val})
    with_val = recipe.model_copy(update={"data": named})
    for other, words in (
        (make(numbered(200), held_out=5), "data.held_out is 1000 there but 5 in the recipe"),
        (with_val, "data.val is not given there but "),
    ):
        with pytest.raises(DataError) as error:
            data.check_fits(other)
        assert words in str(error.value)
    named = recipe_for()
    only_train = recipe_for(data={"train": named.data.train.model_dump()})
    prepare(named, tmp_path / "named").check_fits(only_train)  # it has validation pairs
    assert data.changed_inputs(recipe) == []
    (tmp_path / "train0.a").write_text("kato\n" * 200, encoding="utf-8")
    assert data.changed_inputs(recipe) == [str(tmp_path / "train0.a")]


def test_what_cannot_be_held_out(make: Make, recipe_for: Make, tmp_path: Path) -> None:
    output = tmp_path / "out"
    alike = make([("kato", "KATO")] * 50)
    assert problem(alike, output) == (
        "data.train: all 50 pairs are the same, so that none can be held out for validation: name "
        "more text, or validation pairs as data.val"
    )
    assert problem(make([("kato", "KATO")]), output).startswith(
        "data.train: there is only one pair, so that none"
    )
    lowest = pairs_of(prepare(make(numbered(300)), tmp_path / "first").val)[0]
    message = problem(make(numbered(300), [lowest]), output)
    assert message == (
        "data.train[1] (train1): all of it (1 pair) is held out for validation: leave it out, or "
        "name validation pairs as data.val"
    )
    training = {"epochs": None, "updates": 5, "validation": {"every": 5}}
    files = write(tmp_path, "streamed", numbered(20))
    streamed = recipe_for(name="s", data={"train": files, "stream": True}, training=training)
    assert problem(streamed, output, RecipeError) == (
        "recipe s: data.val: missing (a stream holds out no pairs): name the files, for instance "
        '--set \'data.val=["FILE.en","FILE.de"]\''
    )
