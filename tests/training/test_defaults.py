"""What is chosen where a recipe leaves it out, and what stays as it is said."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from support.tiny import write_corpus
from support.told import Told

from seq2seq.data.batching import Place
from seq2seq.data.dataset import PreparedData
from seq2seq.data.preparing.prepare import prepare
from seq2seq.recipe import Recipe
from seq2seq.recipe.base import left_out
from seq2seq.recipe.files import load_recipe, recipe_from_toml, recipe_to_toml
from seq2seq.tasks import task_for
from seq2seq.training.batches.prepared import PreparedBatches
from seq2seq.training.defaults import CHOICES, kept, with_length, with_sizes
from seq2seq.training.monitoring import Silent
from seq2seq.training.run import differing_keys
from seq2seq.training.session import train


def read(*lines: str) -> Recipe:
    return recipe_from_toml("\n".join(lines), "r.toml")


@pytest.mark.parametrize("kind", ["cosine", "inverse_sqrt"])
@pytest.mark.parametrize("updates", [3, 30, 122, 1999, 10**6])
def test_a_warm_up_left_out_is_at_most_a_tenth(kind: str, updates: int) -> None:
    schedule = f"training.schedule = '{kind}'"
    usual = {"cosine": 200, "inverse_sqrt": 1000}[kind]
    for length, per_epoch in (
        (f"training.updates = {updates}", 7),
        (f"training.epochs = {updates}", 1),
        ("training.epochs = 1", updates),
        (f"training.epochs = 9\ntraining.updates = {updates}", updates),
    ):
        warmup = with_length(read(schedule, length), 100, per_epoch).training.schedule.warmup
        assert warmup == max(1, min(usual, updates // 10))
    streamed = with_length(read(schedule, f"training.updates = {updates}"), math.inf, None)
    assert streamed.training.schedule.warmup == max(1, min(usual, updates // 10))


@pytest.mark.parametrize("warmup", [0, 1, 200, 4000])
def test_a_warm_up_that_is_given_stays(warmup: int) -> None:
    for text in (
        f"schedule = {{kind = 'cosine', warmup = {warmup}}}",
        f"schedule = {{kind = 'constant', warmup = {warmup}}}",
    ):
        recipe = read("[training]", "epochs = 3", text)
        assert with_length(recipe, 100, 5).training.schedule.warmup == warmup


GIVEN = {
    "model.encoder.hidden": 34, "model.encoder.embedding": 35, "model.encoder.dropout": 0.15,
    "model.decoder.hidden": 36, "model.decoder.embedding": 37, "model.decoder.dropout": 0.25,
    "training.epochs": 4, "training.batch_tokens": 777, "training.learning_rate": 0.123,
    "training.keep_checkpoints": 9, "training.validation.every": 11,
}  # fmt: skip


def value_of(recipe: Any, key: str) -> Any:
    for name in key.split("."):
        recipe = getattr(recipe, name)
    return recipe


def chosen(recipe: Recipe, pairs: float = 1000, per_epoch: int = 40) -> Recipe:
    return with_length(with_sizes(recipe, pairs), pairs, per_epoch)


@pytest.mark.parametrize("left_out", GIVEN)
def test_only_what_is_left_out_is_chosen(left_out: str) -> None:
    lines = [f"{key} = {value}" for key, value in GIVEN.items() if key != left_out]
    recipe = chosen(read(*lines, f"{left_out} = 'auto'"))
    assert recipe == chosen(read(*lines))
    for key, value in GIVEN.items():
        assert (value_of(recipe, key) == value) is (key != left_out), key


def test_a_chosen_recipe_is_written_in_values() -> None:
    recipe = chosen(read())
    left = re.findall(r'^(\w+) = "auto"$', recipe_to_toml(recipe), flags=re.MULTILINE)
    # The tokenizer's are chosen by the text, when it is prepared; BLEU's by the references.
    assert left == ["vocab_size", "normalization", "bridge", "precision", "tokenize"]
    assert recipe_from_toml(recipe_to_toml(recipe), "r") == recipe
    again = recipe_from_toml(recipe_to_toml(recipe), "r")
    assert chosen(again, pairs=10**7, per_epoch=3) == recipe


@pytest.mark.parametrize("pairs", [1, 100, 300, 301, 3000, 29_000, 10**6, 10**6 + 1, math.inf])
def test_there_are_values_for_any_amount(pairs: float) -> None:
    recipe = with_sizes(read(), pairs)
    assert recipe.model.encoder.hidden % 2 == 0  # a half in each direction
    assert recipe == read(recipe_to_toml(recipe))
    more = with_sizes(read(), pairs * 10)
    assert more.model.encoder.hidden >= recipe.model.encoder.hidden
    assert more.model.encoder.dropout <= recipe.model.encoder.dropout


def test_sizes_that_must_be_equal_follow_the_one_that_is_given() -> None:
    tied = with_sizes(read("model = {tie = 'all', encoder = {embedding = 30}}"), 100)
    assert (tied.model.encoder.embedding, tied.model.decoder.embedding) == (30, 30)
    tied = with_sizes(read("model = {tie = 'all', decoder = {embedding = 31}}"), 100)
    assert (tied.model.encoder.embedding, tied.model.decoder.embedding) == (31, 31)
    dot = with_sizes(read("model.decoder = {attention = 'dot', hidden = 50}"), 100)
    assert (dot.model.encoder.hidden, dot.model.decoder.hidden) == (50, 50)


def test_who_gives_updates_alone_asks_for_no_epochs() -> None:
    training = chosen(read("training.updates = 5000")).training
    assert (training.epochs, training.updates, training.validation.every) == (None, 5000, None)


@pytest.mark.parametrize("pairs", [100, 1000, 3000, 10_000, 29_000])
def test_a_length_that_is_left_out_suffices(pairs: int) -> None:
    per_epoch = math.ceil(pairs * 15 / with_sizes(read(), pairs).training.batch_tokens)
    training = chosen(read(), pairs, per_epoch).training
    assert training.epochs is not None
    assert training.validation.every is not None
    assert training.epochs * per_epoch >= 1000
    assert 8 <= training.epochs * per_epoch / training.validation.every <= 12


# -- in runs --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A recipe that leaves the choice open, and its prepared data."""
    folder = tmp_path_factory.mktemp("defaults")
    for split, count in (("train", 300), ("val", 4)):
        write_corpus(folder, split, count)  # type: ignore[arg-type]
    path = folder / "open.toml"
    path.write_text(
        '[data]\ntrain = ["train.en", "train.de"]\nval = ["val.en", "val.de"]\n'
        "[tokenizer]\nvocab_size = 150\n[training]\nupdates = 2\n",
        encoding="utf-8",
    )
    prepare(load_recipe(str(path)), folder / "prepared", processes=1)
    return path, folder / "prepared"


@pytest.mark.parametrize("sampling", ["none", "{alpha = 0.3}"])
@pytest.mark.parametrize("accumulate", [1, 3])
def test_the_updates_of_an_epoch_are_counted(
    corpus: tuple[Path, Path], sampling: str, accumulate: int
) -> None:
    sets = [f"tokenizer.sampling={sampling}", f"training.accumulate={accumulate}"]
    recipe = load_recipe(str(corpus[0]), [*sets, "training.batch_tokens=200"])
    batches = PreparedBatches(PreparedData.open(corpus[1]), recipe, task_for(recipe).collate)
    count = 0
    updates = batches.updates(Place())
    for update in updates:
        if update.place.epoch:
            break
        count += 1
    updates.close()
    assert batches.per_epoch() == count + 1


def test_a_run_stores_what_was_chosen_and_goes_on_with_it(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    recipe = load_recipe(str(corpus[0]))
    train(recipe, tmp_path / "r", data=corpus[1], threads=1, monitor=Silent())
    stored = load_recipe(str(tmp_path / "r/recipe.toml"))
    assert stored.model.encoder.hidden == CHOICES[0].hidden
    assert stored.training.schedule.warmup == 1
    longer = load_recipe(str(corpus[0]), ["training.updates=4"])
    result = train(longer, tmp_path / "r", data=corpus[1], threads=1, monitor=Silent())
    assert result.updates == 4
    again = load_recipe(str(tmp_path / "r/recipe.toml"))
    assert again.model == stored.model
    assert again.training.schedule == stored.training.schedule


def test_a_run_of_older_defaults_goes_on_with_them(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    """Versions before 0.5 had the same values whatever the amount of data, and stored them."""
    old = [
        "model.encoder={embedding=16, hidden=24, dropout=0.2}",
        "model.decoder={embedding=16, hidden=24, dropout=0.2}",
        "training.learning_rate=1e-3", "training.batch_tokens=2048", "training.epochs=20",
        "training.schedule={kind='cosine', warmup=200}", "training.keep_checkpoints=3",
    ]  # fmt: skip
    explicit = load_recipe(str(corpus[0]), old)
    train(explicit, tmp_path / "r", data=corpus[1], threads=1, monitor=Silent())
    stored = (tmp_path / "r/recipe.toml").read_bytes()
    told = Told()
    again = load_recipe(str(corpus[0]))
    train(again, tmp_path / "r", data=corpus[1], threads=1, monitor=told)
    assert told.lines == ["this run has already finished: the recipe's end"]
    assert (tmp_path / "r/recipe.toml").read_bytes() == stored


def test_what_version_0_3_stored_is_kept_where_the_recipe_leaves_it_out() -> None:
    model = ["[model.encoder]", "hidden = 24", "[model.decoder]", "attention = 'none'"]
    tokenizer = ["[tokenizer]", "vocab_size = 8000", "normalization = 'nmt_nfkc'"]
    stored = read("name = 'then'", *tokenizer, *model)
    assert differing_keys(stored, kept(read("name = 'now'"), stored)) == {}
    other = read("[tokenizer]", "vocab_size = 9", "[model.decoder]", "attention = 'dot'")
    assert differing_keys(stored, kept(other, stored)) == {
        "tokenizer.vocab_size": (8000, 9),
        "model.decoder.attention": ("none", "dot"),
    }


def test_what_a_run_left_to_prepare_is_no_value_of_its() -> None:
    stored = chosen(read())
    assert kept(read(), stored).tokenizer == stored.tokenizer
    assert left_out(kept(read(), stored).tokenizer) == {"vocab_size", "normalization"}


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ("", (9, None)),
        ("updates = 500", (None, 500)),
        ("updates = 500\nepochs = 2", (2, 500)),
        ("epochs = 2", (2, None)),
    ],
)
def test_other_updates_set_the_length_of_a_run_that_goes_on(
    given: str, length: tuple[int | None, int | None]
) -> None:
    stored = read("[training]", "epochs = 9")
    found = kept(read("[training]", given), stored).training
    assert (found.epochs, found.updates) == length


def test_a_run_of_both_lengths_keeps_both() -> None:
    stored = read("[training]", "epochs = 20", "updates = 500")  # as version 0.3 stored them
    found = kept(read("[training]", "updates = 500"), stored).training
    assert (found.epochs, found.updates) == (20, 500)
