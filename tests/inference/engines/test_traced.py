"""Cells without ONNX operators of their own: their graphs give the numbers of their torch code."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from support.engines import random_engine, sources, weights_of
from support.models import model_options
from torch import Tensor
from torch.nn import functional

from seq2seq.errors import ModelError
from seq2seq.inference.engines.onnx import OnnxEngine, open_session
from seq2seq.inference.engines.onnx.builder import Builder, Precision
from seq2seq.inference.engines.onnx.network import OnnxNetwork
from seq2seq.nn.cells import GatedCell, State
from seq2seq.recipe.registry import CELLS


class MinimalCell(GatedCell):
    """Zhou et al. 2016, with a learned first state and a buffer besides."""

    gates = 2
    bound = 1.0

    def __init__(self, input_size: int, hidden_size: int, options: Any = None) -> None:
        super().__init__(input_size, hidden_size, options)
        self.first = torch.nn.Parameter(torch.zeros(hidden_size))
        self.register_buffer("kept", torch.linspace(0.5, 1.0, hidden_size))

    def initial_state(self, batch: int, like: Tensor) -> State:
        return (torch.tanh(self.first).to(like.dtype).expand(batch, -1),)

    def step(self, projected_BG: Tensor, state: State) -> State:
        (hidden,) = state
        forget_x, new_x = projected_BG.chunk(2, dim=-1)
        forget_w, new_w = self.weight_hh.chunk(2)
        forget_b, new_b = self.bias_hh.chunk(2)
        forget = torch.sigmoid(forget_x + functional.linear(hidden, forget_w, forget_b))
        new = torch.tanh(new_x + functional.linear(forget * hidden, new_w, new_b))
        return ((hidden + forget * (new - hidden)) * self.kept,)


ENCODER = {"cell": "minimal", "layers": 2, "residual": True, "reverse": True}
DECODER = {"cell": "minimal", "layers": 2, "attention": "general", "feeding": "upper"}


@pytest.mark.timeout(600)  # tracing takes seconds a method, on an idle machine
@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-5), ("int8", 0.1)])
def test_graphs_give_the_numbers_of_torch(
    precision: Precision, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CELLS.own, "minimal", MinimalCell)
    options = model_options(ENCODER, {**DECODER, "state_feeding": True})
    theirs = random_engine(options)
    network = OnnxNetwork(options, weights_of(theirs))
    step = network.step(precision)
    kinds = [node.op_type for node in step.graph.node]
    # Both halves of the first gate and of the new one, in each layer; the readout; the output.
    assert kinds.count("MatMulIntegerToFloat") == (8 if precision == "int8" else 0)
    graphs = (
        open_session(one.SerializeToString(), 1) for one in (network.encoder(precision), step)
    )
    ours = OnnxEngine(*graphs, options, theirs.vocab_size)
    a, b = theirs.start(sources()), ours.start(sources())
    for parent, token in (([0, 1, 2, 3], 1), ([0, 0, 1, 3], 5), ([3, 2, 1, 0], 7)):
        rows, tokens = np.array(parent), np.full(4, token)
        expected, a = theirs.distribution(a, rows, tokens)
        found, b = ours.distribution(b, rows, tokens)
        np.testing.assert_allclose(found.log_probs, expected.log_probs, atol=tolerance)


class LoudCell(MinimalCell):
    """Its outputs reach up to 2, and do: the new gate is far from 0."""

    bound = 2.0

    def step(self, projected_BG: Tensor, state: State) -> State:
        (hidden,) = super().step(projected_BG, state)
        return (2 * torch.tanh(20 * hidden),)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("decoder", ["gru", "loud"])
def test_no_state_is_clipped(decoder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A residual's bound is the sum of its layers', the first state's that of the encoder too."""
    monkeypatch.setitem(CELLS.own, "loud", LoudCell)
    sizes = {"hidden": 16, "embedding": 8}
    options = model_options(
        {"cell": "loud", "layers": 2, **sizes},
        {"cell": decoder, "layers": 2, "residual": True, **sizes},
        bridge="copy",
    )
    network = OnnxNetwork(options, weights_of(random_engine(options)))
    graph = network.step("int8").graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    origin = {node.output[0]: node for node in graph.node}
    scales: dict[str, set[int]] = {}
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            source = origin[node.input[0]]
            name = source.input[0] if source.op_type == "Gather" else source.op_type
            scales.setdefault(name, set()).add(round(float(constants[node.input[1]]) * 127))
    assert scales["state_0"] == scales["state_1"] == {2}
    assert scales["Add"] >= {4 if decoder == "loud" else 2}  # the last layer's, of both layers


class BranchingCell(MinimalCell):
    def step(self, projected_BG: Tensor, state: State) -> State:
        return super().step(projected_BG, state) if state[0].sum() > 0 else state


@pytest.mark.timeout(600)
def test_a_cell_that_cannot_be_traced_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(CELLS.own, "branching", BranchingCell)
    options = model_options({}, {"cell": "branching"})
    network = OnnxNetwork(options, weights_of(random_engine(options)))
    words = (
        r"the cell 'branching' \(.*test_traced:BranchingCell, of the package .*\): "
        "project and step cannot be made into an ONNX graph: what it does depends on a tensor's "
        rf"values \({re.escape(__file__)}, line \d+\)$"
    )
    with pytest.raises(ModelError, match=words) as caught:
        network.step("float32")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # torch prints the whole graph


def test_the_builder_scans() -> None:
    graph = Builder()
    x = graph.input("x", ["S", "B", 2])
    start = graph.input("start", ["B", 2])
    body = graph.part()
    total, one = body.local(["B", 2]), body.local(["B", 2])
    total = body.op("Add", total, one, size=2)
    body.output(total, "total", ["B", 2])
    body.output(total, "collected", ["B", 2])
    final, every = graph.scan(body, [start], [x])
    graph.output(final, "final", ["B", 2])
    graph.output(every, "every", ["S", "B", 2])
    values = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    inputs = {"x": values, "start": np.ones((2, 2), np.float32)}
    last, sums = open_session(graph.model().SerializeToString(), 1).run(None, inputs)
    np.testing.assert_array_equal(sums, 1 + values.cumsum(0))
    np.testing.assert_array_equal(last, sums[-1])
