"""Several corpora as one training set: names, shares, and that no pair is seen more than others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from seq2seq.data import batching
from seq2seq.data.batching import BatchOrder, Bounds, Place
from seq2seq.data.dataset import PreparedData
from seq2seq.data.mixture import CorpusRange, Mixture, quotas, shares, sources_of
from seq2seq.data.preparing.prepare import is_prepared, prepare
from seq2seq.data.preparing.statistics import PrepareReport, report_table
from seq2seq.errors import DataError
from seq2seq.recipe import Data, Recipe
from seq2seq.text.cleaning import Dropped

Make = Callable[..., Recipe]


def test_names() -> None:
    tables = [
        ["x/news.en", "x/news.de"],
        {"path": "y/news.tsv.gz", "weight": 2.0},
        {"path": "z.jsonl", "label": "news-2"},
        {"kind": "hub", "name": "a/b", "split": "s", "source": "e", "target": "d"},
        {"path": ".tsv", "kind": "tsv"},
    ]
    named = sources_of(Data.model_validate({"train": tables}), "train")
    names = [one.name for one in named]
    assert names == ["news", "news-3", "news-2", "a/b", ".tsv"]
    assert [one.weight for one in named] == [1.0, 2.0, 1.0, 1.0, 1.0]
    alone = sources_of(Data.model_validate({"train": ["a.x.en", "b"], "val": "c.tsv"}), "val")
    assert [(one.name, one.weight) for one in alone] == [("c", 1.0)]
    assert sources_of(Data(), "train") == ()


def test_shares_follow_the_formula() -> None:
    assert shares([300, 100], 1.0) == [0.75, 0.25]
    assert shares([16, 1], 2.0) == pytest.approx([0.8, 0.2])
    assert shares([1e9, 1], 0.01) == [1.0, 0.0]  # and no overflow
    assert shares([5, 1], 1e9) == pytest.approx([0.5, 0.5])


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=6),
    st.floats(0.2, 20),
    st.integers(6, 10**7),
)
@settings(deadline=None)
def test_quotas_add_up_and_are_near_the_shares(
    amounts: list[float], temperature: float, total: int
) -> None:
    chances = shares(amounts, temperature)
    found = quotas(chances, total)
    assert sum(found) == total
    assert min(found) >= 1
    small = sum(chance * total < 1 for chance in chances)  # they are given a pair of the others'
    for count, chance in zip(found, chances, strict=True):
        assert abs(count - chance * total) <= 1 + small


class Corpus:
    """Pairs of random lengths."""

    def __init__(self, count: int) -> None:
        self.sizes = np.random.default_rng(7).integers(1, 9, size=(count, 2)).astype(np.int32)

    def __len__(self) -> int:
        return len(self.sizes)

    def lengths(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
        return self.sizes[start:stop, 0], self.sizes[start:stop, 1]


@pytest.fixture(params=[(4, 12), (1024, 65536)], ids=["many pools", "one pool"])
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "BLOCK", request.param[0])
    monkeypatch.setattr(batching, "POOL", request.param[1])


def order(mixture: Mixture, seed: int = 1) -> BatchOrder:
    corpus: Any = Corpus(mixture.ranges[-1].stop)
    return BatchOrder(corpus, Bounds(40), seed, mixture)


def epoch(found: BatchOrder, number: int) -> list[int]:
    seen: list[int] = []
    for batch, after in found.drawn(Place(epoch=number)):
        seen += batch.indices.tolist()
        if after.epoch > number:
            break
    return seen


def of_sizes(*sizes_and_weights: tuple[int, float], temperature: float = 1.0) -> Mixture:
    start, ranges = 0, []
    for number, (size, weight) in enumerate(sizes_and_weights):
        ranges.append(CorpusRange(f"c{number}", start, start + size, weight))
        start += size
    return Mixture(ranges, temperature)


@pytest.mark.usefixtures("small_blocks")
def test_over_the_epochs_all_pairs_of_a_corpus_are_seen_equally_often() -> None:
    mixture = of_sizes((30, 1.0), (7, 4.0), (13, 0.5))
    found = order(mixture)
    amounts = np.array([30.0, 28.0, 6.5])
    expected = amounts / amounts.sum() * 50
    seen: Counter[int] = Counter()
    for number in range(1, 40):
        pairs = epoch(found, number - 1)
        assert len(pairs) == 50
        seen.update(pairs)
        counts = Counter(mixture.names(np.array(pairs)))
        for corpus, wanted in zip(("c0", "c1", "c2"), expected, strict=True):
            assert abs(counts[corpus] - wanted) <= 1
        for stretch in mixture.ranges:  # at any time: no pair is two passes ahead of another
            times = [seen[n] for n in range(stretch.start, stretch.stop)]
            assert max(times) - min(times) <= 1


@pytest.mark.usefixtures("small_blocks")
def test_an_epoch_takes_whole_passes_and_another_part_each_time() -> None:
    found = order(of_sizes((40, 1.0), (10, 2.0)))
    parts = []
    for number in range(4):
        counts = Counter(epoch(found, number))
        times = [counts[n] for n in range(40, 50)]
        assert min(times) >= 1  # 50 * 20 / 60 pairs: a pass and two thirds
        assert sum(times) == 17
        parts.append(tuple(times))
    assert len(set(parts)) > 1


@pytest.mark.usefixtures("small_blocks")
def test_the_order_is_a_function_of_seed_and_epoch_and_goes_on_from_any_place() -> None:
    mixture = of_sizes((30, 1.0), (7, 4.0))
    whole = [(batch.indices.tolist(), after) for batch, after in islice(order(mixture).drawn(), 40)]
    assert whole[-1][1].epoch >= 2
    for number in range(0, 39, 3):
        rest = islice(order(mixture).drawn(whole[number][1]), 39 - number)
        assert [(batch.indices.tolist(), after) for batch, after in rest] == whole[number + 1 :]
    assert epoch(order(mixture, seed=2), 0) != epoch(order(mixture), 0)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_one_corpus_of_any_weight_is_as_none(temperature: float) -> None:
    corpus: Any = Corpus(50)
    mixture = Mixture([CorpusRange("a", 0, 50, 7.0)], temperature)
    for number in range(3):
        alone = epoch(BatchOrder(corpus, Bounds(40), 1), number)
        assert epoch(BatchOrder(corpus, Bounds(40), 1, mixture), number) == alone


def test_corpora_of_one_weight_are_taken_whole() -> None:
    mixture = of_sizes((37, 2.0), (11, 2.0), (5, 2.0))
    assert mixture.quotas == [37, 11, 5]
    assert sorted(epoch(order(mixture), 1)) == list(range(53))


# -- preparing ------------------------------------------------------------------------------


@pytest.fixture
def several(
    corpus: dict[str, list[str]], recipe_for: Make, tmp_path: Path
) -> Callable[..., Recipe]:
    """A recipe for the corpus and another, half of which the corpus has too."""
    both = list(zip(corpus["train.a"][:50], corpus["train.b"][:50], strict=True))
    other = [*both, ("", ""), *[(f"domo {n}", f"DOMO {n}") for n in range(50)]]
    text = "".join(f"{a}\t{b}\n" for a, b in other)
    (tmp_path / "other.tsv").write_text(text, encoding="utf-8", newline="\n")

    def make(weight: float = 1.0, temperature: float = 1.0, **tables: Any) -> Recipe:
        data = {
            **recipe_for().data.model_dump(exclude_none=True),
            "train": [
                [str(tmp_path / "train.a"), str(tmp_path / "train.b")],
                {"path": str(tmp_path / "other.tsv"), "weight": weight, "label": "talks"},
            ],
            "temperature": temperature,
        }
        return recipe_for(data=data, **tables)

    return make


def test_prepared_one_after_the_other(several: Make, tmp_path: Path) -> None:
    data = prepare(several(3.0, cleaning={"duplicates": True}), tmp_path / "out")
    train = data.report.splits[0]
    assert (train.read, train.kept) == (1001, 950)
    assert train.dropped == (Dropped("empty", 1, 51), Dropped("duplicates", 50, 1))
    first, second = train.corpora
    assert (first.name, first.read, first.kept, first.dropped) == ("train", 900, 900, ())
    assert (second.name, second.read, second.kept) == ("talks", 101, 50)
    assert second.dropped == train.dropped
    assert data.manifest["mixture"] == {
        "temperature": 1.0,
        "corpora": [["train", 0, 900, 1.0], ["talks", 900, 950, 3.0]],
    }
    assert data.train.lines(np.array([0, 899, 900, 949])).tolist() == [1, 900, 52, 101]
    assert data.train.texts(np.array([900]))[0] == ["domo 0"]
    report = data.report
    assert PrepareReport.from_json(json.loads(json.dumps(report.to_json()))) == report
    with (tmp_path / "table").open("w", encoding="utf-8") as file:
        console = Console(width=100, record=True, file=file)
        console.print(report_table(report))
        text = " ".join(console.export_text().split())
    for row in ("train │ 1,001 │ 51 │ 950", "train: talks │ 101 │ 51 │ 50"):
        assert row in text
    assert "train: talks │ duplicates │ 50 │ 1 │" in text


def test_weights_are_not_part_of_the_data(several: Make, tmp_path: Path) -> None:
    data = prepare(several(3.0, 2.0), tmp_path / "out")
    for recipe in (several(3.0, 2.0), several(1.0), several(7.0, 5.0)):
        assert is_prepared(recipe, data.folder)
        data.check_fits(recipe)
    other = several(1.0)
    mixture = data.mixture(other)
    assert mixture is not None
    assert mixture.shares == pytest.approx([900 / 1000, 100 / 1000])
    kept = data.mixture(several().model_copy(update={"data": Data()}))  # as it was prepared
    assert kept is not None
    assert kept.shares == pytest.approx(shares([900, 300], 2.0))
    assert mixture.names(np.array([0, 899, 900, 999])) == ["train", "train", "talks", "talks"]


def test_other_corpora_are_other_data(several: Make, recipe_for: Make, tmp_path: Path) -> None:
    data = prepare(several(), tmp_path / "out")
    with pytest.raises(DataError) as error:
        data.check_fits(recipe_for())
    assert "data.train is a list of 2 corpora there but " in str(error.value)
    changed = several().model_dump()
    changed["data"]["train"][1]["target"] = 0
    with pytest.raises(DataError) as error:
        data.check_fits(Recipe.model_validate(changed))
    assert "data.train[1].target is 1 there but 0 in the recipe" in str(error.value)
    moved = tmp_path / "moved.tsv"
    moved.write_bytes((tmp_path / "other.tsv").read_bytes())
    changed["data"]["train"][1].update(target=1, path=str(moved))
    data.check_fits(Recipe.model_validate(changed))
    (tmp_path / "other.tsv").write_text("a\tb\n", encoding="utf-8")
    assert data.changed_inputs(several()) == [str(tmp_path / "other.tsv")]


def test_a_corpus_of_which_nothing_is_left_is_named(several: Make, tmp_path: Path) -> None:
    (tmp_path / "other.tsv").write_text("\t\n" * 3, encoding="utf-8")
    with pytest.raises(DataError) as error:
        prepare(several(), tmp_path / "out")
    assert str(error.value) == (
        "data.train[1] (talks): cleaning dropped every pair (empty 3): leave it out, or mend its "
        "text or the rules of [cleaning]"
    )


@pytest.mark.parametrize("blank", ["blank.jsonl", "blank.parquet"])
@pytest.mark.parametrize("trained", [True, False])
def test_a_corpus_without_pairs_is_named(
    several: Make, tmp_path: Path, blank: str, trained: bool
) -> None:
    path = tmp_path / blank
    if path.suffix == ".parquet":
        none = pa.array([], pa.string())
        pq.write_table(pa.table({"source": none, "target": none}), path)
    else:
        path.write_text("\n \n", encoding="utf-8")
    tables = several().model_dump()
    tables["data"]["train"] = [tables["data"]["train"][0], {"path": str(path)}]
    if not trained:  # with a tokenizer at hand, pairs are read and tokenized in one go
        data = prepare(several(), tmp_path / "out")
        tables["tokenizer"]["model"] = str(data.folder / "tokenizer.model")
    with pytest.raises(DataError) as error:
        prepare(Recipe.model_validate(tables), tmp_path / "other")
    assert str(error.value) == (
        "data.train[1] (blank): there are no pairs: leave it out, or name one that has some"
    )
    assert not (tmp_path / "other").exists()


def test_opened_again(several: Make, tmp_path: Path) -> None:
    folder = prepare(several(3.0), tmp_path / "out").folder
    again = PreparedData.open(folder)
    assert again.recipe == several(3.0)
    assert again.mixture(several(3.0)) is not None


def test_one_corpus_is_visited_in_the_order_of_older_versions() -> None:
    """Runs that were begun before there were mixtures go on as they were."""
    found = order(of_sizes((5000, 1.0)), seed=9)
    for number in range(3):
        expected = np.random.default_rng((1, 9, number)).permutation(5)
        assert (found._blocks(number)[:, 0] // 1024).tolist() == expected.tolist()
