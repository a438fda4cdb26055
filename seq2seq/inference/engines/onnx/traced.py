"""Cells without ONNX operators of their own: their torch arithmetic, traced into a graph.

PyTorch's exporter turns ``project``, ``step`` and ``initial_state`` into ONNX operators, once for
each cell and size; they are put into the graph with each layer's weights. Linear maps of inputs
with a known bound go through ``Builder.linear``, in int8 too. Over a source the step runs in Scan.

Shapes: B sentences, S source length, N rows, X inputs, H hidden, G what a step needs of its input.
"""

from __future__ import annotations

import logging
import re
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import lru_cache
from io import StringIO
from typing import Any

import numpy as np
import onnx
import onnxscript  # noqa: F401  # what torch's exporter is written with
import torch
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator
from torch import nn
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from seq2seq.errors import ModelError
from seq2seq.inference.engines.onnx.builder import OPSET, Builder, Tensor
from seq2seq.inference.engines.onnx.cells import CellOp, Parts, Read
from seq2seq.models.weights import tensors_of
from seq2seq.nn.cells import Cell, errors_naming, make_cell
from seq2seq.recipe import model as recipe
from seq2seq.recipe.registry import CELLS

Value = Tensor | Sequence[Tensor] | NDArray[Any]
"""In a graph, several tensors to be joined, or known now."""

_SAME_BOUND = "Identity Split Slice Reshape Squeeze Unsqueeze Transpose Gather Neg Abs".split()
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")  # a terminal's colours
_ROWS = 3  # of the examples that are traced; any number in the graph


class TracedOp(CellOp):
    """A cell by its torch code."""

    def __init__(self, options: recipe.Cell) -> None:
        cell = make_cell(options, 1, 1)
        self._kind, self._options = type(cell), cell.options
        self.parts = cell.parts  # type: ignore[misc]
        self.bound = cell.bound

    def sequence(
        self, graph: Builder, x: Tensor, lengths: Tensor, reads: Sequence[Read], hidden: int
    ) -> tuple[Tensor, Parts]:
        lengths = graph.op("Cast", lengths, to=onnx.TensorProto.INT64)
        runs = []
        for direction, read in enumerate(reads):
            inputs = _turned(graph, x, lengths) if direction else x
            outputs, finals = self._scan(graph, inputs, lengths, read, hidden)
            outputs = _turned(graph, outputs, lengths) if direction else outputs
            runs.append([graph.op("Unsqueeze", outputs, graph.integers(1)), *finals])
        joined = [
            graph.op("Concat", *parts, axis=0 if place else 1, size=hidden)
            for place, parts in enumerate(zip(*runs, strict=True))
        ]
        return joined[0], joined[1:]

    def _scan(
        self, graph: Builder, x: Tensor, lengths: Tensor, read: Read, hidden: int
    ) -> tuple[Tensor, Parts]:
        """Outputs (S, B, H) and each part of the final state (1, B, H) in one direction."""
        cell = _Sized(self._kind, self._options, x.size, hidden)
        flat = graph.op("Reshape", x, graph.integers(-1, x.size), size=x.size)
        (projected,) = _put(graph, cell, "project", [flat], read)
        shape = graph.op("Shape", x, end=2)
        shape = graph.op("Concat", shape, graph.integers(projected.size), axis=0)
        projected = graph.op("Reshape", projected, shape, size=projected.size)
        first = graph.op("Gather", x, graph.constant(np.array(0, np.int64)), axis=0, size=x.size)
        state = _put(graph, cell, "initial_state", [first], read)

        body = graph.part()
        before = [body.local(["B", hidden]) for _ in state]
        now = body.local(["B", projected.size])
        is_real = body.op("Cast", body.local(["B", 1]), to=onnx.TensorProto.BOOL)
        after = _put(body, cell, "step", [now, *before], read)
        kept = [body.op("Where", is_real, *pair) for pair in zip(after, before, strict=True)]
        for number, part in enumerate([*kept, kept[0]]):
            body.output(part, f"{now.name}_after_{number}", ["B", hidden])
        *finals, outputs = graph.scan(body, state, [projected, _real(graph, x, lengths)])
        finals = [graph.op("Unsqueeze", part, graph.integers(0)) for part in finals]
        return Tensor(outputs.name, hidden, self.bound), finals

    def given(self, graph: Builder, summary: Tensor, read: Read) -> Tensor:
        return summary

    def given_size(self, read: Read, summary: int) -> int:
        return summary

    def step(
        self,
        graph: Builder,
        inputs: Sequence[Tensor],
        state: Parts,
        read: Read,
        given: Tensor | None,
    ) -> Parts:
        inputs = [*inputs, *([] if given is None else [given])]
        size = state[0].size
        cell = _Sized(self._kind, self._options, sum(x.size for x in inputs), size)
        hidden, *others = _put(graph, cell, "project and step", [inputs, *state], read)
        return [Tensor(hidden.name, size, self.bound), *others]


def _turned(graph: Builder, x: Tensor, lengths: Tensor) -> Tensor:
    return graph.op("ReverseSequence", x, lengths, batch_axis=1, time_axis=0, size=x.size)


def _real(graph: Builder, x: Tensor, lengths: Tensor) -> Tensor:
    """(S, B, 1): 1 where a source token is, 0 at padding."""
    zero, one = (graph.constant(np.array(n, np.int64)) for n in (0, 1))
    width = graph.op("Gather", graph.op("Shape", x), zero)
    times = graph.op("Unsqueeze", graph.op("Range", zero, width, one), graph.integers(1))
    real = graph.op("Cast", graph.op("Less", times, lengths), to=onnx.TensorProto.FLOAT)
    return graph.op("Unsqueeze", real, graph.integers(2))


# ---------------------------------------------------------------------------------------------
# Tracing


@dataclass(frozen=True)
class _Sized:
    """A cell of some size, without weights."""

    kind: type[Cell]
    options: Any
    input_size: int
    hidden_size: int

    def make(self) -> Cell:
        return self.kind(self.input_size, self.hidden_size, self.options).eval()


class _Method(nn.Module):
    """A cell's method, with the weights as inputs: then none of them is folded into the graph."""

    def __init__(self, cell: Cell, name: str) -> None:
        super().__init__()
        self.name = name
        self.weights = list(tensors_of(cell))
        self.held = (cell,)  # no submodule: its own tensors take no part

    def forward(self, *tensors: torch.Tensor) -> Any:
        (cell,) = self.held
        count = len(tensors) - len(self.weights)  # of the method's own inputs
        for path, tensor in zip(self.weights, tensors[count:], strict=True):
            owner, _, attribute = path.rpartition(".")
            module = cell.get_submodule(owner)
            module._parameters.pop(attribute, None)
            module._buffers.pop(attribute, None)
            module.__dict__[attribute] = tensor
        x, *state = tensors[:count]
        if self.name == "initial_state":
            return cell.initial_state(x.shape[0], x)
        if self.name != "step":
            x = cell.project(x)
        return x if self.name == "project" else cell.step(x, tuple(state))


@lru_cache(maxsize=64)
def _trace(sized: _Sized, name: str) -> tuple[onnx.GraphProto, tuple[str, ...]]:
    """A method (or "project and step") as operators, and the names of the cell's tensors.

    The graph's inputs are the method's, then these tensors; no weight stands in it.
    """
    with torch.no_grad(), errors_naming(sized.kind):
        cell = sized.make()
        x = torch.zeros(_ROWS, cell.input_size)
        state = cell.initial_state(_ROWS, x) if "step" in name else ()
        inputs = [cell.project(x) if name == "step" else x, *state]
    weights = tensors_of(cell)
    rows = {0: torch.export.Dim.DYNAMIC}
    logged = logging.root.manager.disable
    logging.disable(logging.ERROR)  # it tells of what it does without, and of itself
    try:
        # Of what it cannot trace it prints the whole graph.
        with warnings.catch_warnings(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                _Method(cell, name).eval(),
                (*inputs, *weights.values()),
                dynamo=True,
                verbose=False,
                opset_version=OPSET,
                dynamic_shapes={"tensors": (*[rows] * len(inputs), *[{}] * len(weights))},
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ModelError(
            f"{CELLS.described(sized.kind)}: {name} cannot be made into an ONNX graph: "
            f"{_reason(error)}"
        ) from error
    finally:
        logging.disable(logged)
    assert program is not None
    graph: onnx.GraphProto = program.model_proto.graph
    for node in graph.node:
        if any(one.type == onnx.AttributeProto.GRAPH for one in node.attribute):
            raise ModelError(
                f"{CELLS.described(sized.kind)}: {name} cannot be made into an ONNX graph: it has "
                f"branches or loops of its own (the operator {node.op_type})"
            )
    return shape_inference.infer_shapes(program.model_proto).graph, tuple(weights)


def _reason(error: BaseException) -> str:
    """Why torch's exporter failed, in one line, and where in the cell's code."""
    cause = error.__cause__ or error
    if isinstance(cause, GuardOnDataDependentSymNode):
        words = "what it does depends on a tensor's values"
    else:
        lines = _ESCAPES.sub("", str(cause)).strip().splitlines()
        words = ": ".join([type(cause).__name__, *lines[:1]])
    frames = traceback.extract_tb(cause.__traceback__)
    others = [one for one in frames if not one.filename.startswith(torch.__path__[0])]
    if not others or others[-1].filename == __file__:
        return words
    return f"{words} ({others[-1].filename}, line {others[-1].lineno})"


def _put(
    graph: Builder, cell: _Sized, name: str, inputs: Sequence[Value], read: Read
) -> list[Tensor]:
    """Puts a method's operators into a graph."""
    traced, weights = _trace(cell, name)
    values: dict[str, Value] = {one.name: numpy_helper.to_array(one) for one in traced.initializer}
    own, given = traced.input[: len(inputs)], traced.input[len(inputs) :]
    values |= {one.name: value for one, value in zip(own, inputs, strict=True)}
    for one, weight in zip(given, weights, strict=True):
        kind = helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type)
        values[one.name] = read(weight).astype(kind)
    sizes = _sizes(traced)
    for node in traced.node:
        _operator(graph, node, values, sizes)
    return [_one(graph, values[one.name]) for one in traced.output]


def _sizes(traced: onnx.GraphProto) -> dict[str, int]:
    """The last axis of each value; 0 where it varies."""
    known = [*traced.value_info, *traced.output]
    return {
        one.name: one.type.tensor_type.shape.dim[-1].dim_value
        for one in known
        if one.type.tensor_type.shape.dim
    }


def _operator(
    graph: Builder, node: onnx.NodeProto, values: dict[str, Value], sizes: Mapping[str, int]
) -> None:
    inputs = [values[name] if name else None for name in node.input]
    if all(value is None or isinstance(value, np.ndarray) for value in inputs):
        found = _evaluated(node, inputs)
        values |= zip(node.output, found, strict=True)
        return
    linear = _linear(graph, node, inputs)
    if linear is not None:
        values[node.output[0]] = linear
        return
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    tensors = ["" if value is None else _one(graph, value) for value in inputs]
    found = graph.ops(
        node.op_type,
        *tensors,
        sizes=[sizes.get(name, 0) for name in node.output],
        bound=_bound(node.op_type, [x for x in tensors if isinstance(x, Tensor)]),
        domain=node.domain,
        **attributes,
    )
    values |= zip(node.output, found, strict=True)


def _linear(graph: Builder, node: onnx.NodeProto, inputs: Sequence[Value | None]) -> Tensor | None:
    """A map by a known matrix, where the operator is one; None: it is not."""
    attributes = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    x, *known = inputs
    scaled = any(attributes.get(name, 1.0) != 1.0 for name in ("alpha", "beta"))
    plain = not scaled and not attributes.get("transA")
    if node.op_type not in ("Gemm", "MatMul") or not plain or isinstance(x, np.ndarray):
        return None
    weight, bias = known[0], known[1] if len(known) > 1 else None
    if not isinstance(weight, np.ndarray) or weight.ndim != 2 or isinstance(bias, Tensor):
        return None
    weight = np.ascontiguousarray(weight.T if attributes.get("transB") else weight)
    assert x is not None
    return graph.linear([x] if isinstance(x, Tensor) else list(x), weight, bias)  # type: ignore[arg-type]


def _bound(kind: str, inputs: Sequence[Tensor]) -> float | None:
    bounds = [x.bound for x in inputs]
    if kind in ("Sigmoid", "Tanh", "Softmax"):
        return 1.0
    if kind in _SAME_BOUND:
        return bounds[0]
    if kind == "Mul" and all(bounds):
        return float(np.prod(np.array(bounds, dtype=float)))
    return None


def _one(graph: Builder, value: Value) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray):
        bound = float(np.abs(value).max()) if value.dtype == np.float32 and value.size else None
        return Tensor(graph.constant(value), value.shape[-1] if value.ndim else 0, bound)
    return graph.joined(value)


def _evaluated(node: onnx.NodeProto, inputs: Sequence[Any]) -> list[Any]:
    """What an operator makes of arrays."""
    evaluator = ReferenceEvaluator(node, opsets={"": OPSET})
    named = zip(node.input, inputs, strict=True)
    return list(evaluator.run(None, {name: value for name, value in named if name}))
