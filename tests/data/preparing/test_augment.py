"""Augmentation: which pairs are added, that it is repeated exactly, and what is kept of it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from seq2seq.data.dataset import PairDataset, PreparedData, data_tables
from seq2seq.data.preparing.augment import with_typo, without_stop
from seq2seq.data.preparing.prepare import is_prepared, prepare
from seq2seq.data.preparing.statistics import Added, PrepareReport, report_table
from seq2seq.errors import DataError
from seq2seq.recipe import Recipe
from seq2seq.recipe.text import Augment
from seq2seq.text.case import title
from seq2seq.text.tokenizer import train_tokenizers

Make = Callable[..., Recipe]
Pair = tuple[str, str]
CHANGES: dict[str, Callable[[str], str]] = {
    "upper": lambda text: text.upper().replace("SS", "ẞ"),
    "title": lambda text: " ".join(word[0].upper() + word[1:] for word in text.split(" ")),
    "lower": str.lower,
    "no_stop": lambda text: text.removesuffix("."),
}
PAIRWISE = [*CHANGES, "typos"]


def pairs_of(dataset: PairDataset) -> list[Pair]:
    return list(zip(*dataset.texts(np.arange(len(dataset))), strict=True))


def written(folder: Path, name: str, pairs: list[Pair]) -> list[str]:
    paths = [folder / f"{name}.{side}" for side in "ab"]
    for path, texts in zip(paths, zip(*pairs, strict=True), strict=True):
        path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8", newline="\n")
    return list(map(str, paths))


def sentences(count: int, begin: int = 0) -> list[Pair]:
    """Each different, most with a stop, in words that are translated one by one."""
    nouns = ["kato", "hundo", "domo", "arbo", "strato"]
    random = np.random.default_rng(begin)
    pairs = []
    for n in range(begin, begin + count):
        words = [nouns[k] for k in random.integers(0, 5, 4)]
        stop = "." if n % 4 else "!"
        pairs.append(
            (f"La {' '.join(words)} {n}{stop}", f"{' '.join(words).upper()} weiß {n}{stop}")
        )
    return pairs


@pytest.fixture
def make(recipe_for: Make, tmp_path: Path) -> Make:
    """Makes a recipe with training pairs, 20 validation pairs, and shares."""

    def with_shares(
        *corpora: list[Pair], val: bool = True, seed: int = 1, **shares: float
    ) -> Recipe:
        files = [written(tmp_path, f"part{n}", corpus) for n, corpus in enumerate(corpora)]
        data: dict[str, object] = {"train": files if len(files) > 1 else files[0]}
        if val:
            data["val"] = written(tmp_path, "val", sentences(20, 5000))
        tables = {"tokenizer": {}, "text": {"augment": shares}, "seed": seed}
        return recipe_for(data=data, **tables)

    return with_shares


def split_up(data: PreparedData, corpus: list[Pair]) -> list[tuple[Pair, Pair]]:
    """The added pairs, each after the pair of its line; the corpus's own must all be there."""
    rows = pairs_of(data.train)
    lines = data.train.lines(np.arange(len(rows))).tolist()
    count = data.report.splits[0].read
    assert [one for one in rows if one in set(corpus)] == corpus
    assert len(rows) == count + sum(one.pairs for one in data.report.splits[0].added)
    known = set(corpus)
    return [(corpus[n - 1], one) for one, n in zip(rows, lines, strict=True) if one not in known]


@pytest.mark.parametrize("kind", PAIRWISE)
def test_a_share_of_the_pairs_is_there_once_more(make: Make, tmp_path: Path, kind: str) -> None:
    corpus = sentences(2000)
    data = prepare(make(corpus, **{kind: 0.25}), tmp_path / "out")
    added = split_up(data, corpus)
    possible = [pair for pair in corpus if kind != "no_stop" or pair[0].endswith(".")]
    assert len({old for old, _ in added}) == len(added)
    assert len(added) == pytest.approx(0.25 * len(possible), rel=0.15)
    for old, new in added:
        if kind == "typos":
            assert new[1] == old[1]
            assert new[0] != old[0]
        else:
            assert new == tuple(map(CHANGES[kind], old))
    assert pairs_of(data.val) == sentences(20, 5000)
    train, val = data.report.splits
    assert train.added == (Added(kind, len(added), 500),)
    assert (train.read, train.kept, val.added) == (2000, 2000 + len(added), ())
    assert PrepareReport.from_json(json.loads(json.dumps(data.report.to_json()))) == data.report


def test_all_kinds_at_once_are_those_of_each_alone(make: Make, tmp_path: Path) -> None:
    corpus = sentences(600)
    shares = dict.fromkeys(PAIRWISE, 0.3)
    alone = Counter(
        pair
        for kind in PAIRWISE
        for pair in split_up(prepare(make(corpus, **{kind: 0.3}), tmp_path / kind), corpus)
    )
    both = prepare(make(corpus, **shares), tmp_path / "all")
    assert Counter(split_up(both, corpus)) == alone
    chosen = [
        {old for old, new in alone if new == tuple(map(change, old))} for change in CHANGES.values()
    ]
    assert len(chosen[0] & chosen[2]) < 0.5 * len(chosen[0])  # each kind draws by itself


def test_it_is_repeated_exactly_however_the_pairs_are_cut(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = sentences(900)
    shares = dict.fromkeys((*PAIRWISE, "words"), 0.2)
    whole = prepare(make(corpus, **shares), tmp_path / "whole")
    monkeypatch.setattr("seq2seq.data.arrow.BATCH_PAIRS", 64)
    monkeypatch.setattr("seq2seq.data.preparing.workers.WORTH_A_PROCESS", 100)
    cut = [prepare(make(corpus, **shares), tmp_path / str(n), processes=n) for n in (1, 3)]
    for name in ("train.arrow", "val.arrow", "tokenizer.model"):
        assert (
            len(
                {(data.folder / name).read_bytes() for data in cut if (data.folder / name).exists()}
            )
            < 2
        )
    assert cut[0].digest == cut[1].digest
    assert Counter(pairs_of(cut[0].train)) == Counter(pairs_of(whole.train))
    other = prepare(make(corpus, seed=2, **shares), tmp_path / "other")
    assert Counter(pairs_of(other.train)) != Counter(pairs_of(whole.train))


def test_shares_of_zero_change_nothing(make: Make, recipe_for: Make, tmp_path: Path) -> None:
    recipe = make(sentences(300))
    zero = dict.fromkeys(Augment.model_fields, 0.0)
    data = prepare(recipe, tmp_path / "out")
    assert is_prepared(make(sentences(300), seed=7, **zero), tmp_path / "out")
    assert data_tables(recipe).keys() == {"data", "cleaning", "tokenizer"}
    assert data.report.splits[0].added == ()
    assert len(data.train) == 300
    assert "added" not in shown(data.report)


def test_other_shares_are_other_data(make: Make, tmp_path: Path) -> None:
    corpus = sentences(300)
    output = tmp_path / "out"
    recipe = make(corpus, upper=0.1)
    data = prepare(recipe, output)
    assert is_prepared(recipe, output)
    data.check_fits(make(corpus, upper=0.1, seed=2))  # another run on the same pairs
    assert not is_prepared(make(corpus, upper=0.1, seed=2), output)
    for shares, told in (
        ({"upper": 0.2}, "text.augment.upper is 0.1 there but 0.2 in the recipe"),
        ({}, "text.augment.upper is 0.1 there but not given in the recipe"),
        (
            {"upper": 0.1, "words": 0.2},
            "text.augment.words is not given there but 0.2 in the recipe",
        ),
    ):
        other = make(corpus, **shares)
        assert not is_prepared(other, output)
        with pytest.raises(DataError) as error:
            data.check_fits(other)
        assert f"was prepared with a different recipe: {told}" in str(error.value)
    with pytest.raises(DataError, match=r"text\.augment\.upper is not given there but 0\.1 in"):
        prepare(make(corpus), tmp_path / "plain").check_fits(recipe)


def test_pairs_that_are_held_out_are_not_among_those_that_are_changed(
    make: Make, tmp_path: Path
) -> None:
    corpus = sentences(1000)
    data = prepare(make(corpus, val=False, lower=0.5, typos=0.5, words=0.1), tmp_path / "out")
    val = set(data.val.lines(np.arange(len(data.val))).tolist())
    assert len(val) == 100
    lines = data.train.lines(np.arange(len(data.train))).tolist()
    assert len(lines) > 1500
    assert val.isdisjoint(lines)
    train = data.report.splits[0]
    added = sum(one.pairs for one in train.added)
    assert (train.read, train.held_out, train.kept) == (1000, 100, 900 + added)


def test_each_corpus_keeps_its_own(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mixture's ranges hold the pairs of each corpus, and what was made of them."""
    monkeypatch.setattr("seq2seq.data.arrow.BATCH_PAIRS", 64)
    corpora = [
        [(a.replace("La", word), b) for a, b in sentences(count, begin)]
        for word, count, begin in (("Unu", 300, 0), ("Du", 128, 1000), ("Tri", 100, 2000))
    ]
    recipe = make(*corpora, upper=0.5, words=0.3)
    data = prepare(recipe, tmp_path / "out")
    rows = pairs_of(data.train)
    mixture = data.mixture(recipe)
    assert mixture is not None
    assert sum(map(len, mixture.ranges)) == len(rows)
    texts = [{text for pair in corpus for text in pair[0].lower().split()} for corpus in corpora]
    for one, corpus, known in zip(mixture.ranges, corpora, texts, strict=True):
        there = rows[one.start : one.stop]
        assert [pair for pair in there if pair in set(corpus)] == corpus
        assert len(there) > len(corpus)
        assert {word for source, _ in there for word in source.lower().split()} <= known
    report = data.report.splits[0]
    assert report.corpora[1].added[0].asked == 64
    for kind, total in zip(("upper", "words"), report.added, strict=True):
        parts = [one for corpus in report.corpora for one in corpus.added if one.kind == kind]
        assert total == Added(kind, sum(p.pairs for p in parts), sum(p.asked for p in parts))


def test_words_are_added_up_to_their_share(make: Make, tmp_path: Path) -> None:
    corpus = sentences(400)
    few = prepare(make(corpus, words=0.01), tmp_path / "few")
    many = prepare(make(corpus, words=0.5), tmp_path / "many")
    words = [{new for _, new in split_up(data, corpus)} for data in (few, many)]
    assert len(words[0]) == 4
    assert words[0] < words[1]
    nouns = {"kato", "hundo", "domo", "arbo", "strato"}
    assert words[1] >= {(noun, noun.upper()) for noun in nouns}
    two = {" ".join(pair) for pair in permutations(nouns, 2)}
    assert len(words[1] & {(pair, pair.upper()) for pair in two}) > 12  # of 20; some lines mislead
    for old, new in split_up(many, corpus):
        assert all(text in line for text, line in zip(new, old, strict=True))
        assert len(new[0].split()) <= 2
    (found,) = many.report.splits[0].added
    assert (found.kind, found.pairs, found.asked) == ("words", len(words[1]), 200)
    assert "train │ words │" in shown(many.report)


def test_a_tokenizer_that_is_given_and_sentences_that_are_counted(
    make: Make, tmp_path: Path
) -> None:
    """The way of one pass over the text is left where pairs are added; their lines do not count."""
    corpus = [(f"{a} Jes. {a}", f"{b} Ja. {b}") for a, b in sentences(300)]
    recipe = make(corpus, words=0.5, no_stop=0.5)
    lines = [text for pair in corpus for text in pair]
    model = tmp_path / "given.model"
    made = train_tokenizers(recipe.tokenizer, lines, lines)
    model.write_bytes(next(iter(made.files.values())))
    recipe = recipe.model_copy(
        update={"tokenizer": recipe.tokenizer.model_copy(update={"model": str(model)})}
    )
    data = prepare(recipe, tmp_path / "out")
    assert len(data.train) > 300
    plain = recipe.model_copy(update={"text": make(corpus).text})
    assert (
        data.report.splits[0].sentences == prepare(plain, tmp_path / "b").report.splits[0].sentences
    )


def test_a_kind_that_adds_nothing_is_told(make: Make, tmp_path: Path) -> None:
    corpus = [(f"我喜歡狗{chr(0x4E00 + n)}", f"犬が好き{chr(0x4E00 + n)}") for n in range(200)]
    data = prepare(make(corpus, words=0.5, no_stop=0.5, title=0.5), tmp_path / "out")
    assert [one for one in data.report.warnings() if "augment" in one] == [
        f"text.augment.{kind} added no pairs: nothing in the training pairs allows it (words: "
        "words that are repeated, with spaces between them)"
        for kind in ("title", "no_stop", "words")
    ]


def shown(report: PrepareReport) -> str:
    from rich.console import Console

    console = Console(width=100, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
    with console.file:
        console.print(report_table(report))
        return " ".join(console.export_text().split())


@pytest.mark.parametrize(
    ("text", "without"),
    [
        ("A dog.", "A dog"), ("A dog. ", "A dog"), ("犬。", "犬"), ("कुत्ता।", "कुत्ता"),
        ("Wait...", "Wait..."), ("Wait…", "Wait…"), ("Really?", "Really?"), ("", ""), (".", ""),
        ("No. 5", "No. 5"), ('He said "go."', 'He said "go."'),
    ],
)  # fmt: skip
def test_a_full_stop_is_taken_off(text: str, without: str) -> None:
    assert without_stop(text) == without


@pytest.mark.parametrize(
    ("text", "headline"),
    [
        ("a dog isn't NASA's", "A Dog Isn't NASA's"), ("über 3 straßen", "Über 3 Straßen"),
        ("ßa éa x2y", "ẞa Éa X2Y"), ("犬 が", "犬 が"), ("", ""),
    ],
)  # fmt: skip
def test_a_headline(text: str, headline: str) -> None:
    assert title(text) == headline


def is_typo(word: str, typed: str) -> str | None:
    """Which error makes one word of another."""
    for n in range(len(word)):
        if typed == word[:n] + word[n + 1 :]:
            return "dropped"
        if typed == word[:n] + word[n] + word[n:]:
            return "doubled"
        if n and typed == word[: n - 1] + word[n] + word[n - 1] + word[n + 1 :]:
            return "swapped"
    if sum(a != b for a, b in zip(word, typed, strict=False)) == 1 and len(word) == len(typed):
        return "neighbour"
    return None


@pytest.mark.parametrize("text", ["See the 4th Kitten's gate22 door", "ΚΑΛΗΜΈΡΑ the", "aaaa"])
def test_a_typing_error_is_one_error_in_one_long_word(text: str) -> None:
    found = Counter[str]()
    places = set[int]()
    for number in range(400):
        typed = with_typo(text, number)
        assert with_typo(text, number) == typed
        changed = [
            (n, one, two)
            for n, (one, two) in enumerate(zip(text.split(), typed.split(), strict=True))
            if one != two
        ]
        ((place, one, two),) = changed
        assert sum(map(str.isalpha, one)) >= 4
        places.add(place)
        kind = is_typo(one, two)
        assert kind is not None
        if kind == "neighbour":
            at = next(n for n in range(len(one)) if one[n] != two[n])
            assert one[at].isupper() == two[at].isupper()
        found[kind] += 1
    latin = text.isascii()
    expected = {"dropped", "doubled"} | ({"neighbour"} if latin else set())
    assert found.keys() == expected | ({"swapped"} if text != "aaaa" else set())
    assert len(places) == (3 if "Kitten" in text else 1)


def test_a_text_without_long_words_has_no_typing_error() -> None:
    for text in ("", "a cat on 12345 abc1def", "犬が好き。"[:3]):
        assert with_typo(text, 3) == text
