"""Ridge regression against numpy's closed form, in one update, in many, and after a kill."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.published import weights_file
from support.told import Told

import seq2seq
from seq2seq.data.problems.dataset import problem_data
from seq2seq.recipe import Recipe
from seq2seq.recipe.files import recipe_from_toml
from seq2seq.tasks import task_for
from seq2seq.training.monitoring import Step
from seq2seq.training.optim.ridge import solved
from seq2seq.training.session import completed
from seq2seq.training.updater import Updater

NARMA = """
name = "narma"
[data]
kind = "problem"
problem = "narma10"
length = 260
washout = 60
train_size = 12
val_size = 3
[model.encoder]
cell = "rnn"
directions = "forward"
hidden = 20
[training]
method = { kind = "ridge", penalty = PENALTY, inputs = INPUTS }
batch_pairs = ROWS
"""


def recipe_of(penalty: float = 0.1, rows: int = 12, inputs: bool = True, more: str = "") -> Recipe:
    text = NARMA.replace("PENALTY", str(penalty)).replace("ROWS", str(rows))
    return recipe_from_toml(text.replace("INPUTS", str(inputs).lower()) + more, "r", stored=False)


def regression(seed: int = 0, features: int = 7, count: int = 40) -> tuple[Any, Any, Any, Any]:
    """Inputs with a 1 after them, targets, and their sums of products."""
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(count, features)), random.normal(size=(count, 3))
    ones = np.concatenate([x, np.ones((count, 1))], axis=1)
    return x, y, torch.from_numpy(ones.T @ ones), torch.from_numpy(ones.T @ y)


@pytest.mark.parametrize("penalty", [1e-3, 1.0, 100.0])
def test_it_is_the_closed_form(penalty: float) -> None:
    """With centred numbers the biases drop out: (X'X + p I)^-1 X'Y, then the means."""
    x, y, gram, cross = regression()
    found = solved(gram, cross, penalty).numpy()
    x_mean, y_mean = x.mean(0), y.mean(0)
    centred = x - x_mean
    weights = np.linalg.inv(centred.T @ centred + penalty * np.eye(7)) @ centred.T @ (y - y_mean)
    assert found[:-1] == pytest.approx(weights, rel=1e-9)
    assert found[-1] == pytest.approx(y_mean - x_mean @ weights, rel=1e-9)


def test_it_is_sklearns() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    x, y, gram, cross = regression()
    theirs = linear_model.Ridge(alpha=0.7).fit(x, y)
    found = solved(gram, cross, 0.7).numpy()
    weights = found[:-1].T
    assert weights == pytest.approx(theirs.coef_, rel=1e-7)
    assert found[-1] == pytest.approx(theirs.intercept_, rel=1e-7)


def test_without_a_penalty_it_is_least_squares() -> None:
    x, y, gram, cross = regression()
    ones = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    wanted = np.linalg.lstsq(ones, y, rcond=None)[0]
    assert solved(gram, cross, 0.0).numpy() == pytest.approx(wanted, rel=1e-7)


def test_of_too_few_numbers_the_weights_are_finite() -> None:
    _, _, gram, cross = regression(features=30, count=10)
    assert bool(torch.isfinite(solved(gram, cross, 0.0)).all())


def features_and_targets(recipe: Recipe, weights: Any) -> tuple[Any, Any]:
    """What the output layer reads of all training sequences, in float64, and should say."""
    task, data = task_for(recipe), problem_data(recipe, Path("none"))
    model: Any = task.build_model(data.tokenizers)
    model.load_state_dict(weights)
    batch: Any = task.collate(*data.train.ids(np.arange(12)))
    with torch.no_grad():
        return model.features(batch).double().numpy(), batch.labels().double().numpy()


@pytest.mark.parametrize("rows", [12, 5])
@pytest.mark.parametrize("inputs", [True, False])
def test_a_training_solves_for_the_output_layer(rows: int, inputs: bool, tmp_path: Path) -> None:
    """However the sequences are cut into batches: a cell's weights stay as they were drawn."""
    recipe, told = recipe_of(0.1, rows, inputs), Told()
    result = seq2seq.train(recipe, tmp_path / "run", threads=1, monitor=told)
    assert result.updates == -(-12 // rows)
    weights = load_file(weights_file(tmp_path / "run"))
    x, y = features_and_targets(recipe, weights)
    assert x.shape == (12 * 200, 20 + inputs)
    centred = x - x.mean(0)
    found = np.linalg.solve(
        centred.T @ centred + 0.1 * np.eye(x.shape[1]), centred.T @ (y - y.mean(0))
    )
    learned = weights["output.weight"].numpy().T
    assert learned == pytest.approx(found, rel=1e-4, abs=1e-5)
    bias = y.mean(0) - x.mean(0) @ found
    assert weights["output.bias"].numpy() == pytest.approx(bias, rel=1e-4, abs=1e-5)
    torch.manual_seed(recipe.seed)
    drawn = task_for(recipe).build_model(problem_data(recipe, Path("none")).tokenizers)
    for name, value in drawn.state_dict().items():
        assert name.startswith("output.") or torch.equal(value, weights[name])
    assert result.best is not None
    assert result.best["nmse"] < 0.6
    assert any("solved for by ridge regression, penalty 0.1" in line for line in told.lines)
    assert not told.about("warning")


class _Killed(Told):
    def step(self, step: Step) -> None:
        if step.update == 4:
            raise KeyboardInterrupt


def test_it_goes_on_bit_for_bit(tmp_path: Path) -> None:
    recipe = recipe_of(rows=2, more="checkpoint_every = 1\n")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    seq2seq.train(recipe, whole, threads=1, monitor=Told())
    with pytest.raises(KeyboardInterrupt):
        seq2seq.train(recipe, killed, threads=1, monitor=_Killed())
    told = Told()
    seq2seq.train(recipe, killed, threads=1, monitor=told)
    assert "resuming from update 3" in told.lines
    for name in ("last/model.safetensors", "last/optimizer.safetensors"):
        ours, theirs = load_file(whole / name), load_file(killed / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_several_batches_an_update_add_up(tmp_path: Path) -> None:
    found: Sequence[Any] = [
        load_file(weights_file(path))["output.weight"]
        for number, more in enumerate(["", "accumulate = 3\n"])
        for path in [tmp_path / str(number)]
        if seq2seq.train(recipe_of(rows=2, more=more), path, threads=1, monitor=Told())
    ]
    assert torch.allclose(found[0], found[1], rtol=1e-3, atol=1e-4)


def test_batches_that_are_halved_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those that were summed before another did not fit, and the evaluation began again."""
    recipe = completed_recipe(tmp_path)
    task = task_for(recipe)
    dataset = problem_data(recipe, tmp_path / "data").train
    batches = [task.collate(*dataset.ids(np.arange(n, n + 4))) for n in (0, 4)]
    updater = Updater(recipe, None)  # type: ignore[arg-type]
    expected = updater.objective(batches, 0).products()
    own, calls = updater.own_loss.products, []

    def short_of_memory(batch: Any) -> Any:
        calls.append(len(batch))
        if calls in ([4, 4], [4, 4, 4]):  # the second one does not fit, then the first neither
            raise MemoryError
        return own(batch)

    monkeypatch.setattr(updater.own_loss, "products", short_of_memory)
    objective = updater.objective(batches, 0)
    found = objective.products()
    assert calls == [4, 4, 4, 2, 2, 2, 2]
    assert objective.first is not None
    assert objective.first.halved == 2
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def completed_recipe(folder: Path) -> Recipe:
    recipe = recipe_of(rows=4)
    return completed(recipe, problem_data(recipe, folder / "data"), fine_tuned=False)
