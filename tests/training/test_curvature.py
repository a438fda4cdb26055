"""Gauss-Newton products against dense matrices of torch.autograd.functional's Jacobians."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.models import (
    make_batch,
    model_options,
    random_cell,
    random_model,
    random_pairs,
    random_tensor,
    randomize,
)
from support.tiny import tiny_recipe
from torch import Tensor, nn
from torch.autograd.functional import hessian, jacobian
from torch.func import functional_call, jvp, vjp

from seq2seq.data.collate import Batch, collate
from seq2seq.data.preparing.prepare import prepare
from seq2seq.models.loss import Losses
from seq2seq.models.translation import TranslationModel
from seq2seq.nn.recording import recorded_outputs
from seq2seq.recipe.files import load_recipe
from seq2seq.training.curvature import linearized
from seq2seq.training.updater import Updater

PAIRS = [(3, 2), (1, 3), (4, 1)]


@contextmanager
def twice_differentiable_recurrences() -> Iterator[None]:
    """A context without oneDNN's and cuDNN's recurrent networks: they have no second derivatives.

    PyTorch's own are slower. (``torch.backends.mkldnn.flags`` warns where there is no Intel GPU.)
    """
    enabled: bool = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        with torch.backends.cudnn.flags(False):
            yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)


class Read(nn.Module):
    """Something to be computed with a model, as a module, for ``functional_call``."""

    def __init__(self, model: TranslationModel, what: Callable[[Any], Tensor]) -> None:
        super().__init__()
        self.model = model
        self.what = what

    def forward(self) -> Tensor:
        return self.what(self.model)


def dense_jacobian(model: TranslationModel, what: Callable[[Any], Tensor]) -> Tensor:
    """By all weights at once, (numbers, weights)."""
    module = Read(model, what)
    named = dict(module.named_parameters())

    def run(flat: Tensor) -> Tensor:
        pieces = flat.split([one.numel() for one in named.values()])
        shaped = zip(named, pieces, strict=True)
        weights = {name: piece.view_as(named[name]) for name, piece in shaped}
        result: Tensor = functional_call(module, weights, ())
        return result.flatten()

    with twice_differentiable_recurrences():
        found: Tensor = jacobian(run, torch.cat([one.detach().flatten() for one in named.values()]))
    return found


def times(
    model: TranslationModel, batch: Batch, structural: float, vector: Tensor, smoothing: float = 0.1
) -> Tensor:
    """The product under test, as one vector."""
    twin = Losses(model, smoothing, twice_differentiable=True)
    weights = list(model.parameters())
    pieces = vector.split([one.numel() for one in weights])
    direction = [piece.view_as(one) for piece, one in zip(pieces, weights, strict=True)]
    total = [torch.zeros_like(one) for one in weights]
    ready = linearized(twin, weights, batch, structural)
    ready.add_product([torch.ones_like(one) for one in weights], [one.clone() for one in total])
    ready.add_product(direction, total)  # a second product finds the graphs as the first did
    return torch.cat([one.flatten() for one in total])


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "sru", "minlstm"])
@pytest.mark.parametrize(
    ("encoder", "decoder", "more"),
    [
        ({"directions": "forward"}, {}, {}),
        ({"layers": 2}, {"attention": "general", "layers": 2, "feeding": "upper"}, {"tie": "none"}),
        ({}, {"attention": "additive", "feeding": "input"}, {"bridge": "linear"}),
    ],
    ids=["plain", "upper", "input"],
)
def test_products_are_those_of_the_dense_matrix(
    cell: str, encoder: dict[str, Any], decoder: dict[str, Any], more: dict[str, Any]
) -> None:
    """J' H J with J and H each by torch.autograd.functional, in float64."""
    options = model_options({"cell": cell, **encoder}, {"cell": cell, **decoder}, **more)
    model = random_model(options).train()
    batch = make_batch(random_pairs(PAIRS))
    twin = Losses(model, 0.1, twice_differentiable=True)
    outputs = twin.outputs(batch).detach()
    jacobian_KW = dense_jacobian(model, lambda it: it.output(it(batch)))
    curvature = hessian(lambda z: twin.sums(z, batch)[0], outputs)
    curvature_KK = curvature.reshape(outputs.numel(), outputs.numel())
    vector = random_tensor(jacobian_KW.shape[1], seed=4)
    expected = jacobian_KW.t() @ (curvature_KK @ (jacobian_KW @ vector))
    torch.testing.assert_close(times(model, batch, 0.0, vector), expected, rtol=1e-9, atol=1e-11)


def test_of_a_linear_network_it_is_the_hessian() -> None:
    """With the layer below fixed, logits are linear in the output layer's weights and bias."""
    model = random_model(model_options({}, {}, tie="none")).train()
    batch = make_batch(random_pairs(PAIRS))
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    weights = [*model.output.requires_grad_().parameters()]
    readouts, labels = model(batch).detach(), batch.labels()

    def loss(weight: Tensor, bias: Tensor) -> Tensor:
        logits = torch.nn.functional.linear(readouts, weight, bias)
        return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")

    blocks = hessian(loss, tuple(weights))
    direction = [random_tensor(*one.shape, seed=k) for k, one in enumerate(weights)]
    total = [torch.zeros_like(one) for one in weights]
    twin = Losses(model, 0.0, twice_differentiable=True)
    linearized(twin, weights, batch, 0.0).add_product(direction, total)
    for row, found in zip(blocks, total, strict=True):
        shares = [
            torch.tensordot(block, along, dims=along.dim())
            for block, along in zip(row, direction, strict=True)
        ]
        torch.testing.assert_close(found, shares[0] + shares[1])


def states_of(model: TranslationModel, batch: Batch) -> Tensor:
    """All states at real steps, encoder's and decoder's, of a model of one layer each."""
    state, memory = model.start(batch.source_BS, batch.source_lengths_B)
    encoded = memory.outputs_BSD[memory.mask_BS]
    inputs = model.decoder.embedding(batch.inputs_BT)
    decoded, _ = model.decoder.stack(inputs, None, state.layers)
    return torch.cat([encoded.flatten(), decoded.flatten(0, 1)[batch.where_M].flatten()])


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "sru", "minlstm"])
@pytest.mark.parametrize("attention", ["none", "general"])
def test_structural_damping_is_the_curvature_of_the_states_distance(
    cell: str, attention: str
) -> None:
    """Of half its square, whose Hessian where it is zero is S' S; padding has no part in it."""
    options = model_options({"cell": cell}, {"cell": cell, "attention": attention})
    model = random_model(options).train()
    batch = make_batch(random_pairs(PAIRS))
    jacobian_KW = dense_jacobian(model, lambda it: states_of(it, batch))
    vector = random_tensor(jacobian_KW.shape[1], seed=4)
    expected = 0.3 * jacobian_KW.t() @ (jacobian_KW @ vector)
    found = times(model, batch, 0.3, vector) - times(model, batch, 0.0, vector)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "sru", "minlstm"])
def test_states_that_are_fed_step_by_step_are_damped_too(cell: str) -> None:
    """With input feeding, against the sum over what the decoder's steps give."""
    options = model_options({"cell": cell}, {"cell": cell, "attention": "dot", "feeding": "input"})
    model = random_model(options).train()
    batch = make_batch(random_pairs(PAIRS))

    def states(it: TranslationModel) -> Tensor:
        state, memory = it.start(batch.source_BS, batch.source_lengths_B)
        decoded = []
        for t in range(batch.inputs_BT.shape[1]):
            _, state, _ = it.decoder.step(batch.inputs_BT[:, t], state, memory)
            decoded.append(state.layers[0][0])
        real = torch.stack(decoded, 1).flatten(0, 1)[batch.where_M]
        return torch.cat([memory.outputs_BSD[memory.mask_BS].flatten(), real.flatten()])

    jacobian_KW = dense_jacobian(model, states)
    vector = random_tensor(jacobian_KW.shape[1], seed=4)
    expected = 2.0 * jacobian_KW.t() @ (jacobian_KW @ vector)
    found = times(model, batch, 2.0, vector) - times(model, batch, 0.0, vector)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_a_batch_without_targets_has_no_curvature() -> None:
    """What a process gets that has run out of pairs."""
    model = random_model(model_options({}, {})).train()
    batch = make_batch(random_pairs(PAIRS)).without_targets()
    count = sum(one.numel() for one in model.parameters())
    assert not times(model, batch, 1.0, torch.ones(count, dtype=torch.float64)).any()


def test_cells_are_as_before_after_a_recording() -> None:
    model = random_model(model_options({"layers": 2}, {"attention": "dot", "feeding": "input"}))
    batch = make_batch(random_pairs(PAIRS))
    with recorded_outputs(model) as record:
        readouts = model(batch)
    assert [tuple(one.outputs_BTH.shape) for one in record] == [(3, 5, 2)] * 4 + [(3, 1, 4)] * 4
    assert torch.equal(model(batch), readouts)
    assert len(record) == 8


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_an_objective_s_products_are_over_its_batches_and_dropout(
    cell: str, tmp_path: Path
) -> None:
    """u' G v = (J u)' H J v, J by central differences of the logits, H of the softmax by hand."""
    path = str(tmp_path / "tiny.toml")
    prepared = prepare(tiny_recipe(tmp_path), tmp_path / "prepared", processes=1)
    settings = [
        "training.label_smoothing=0.0",
        f"model.encoder.cell={cell}",
        f"model.decoder.cell={cell}",
        "model.encoder.word_dropout=0.1",
        "model.decoder.attention=general",
    ]
    updater = Updater(load_recipe(path, settings), prepared.tokenizers)
    updater.model.double()
    batches = [collate(*prepared.train.ids(part)) for part in (np.arange(7), np.arange(7, 20))]
    objective = updater.objective(batches, 3)
    objective.gradient()
    before = [one.grad for one in objective.parameters]
    twin: Any = updater.task.loss(updater.model, twice_differentiable=True)

    def logits() -> Tensor:
        torch.manual_seed(3)
        with torch.no_grad():
            return torch.cat([twin.outputs(batch) for batch in batches])

    def change(direction: list[Tensor]) -> Tensor:
        ends = []
        for moved in (1e-5, -1e-5):
            with objective.trial():
                with torch.no_grad():
                    torch._foreach_add_(objective.parameters, [moved * one for one in direction])
                ends.append(logits())
        return (ends[0] - ends[1]) / 2e-5

    u, v = (
        [random_tensor(*one.shape, seed=9 * k + part) for k, one in enumerate(objective.parameters)]
        for part in (0, 1)
    )
    shares = torch.softmax(logits(), -1)
    ju, jv = change(u), change(v)
    curved = shares * jv - shares * (shares * jv).sum(-1, keepdim=True)
    expected = float((ju * curved).sum()) / sum(batch.targets for batch in batches)
    product = objective.gauss_newton()(v)
    found = sum(float((one * other).sum()) for one, other in zip(u, product, strict=True))
    assert found == pytest.approx(expected, rel=1e-6)
    assert all(one.grad is old for one, old in zip(objective.parameters, before, strict=True))
    some = objective.gauss_newton(0.5, batches=1)(v)
    alone = updater.objective(batches[:1], 3).gauss_newton(0.5)(v)
    torch.testing.assert_close(some, alone, rtol=1e-12, atol=1e-14)


class Reader(nn.Module):
    """A cell over one-hot inputs, and a readout of its last state, in plain loops."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.cell = random_cell({"kind": kind})
        self.readout = nn.Linear(4, 5).double()
        randomize(self.readout)

    def forward(self, x_BTE: Tensor) -> Tensor:
        state = self.cell.initial_state(len(x_BTE), x_BTE)
        projected_BTG = self.cell.project(x_BTE)
        for t in range(x_BTE.shape[1]):
            state = self.cell.step(projected_BTG[:, t], state)
        found: Tensor = self.readout(state[0])
        return found


class ReaderLosses(nn.Module):
    """The interface of a task's twice differentiable loss, over the cell's ``sequence``."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self.reader = reader

    def outputs(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        start = self.reader.cell.initial_state(len(batch[0]), batch[0])
        outputs_BTH, _ = self.reader.cell.sequence(batch[0], start)
        found: Tensor = self.reader.readout(outputs_BTH[:, -1])
        return found

    def sums(self, outputs: Tensor, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        loss = nn.functional.cross_entropy(outputs, batch[1], reduction="sum")
        return loss, loss.detach()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")  # torch's own call
@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
@pytest.mark.parametrize("reference", ["torch.func", "curvlinops"])
def test_of_another_task_products_are_those_of_others(kind: str, reference: str) -> None:
    """Forward derivatives of steps in a loop, by torch.func; and curvlinops, where it is there."""
    reader = Reader(kind)
    named = dict(reader.named_parameters())
    batch: Any = random_tensor(6, 7, 3), torch.tensor([0, 1, 4, 2, 2, 3])
    vectors = {name: random_tensor(*one.shape, seed=8) for name, one in named.items()}
    total = [torch.zeros_like(one) for one in named.values()]
    ready = linearized(ReaderLosses(reader), [*named.values()], batch, 0.0)
    ready.add_product([*vectors.values()], total)
    found = torch.cat([one.flatten() for one in total])

    def run(weights: dict[str, Tensor]) -> Tensor:
        return functional_call(reader, weights, (batch[0],))

    if reference == "torch.func":
        fixed = {name: one.detach() for name, one in named.items()}
        outputs, along = jvp(run, (fixed,), (vectors,))
        shares = torch.softmax(outputs, -1)
        curved = shares * along - shares * (shares * along).sum(-1, keepdim=True)
        (expected,) = vjp(run, fixed)[1](curved)
        flat = torch.cat([expected[name].flatten() for name in named])
    else:
        curvlinops = pytest.importorskip("curvlinops")
        judge = nn.CrossEntropyLoss(reduction="sum")
        matrix = curvlinops.GGNLinearOperator(reader, judge, [*named.values()], [batch])
        flat = matrix @ torch.cat([one.flatten() for one in vectors.values()])
    torch.testing.assert_close(found, flat, rtol=1e-9, atol=1e-11)
