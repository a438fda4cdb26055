"""The model of a problem: against torch's own modules; its windows against an explicit detach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from seq2seq.data.problems import problem_of
from seq2seq.data.problems.batch import ProblemBatch
from seq2seq.models.problem import ProblemLosses, ProblemModel
from seq2seq.recipe import Data, Model
from seq2seq.recipe.model import Cell, Encoder


def batch_of(name: Any, length: int, count: int = 5, **keys: Any) -> ProblemBatch:
    problem = problem_of(Data(kind="problem", problem=name, length=length, **keys))
    return ProblemBatch.of(problem.draw(1, np.arange(count)))


def model_for(
    batch: ProblemBatch, outputs: int, *, cell: str = "rnn", window: int | None = None, **keys: Any
) -> ProblemModel:
    torch.manual_seed(3)
    reads = keys.pop("reads_inputs", False)
    encoder = Encoder(**{"hidden": 6, "dropout": 0.0, "directions": "forward", **keys})
    options = Model(encoder=encoder.model_copy(update={"cell": Cell(kind=cell)}))
    return ProblemModel(
        options, batch.inputs_BTE.shape[2], outputs, reads_inputs=reads, window=window
    )


def test_it_is_torchs_rnn_and_a_linear_layer() -> None:
    batch = batch_of("narma10", 30, washout=12)
    model = model_for(batch, 1)
    (cell,) = model.encoder.first()
    twin = nn.RNN(1, 6, batch_first=True)
    twin.load_state_dict({f"{name}_l0": value for name, value in cell.state_dict().items()})
    states, _ = twin(batch.inputs_BTE)
    expected = model.output(states[:, 12:]).flatten(0, 1)
    assert torch.allclose(model(batch), expected, atol=1e-6)
    loss, shown = ProblemLosses(model, numbers=True)(batch)
    wanted = functional.mse_loss(expected, batch.targets_BC.flatten(0, 1), reduction="sum")
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert shown.item() == loss.item()
    assert not shown.requires_grad


def test_classes_have_a_cross_entropy() -> None:
    batch = batch_of("copy", 4)
    losses = ProblemLosses(model_for(batch, 9), numbers=False)
    logits = losses.outputs(batch)
    assert logits.shape == (batch.targets, 9) == (5 * 24, 9)
    wanted = -logits.log_softmax(-1)[torch.arange(len(logits)), batch.labels()].sum()
    assert losses.sums(logits, batch)[0].item() == pytest.approx(wanted.item(), rel=1e-5)
    assert losses(batch)[0].item() == losses.sums(logits, batch)[0].item()


def test_the_mean_is_over_outputs() -> None:
    batch = batch_of("memory", 30, washout=20)
    losses = ProblemLosses(model_for(batch, 100), numbers=True)
    wanted = (losses.outputs(batch) - batch.labels()).square().sum() / 100
    assert losses(batch)[0].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_the_output_layer_may_read_the_inputs() -> None:
    batch = batch_of("narma10", 30, washout=12)
    model = model_for(batch, 1, reads_inputs=True)
    features = model.features(batch)
    assert features.shape == (5 * 18, 7)
    assert torch.equal(features[:, 6], batch.inputs_BTE[:, 12:, 0].flatten())


def test_both_directions_see_the_whole_sequence() -> None:
    batch = batch_of("adding", 20)
    model = model_for(batch, 1, directions="both")
    moved = ProblemBatch(batch.inputs_BTE.clone(), batch.targets_BC)
    moved.inputs_BTE[:, 0, 0] += 1.0
    assert not torch.equal(model(moved), model(batch))


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_a_window_is_an_explicit_detach(cell: str, layers: int) -> None:
    batch = batch_of("narma10", 30, washout=5)
    cut = model_for(batch, 1, cell=cell, layers=layers, window=7)
    whole = model_for(batch, 1, cell=cell, layers=layers)
    kind: Any = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}[cell]
    twin = kind(1, 6, num_layers=layers, batch_first=True)
    for layer in range(layers):
        values = cut.encoder.layers[layer][0].state_dict()  # type: ignore[index]
        for name, value in values.items():
            twin.get_parameter(f"{name}_l{layer}").data.copy_(value)
    outputs, state = [], None
    for begin in range(0, 30, 7):
        found, state = twin(batch.inputs_BTE[:, begin : begin + 7], state)
        detached = state.detach() if cell != "lstm" else tuple(one.detach() for one in state)
        outputs.append(found)
        state = detached
    readout = functional.linear(torch.cat(outputs, 1)[:, 5:], *cut.output.parameters())
    (readout - batch.targets_BC).square().sum().backward()
    assert torch.allclose(cut(batch), whole(batch), atol=1e-6), "only gradients are cut"
    for model in (cut, whole):
        ProblemLosses(model, numbers=True)(batch)[0].backward()
    ours = cut.encoder.layers[0][0].weight_hh.grad  # type: ignore[index, union-attr]
    uncut = whole.encoder.layers[0][0].weight_hh.grad  # type: ignore[index, union-attr]
    assert torch.allclose(ours, twin.weight_hh_l0.grad, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(ours, uncut, rtol=1e-2)


def test_halves_and_batches_without_targets_add_up() -> None:
    batch = batch_of("adding", 20)
    losses = ProblemLosses(model_for(batch, 1), numbers=True)
    first, second = batch.halves()
    assert (len(first), len(second)) == (2, 3)
    parts = losses(first)[0] + losses(second)[0]
    assert parts.item() == pytest.approx(losses(batch)[0].item(), rel=1e-5)
    none = batch.without_targets()
    assert none.targets == 0
    loss, _ = losses(none)
    loss.backward()
    assert loss.item() == 0.0
    assert all((one.grad == 0).all() for one in losses.parameters() if one.grad is not None)
