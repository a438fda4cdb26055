"""The LSTM over a source in 8 bits, by ONNX Runtime's own operator.

That operator measures what it rounds, inputs and states, over the whole batch, so one sentence
would change the scale of another. Here each row has numbers that nothing exceeds, so that what is
measured is always the same: two columns of the inputs hold plus and minus their bound, and two more
units, whose gates are open and whose candidates are 1 and -1, go as far as an LSTM can: after t
steps h is plus and minus tanh(t). Nothing reads either of them: their weights are 0.

Shapes: S source length, B sentences, n directions, X inputs, H hidden.
"""

from __future__ import annotations

import numpy as np

from seq2seq.inference.engines.onnx.builder import CONTRIB, Builder, Tensor, rounded_columns
from seq2seq.search.model import Floats32

_OPEN = 30.0  # a bias whose sigmoid, or tanh, is 1
_CANDIDATES = (1.0, -1.0)


def lstm_int8(
    graph: Builder,
    x: Tensor,
    lengths: Tensor,
    weights: tuple[Floats32, Floats32, Floats32],
) -> tuple[Tensor, list[Tensor]]:
    """Runs over sources.

    Args:
        graph: The graph.
        x: Inputs (S, B, X), with a bound.
        lengths: Real lengths (B,), int32.
        weights: Of inputs (n, 4 H, X), of the state (n, 4 H, H), and both biases, summed (n, 4 H);
            gates in the standard's order i, o, f, c.

    Returns:
        Outputs (S, n, B, H), 0 at padding, and the final states h and c (n, B, H).
    """
    weight_nGX, weight_nGH, bias_nG = weights
    directions, _, hidden = weight_nGH.shape
    of_inputs = _rounded(_with_units(np.pad(weight_nGX, ((0, 0), (0, 0), (0, 2)))))
    of_state = _rounded(_with_units(np.pad(weight_nGH, ((0, 0), (0, 0), (0, 2)))))
    bias = _with_units(bias_nG, [[_OPEN] * 2] * 3 + [[_OPEN * one for one in _CANDIDATES]])
    zero = graph.constant(np.zeros(bias.shape, dtype=np.int8))
    found = graph.ops(
        "DynamicQuantizeLSTM",
        _with_bounds(graph, x),
        graph.constant(of_inputs[0]),
        graph.constant(of_state[0]),
        graph.constant(np.concatenate([bias, np.zeros_like(bias)], axis=1)),
        lengths,
        *[""] * 3,  # states before, and peepholes
        graph.constant(of_inputs[1]),
        zero,
        graph.constant(of_state[1]),
        zero,
        sizes=[hidden] * 3,
        domain=CONTRIB,
        hidden_size=hidden + 2,
        direction="bidirectional" if directions > 1 else "forward",
    )
    ends = graph.integers(0), graph.integers(hidden), graph.integers(-1)
    outputs, *finals = (graph.op("Slice", one, *ends, size=hidden) for one in found)
    return outputs, finals


def _with_bounds(graph: Builder, x: Tensor) -> Tensor:
    """The inputs with two columns more: plus and minus their bound."""
    assert x.bound is not None
    both = graph.constant(np.array([[[x.bound, -x.bound]]], dtype=np.float32))
    rows = graph.op("Concat", graph.op("Shape", x, end=2), graph.integers(2), axis=0)
    return graph.joined([x, graph.op("Expand", both, rows, size=2)])


def _with_units(weight_nGY: Floats32, more: list[list[float]] | None = None) -> Floats32:
    """Weights with two units more a gate, whose numbers are ``more`` by gate, or 0."""
    gates = np.split(weight_nGY, 4, axis=1)
    wider = [np.pad(one, [(0, 0), (0, 2)] + [(0, 0)] * (one.ndim - 2)) for one in gates]
    for gate, numbers in zip(wider, more or [], strict=False):
        gate[:, -2:] = numbers
    return np.concatenate(wider, axis=1)


def _rounded(weight_nGX: Floats32) -> tuple[np.ndarray, Floats32]:
    """Weights (n, X, G) in 8 bits, and the scale of each of their columns (n, G)."""
    pairs = [rounded_columns(np.ascontiguousarray(one.T)) for one in weight_nGX]
    whole, scales = (np.stack(one) for one in zip(*pairs, strict=True))
    return whole, scales
