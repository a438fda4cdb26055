"""How weights begin, against the properties that the papers ask for."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from support.models import cell_options, model_options, variant_name
from torch import nn

from seq2seq.models.translation import TranslationModel
from seq2seq.nn.cells import GatedCell, make_cell
from seq2seq.nn.cells.gru import GruCell
from seq2seq.nn.initialization import (
    glorot_,
    initialize_embedding,
    initialize_linear,
    recurrent_,
    scale_inputs_for_embeddings,
    scale_readout_for_logits,
)

KINDS = [{"kind": "lstm"}, {"kind": "gru"}, {"kind": "rnn"}]
every_kind = pytest.mark.parametrize("options", KINDS, ids=variant_name)
GATES = {"lstm": 4, "gru": 3, "rnn": 1}


def initialized(options: dict[str, Any], rule: str, size: int = 16) -> GatedCell:
    torch.manual_seed(3)
    cell = make_cell(cell_options(options), 7, size)
    assert isinstance(cell, GatedCell)
    with torch.no_grad():
        cell.reset_parameters(rule)
    return cell


@every_kind
def test_orthogonal_gates(options: dict[str, Any]) -> None:
    blocks = initialized(options, "orthogonal").weight_hh.detach().split(16)
    assert len(blocks) == GATES[options["kind"]]
    for block in blocks:
        torch.testing.assert_close(block @ block.t(), torch.eye(16), rtol=0, atol=1e-5)
    assert all(not torch.equal(blocks[0], other) for other in blocks[1:])


@every_kind
def test_identity_gates(options: dict[str, Any]) -> None:
    for block in initialized(options, "identity").weight_hh.detach().split(16):
        assert torch.equal(block, torch.eye(16))


@every_kind
def test_uniform_gates(options: dict[str, Any]) -> None:
    weight = initialized(options, "uniform", size=64).weight_hh.detach()
    assert weight.abs().max() <= 1 / 8
    assert weight.abs().max() > 0.99 / 8
    assert weight.std() == pytest.approx(1 / 8 / math.sqrt(3), rel=0.05)


def test_input_weights_of_a_simple_network_have_the_deviation_asked_for() -> None:
    cell = initialized({"kind": "rnn", "input_std": 0.01}, "orthogonal", size=300)
    weight = cell.weight_ih.detach()
    assert weight.std() == pytest.approx(0.01, rel=4 / math.sqrt(2 * weight.numel()))
    assert weight.abs().max() > 0.025  # normal, not uniform
    assert cell.bias_ih.abs().max() == 0.0


@every_kind
@pytest.mark.parametrize("size", [40, 6])
def test_sparse_gates(options: dict[str, Any], size: int) -> None:
    """Martens 2010: 15 connections into each unit (all, of fewer), from N(0, 1)."""
    weight = initialized(options, "sparse", size=size).weight_hh.detach()
    assert (weight != 0).sum(1).tolist() == [min(15, size)] * GATES[options["kind"]] * size
    drawn = weight[weight != 0]
    assert abs(drawn.mean()) < 4 / math.sqrt(len(drawn))
    assert drawn.std() == pytest.approx(1.0, abs=4 / math.sqrt(2 * len(drawn)))
    read = (weight != 0).sum(0)  # no unit is preferred: binomial
    assert abs(read - read.double().mean()).max() < 5 * math.sqrt(15 * GATES[options["kind"]])


@every_kind
def test_echo_gates(options: dict[str, Any]) -> None:
    """Sparse, with the spectral radius of Sutskever et al. 2013, as numpy finds it."""
    for block in initialized(options, "echo", size=40).weight_hh.detach().split(40):
        assert (block != 0).sum(1).tolist() == [15] * 40
        radius = abs(np.linalg.eigvals(block.double().numpy())).max()
        assert radius == pytest.approx(1.1, rel=1e-4)


def test_an_echo_of_one_unit() -> None:
    assert abs(initialized({"kind": "rnn"}, "echo", size=1).weight_hh.item()) == pytest.approx(1.1)


@every_kind
def test_input_weights_are_within_glorot_s_bound_of_each_gate(options: dict[str, Any]) -> None:
    bound = math.sqrt(6 / (7 + 16))
    for block in initialized(options, "orthogonal").weight_ih.detach().split(16):
        assert 0.9 * bound < block.abs().max() <= bound


@every_kind
def test_biases_are_zero_but_the_forget_gate_s(options: dict[str, Any]) -> None:
    cell = initialized(options, "orthogonal")
    total = (cell.bias_ih + cell.bias_hh).detach().split(16)
    for gate, block in enumerate(total):
        forget = options["kind"] == "lstm" and gate == 1
        assert torch.equal(block, torch.full((16,), float(forget)))


def test_the_forget_bias_is_the_recipe_s() -> None:
    cell = initialized({"kind": "lstm", "forget_bias": 2.5}, "orthogonal")
    assert (cell.bias_ih + cell.bias_hh).tolist() == [0.0] * 16 + [2.5] * 16 + [0.0] * 32


def test_an_untrained_lstm_remembers_by_its_forget_gate() -> None:
    """The slice really is the forget gate's: with a large bias, c stays what it was."""
    cell = initialized({"kind": "lstm", "forget_bias": 100.0}, "orthogonal")
    with torch.no_grad():
        cell.weight_ih.zero_()
        cell.weight_hh.zero_()
    memory = torch.randn(2, 16)
    _, (_, after) = cell.sequence(torch.randn(2, 9, 7), (torch.zeros(2, 16), memory))
    torch.testing.assert_close(after, memory)


def test_a_matrix_by_itself() -> None:
    weight = torch.empty(30, 10)
    glorot_(weight)
    assert weight.abs().max() <= math.sqrt(6 / 40)
    assert weight.var() == pytest.approx(2 / 40, rel=0.1)
    glorot_(weight, gates=3)
    assert weight.abs().max() > math.sqrt(6 / 40)
    assert weight.abs().max() <= math.sqrt(6 / 20)
    recurrent_(weight, "identity", 3)
    assert torch.equal(weight, torch.eye(10).repeat(3, 1))


def test_embeddings_and_linear_layers() -> None:
    torch.manual_seed(5)
    embedding = nn.Embedding(500, 64, padding_idx=0)
    initialize_embedding(embedding)
    assert not embedding.weight[0].any()
    assert embedding.weight[1:].var().item() == pytest.approx(1 / 8, rel=0.03)
    without = nn.Embedding(5, 4)
    initialize_embedding(without)
    assert without.weight[0].all()
    linear = nn.Linear(20, 30)
    initialize_linear(linear)
    assert not linear.bias.any()
    assert linear.weight.abs().max() <= math.sqrt(6 / 50)
    assert linear.weight.var().item() == pytest.approx(2 / 50, rel=0.1)


@pytest.mark.parametrize("size", [64, 256])
def test_gates_read_embeddings_as_glorot_meant_and_logits_begin_near_one(size: int) -> None:
    """The gates' inputs are what Glorot weights make of inputs of variance 1."""
    torch.manual_seed(6)
    embedding = nn.Embedding(2000, size)
    initialize_embedding(embedding)
    cell = GruCell(size + 3, 32)
    with torch.no_grad():
        cell.reset_parameters("orthogonal")
    before = cell.weight_ih.detach().clone()
    scale_inputs_for_embeddings(cell, size)
    assert torch.equal(cell.weight_ih[:, size:], before[:, size:])
    heard = embedding.weight @ cell.weight_ih[:, :size].t()
    meant = torch.randn(2000, size) @ before[:, :size].t()
    assert heard.var().item() == pytest.approx(meant.var().item(), rel=0.1)
    readout = nn.Linear(2 * size, size)
    initialize_linear(readout)
    scale_readout_for_logits(readout)
    states = torch.randn(500, 2 * size)  # of the size at which a readout's tanh is still linear
    unscaled = states @ readout.weight.t() * size**0.25
    logits = states @ readout.weight.t() @ embedding.weight.t()
    assert logits.var().item() == pytest.approx(unscaled.var().item(), rel=0.1)
    assert logits.var().item() == pytest.approx(4 / 3, rel=0.1)  # Glorot: 2 n / (n + n / 2)


@pytest.mark.parametrize("tie", ["all", "output", "none"])
def test_a_model_scales_what_reads_and_makes_embeddings(tie: str) -> None:
    torch.manual_seed(7)
    sizes = {"embedding": 16, "hidden": 32}
    model = TranslationModel(model_options(sizes, sizes, tie=tie), 40, 40)
    for stack in (model.encoder.stack, model.decoder.stack):
        for cell in stack.first():
            bound = 16**0.25 * math.sqrt(6 / (cell.input_size + cell.hidden_size))
            assert 0.8 * bound < cell.weight_ih[:, :16].abs().max() <= bound
    readout = model.decoder.readout
    bound = math.sqrt(6 / (readout.in_features + readout.out_features))
    bound *= 1 if tie == "none" else 16**-0.25
    assert 0.8 * bound < readout.weight.abs().max() <= bound


@pytest.fixture
def poisoned_memory() -> Iterator[None]:
    """Whatever torch allocates without a value is NaN."""
    torch.use_deterministic_algorithms(True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.isnan(torch.empty(3)).all()
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


EVERYTHING = {
    "lstm": {"cell": "lstm", "layers": 2, "residual": True, "attention": "additive"},
    "gru": {"cell": "gru", "layers": 2, "attention": "general", "feeding": "upper"},
    "rnn": {"cell": "rnn", "attention": "dot", "feeding": "input", "state_feeding": True},
}


@pytest.mark.usefixtures("poisoned_memory")
@pytest.mark.parametrize("kind", EVERYTHING)
@pytest.mark.parametrize(
    ("tie", "rule"), [("none", "uniform"), ("output", "orthogonal"), ("all", "identity")]
)
def test_no_parameter_is_left_uninitialized(kind: str, tie: str, rule: str) -> None:
    options = model_options(
        {"cell": kind, "layers": 2},
        EVERYTHING[kind],
        bridge="linear",
        tie=tie,
        recurrent_init=rule,
    )
    torch.manual_seed(11)
    first = TranslationModel(options, 9, 9)
    torch.manual_seed(11)
    second = TranslationModel(options, 9, 9)
    torch.manual_seed(12)
    third = TranslationModel(options, 9, 9)
    for (name, one), two, other in zip(
        first.named_parameters(), second.parameters(), third.parameters(), strict=True
    ):
        assert torch.isfinite(one).all(), name
        assert torch.equal(one, two), name
        random = "bias" not in name and not (rule == "identity" and "weight_hh" in name)
        assert torch.equal(one, other) != random, name
    assert not first.encoder.embedding.table.weight[0].any()
    assert not first.decoder.embedding.table.weight[0].any()
