"""The LSTM over a source in 8 bits, beside one in numpy that rounds by scales known beforehand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from seq2seq.inference.engines.onnx import open_session
from seq2seq.inference.engines.onnx.builder import Builder, rounded_columns
from seq2seq.inference.engines.onnx.lstm_int8 import lstm_int8
from seq2seq.search.model import Floats32

INPUTS, SIZE, BOUND = 5, 6, 3.0


def drawn(directions: int, inputs: int = INPUTS) -> tuple[Floats32, Floats32, Floats32]:
    random = np.random.default_rng(directions)
    shapes = (4 * SIZE, inputs), (4 * SIZE, SIZE), (4 * SIZE,)
    of_inputs, of_state, bias = (
        random.normal(0.0, 0.7, (directions, *shape)).astype(np.float32) for shape in shapes
    )
    return of_inputs, of_state, bias


def session(weights: tuple[Floats32, Floats32, Floats32]) -> Any:
    graph = Builder("int8")
    x = graph.input("x", ["S", "B", INPUTS], bound=BOUND)
    real = graph.op("Cast", graph.input("lengths", ["B"], integer=True), to=TensorProto.INT32)
    outputs, (hidden, memory) = lstm_int8(graph, x, real, weights)
    for name, one in (("outputs", outputs), ("hidden", hidden), ("memory", memory)):
        graph.output(one, name, ["A", "B", "C", SIZE] if name == "outputs" else ["A", "B", SIZE])
    return open_session(graph.model().SerializeToString(), 1)


def rounded(x: Floats32, most: float) -> Floats32:
    """To the nearest of 255 steps from -most to most, 0 among them."""
    scale = 2 * most / 255
    return (np.clip(np.round(x / scale) + 128, 0, 255) - 128) * scale


def sigmoid(x: Floats32) -> Floats32:
    return 1 / (1 + np.exp(-x))


def in_numpy(x_SX: Floats32, weights: tuple[Floats32, ...]) -> tuple[Floats32, Floats32, Floats32]:
    """One sentence in one direction: its outputs, and both final states."""
    wide_GX, wide_GH, bias_G = weights
    pairs = [rounded_columns(np.ascontiguousarray(one.T)) for one in (wide_GX, wide_GH)]
    of_inputs, of_state = (whole * scale for whole, scale in pairs)
    hidden = memory = np.zeros(SIZE)
    outputs = []
    for t, x in enumerate(x_SX):
        state = rounded(hidden, np.tanh(t)) if t else hidden
        i, o, f, c = np.split(rounded(x, BOUND) @ of_inputs + state @ of_state + bias_G, 4)
        memory = sigmoid(f) * memory + sigmoid(i) * np.tanh(c)
        hidden = sigmoid(o) * np.tanh(memory)
        outputs.append(hidden)
    return np.stack(outputs), hidden, memory


@pytest.mark.parametrize("directions", [1, 2])
def test_it_rounds_by_scales_that_no_sentence_changes(directions: int) -> None:
    weights, lengths = drawn(directions), [7, 1, 4]
    random = np.random.default_rng(5)
    x_SBX = random.uniform(-BOUND, BOUND, (7, 3, INPUTS)).astype(np.float32)
    x_SBX[:, 0] *= 0.05  # that of a batch of its own would be finer
    outputs, hidden, memory = session(weights).run(None, {"x": x_SBX, "lengths": np.array(lengths)})
    for row, length in enumerate(lengths):
        assert not outputs[length:, :, row].any()
        for direction in range(directions):
            own = x_SBX[:length, row][:: 1 - 2 * direction]
            found = in_numpy(own, tuple(one[direction] for one in weights))
            mine = outputs[:length, direction, row][:: 1 - 2 * direction]
            assert mine == pytest.approx(found[0], abs=1e-5)
            assert hidden[direction, row] == pytest.approx(found[1], abs=1e-5)
            assert memory[direction, row] == pytest.approx(found[2], abs=1e-5)
