from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.models import random_tensor, randomize
from support.toys import Series, SquaredLoss, Toy
from torch import nn

from seq2seq.errors import Seq2SeqError
from seq2seq.ids import EOS
from seq2seq.inspection import opening
from seq2seq.inspection.gradients import state_gradients
from seq2seq.inspection.opening import (
    Pair,
    batch_of,
    labels_of,
    open_recipe,
    open_run,
    random_batch,
    read_pairs,
)
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import load_recipe, recipe_to_toml

SETTINGS = [
    f"model.{side}.{key}"
    for side in ("encoder", "decoder")
    for key in ("hidden=8", "embedding=6", "dropout=0.3")
]


def test_the_model_of_a_recipe_is_that_of_its_seed() -> None:
    random = torch.random.get_rng_state()
    made = [
        open_recipe("x", load_recipe("quickstart", [*SETTINGS, f"seed={seed}"]))
        for seed in (1, 1, 2)
    ]
    first, again, other = (one.model.state_dict() for one in made)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(torch.equal(one, again[name]) for name, one in first.items())
    assert not torch.equal(first["output.weight"], other["output.weight"])
    assert {one.dtype for one in first.values()} == {torch.float64}
    assert made[0].tokenizers is None


def test_random_lines_are_as_long_as_asked_for() -> None:
    settings = [*SETTINGS, "tokenizer.joint=false", "model.tie=none"]
    sizes = "tokenizer.vocab_size={source=50,target=60}"
    opened = open_recipe("x", load_recipe("quickstart", [*settings, sizes]))
    batch = random_batch(opened, 7, 5)
    assert batch.source_BS.shape == batch.labels_BT.shape == (5, 7)
    assert batch.targets == 35
    assert (batch.source_BS[:, -1] == EOS).all()
    assert batch.source_BS[:, :-1].min() > EOS
    assert batch.source_BS.max() < 50
    assert batch.labels_BT.max() < 60
    assert torch.equal(random_batch(opened, 7, 5).source_BS, batch.source_BS)
    usual = open_recipe("x", load_recipe("multi30k_en_de_lstm", SETTINGS))
    assert usual.model.output.out_features == 8000  # type: ignore[union-attr]


@pytest.mark.parametrize("decoder", [{}, {"reverse": True}])
def test_lines_are_read_with_their_translations_or_the_models_own(make, decoder) -> None:
    opened = make({}, decoder)
    given = read_pairs(opened, ["ein Hund", ""], ["zwei Kinder", "am Wasser"])
    tokenizer = opened.tokenizers.source
    assert given == [
        Pair(*tokenizer.encode(["ein Hund", "zwei Kinder"])),
        Pair([], tokenizer.encode(["am Wasser"])[0]),
    ]
    own = read_pairs(opened, ["ein Hund", "zwei Kinder spielen"])
    assert [one.source for one in own] == tokenizer.encode(["ein Hund", "zwei Kinder spielen"])
    batch = batch_of(opened, own)
    with torch.no_grad():
        logits = opened.model.output(opened.model(batch))
    logits[:, [0, 1, 2]] = -torch.inf  # a search never says these
    ends = [sum(len(one.target) + 1 for one in own[: n + 1]) - 1 for n in range(2)]
    wrong = logits.argmax(1) != batch.labels()
    assert not [place for place in wrong.nonzero().flatten().tolist() if place not in ends]


def test_the_decoder_of_a_model_that_writes_backwards_reads_the_last_piece_first(make) -> None:
    opened = make({}, {"reverse": True})
    (pair,) = read_pairs(opened, ["ein Hund"], ["zwei Kinder"])
    pieces = [one.replace("▁", "_") for one in opened.tokenizers.target.pieces(pair.target)]
    assert labels_of(opened, pair)[1] == ["<s>", *reversed(pieces)]
    assert batch_of(opened, [pair]).labels().tolist() == [*reversed(pair.target), EOS]


def test_a_recipe_reads_no_text() -> None:
    opened = open_recipe("quickstart", load_recipe("quickstart", SETTINGS))
    with pytest.raises(Seq2SeqError) as told:
        read_pairs(opened, ["ein Hund"])
    assert str(told.value) == (
        "quickstart: a recipe, which has no tokenizer, so that it cannot read a text: give the run "
        "of a translation model, or look at its gradients alone ('inspect gradients' without INPUT)"
    )


class ThreeRows:
    def __len__(self) -> int:
        return 3

    def ids(self, rows: Any) -> tuple[Any, Any]:
        return rows, rows


class Summing:
    """A task of numbers: the sum of some, which stand in float32."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe

    def build_model(self, tokenizers: Any) -> Toy:
        toy = Toy({"kind": "lstm"})
        randomize(toy)
        return toy

    def loss(self, model: Toy, **_: Any) -> nn.Module:
        return SquaredLoss(model)

    def prepare(self, folder: Path) -> Any:
        assert not folder.exists()
        assert folder.parent.is_dir()
        return SimpleNamespace(train=ThreeRows())

    def collate(self, rows: Any, _: Any) -> Series:
        x_BTE = random_tensor(len(rows), 9, 2, dtype=torch.float32)
        return Series(x_BTE, torch.full((len(rows),), 9), x_BTE.sum((1, 2))[:, None])


def test_a_problem_draws_its_own_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "task_for", Summing)
    recipe = load_recipe("quickstart", SETTINGS)
    opened = open_recipe("sums", recipe)
    assert not opened.translates
    batch = random_batch(opened, 5, 20)
    assert len(batch) == 3  # no more are there
    assert batch.x_BTE.dtype == batch.y_B1.dtype == torch.float64  # type: ignore[attr-defined]
    found = state_gradients(opened.task.loss(opened.model), opened.model, batch)
    assert [len(one.norms_T) for one in found] == [9, 9]

    weights = {name: one.float() for name, one in opened.model.state_dict().items()}
    save_file(weights, tmp_path / "weights.safetensors")
    (tmp_path / "recipe.toml").write_text(recipe_to_toml(recipe), encoding="utf-8")
    (tmp_path / "card.json").write_text("{}", encoding="utf-8")
    run = open_run(str(tmp_path))
    again = state_gradients(run.task.loss(run.model), run.model, batch)
    assert again[0].norms_T == pytest.approx(found[0].norms_T, rel=1e-5)
    assert run.tokenizers is None
    with pytest.raises(
        Seq2SeqError, match="reads its problem's sequences, and no text: leave out INPUT"
    ):
        read_pairs(run, ["ein Hund"])
