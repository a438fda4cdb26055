"""Builds ONNX graphs: a thin layer over ``onnx.helper`` with names, weights and int8 products.

Linear maps are where all the time goes, so they are where the precision is decided. In int8, inputs
are rounded to 8 bits by a scale that is known beforehand, since every input of these networks is
bounded: recurrent outputs by 1, embeddings by their table. Nothing is measured on the batch, as
dynamic quantization would, so other sentences do not change the scale of one. What remains is the
last bit of float32, which does depend on the size of a batch: seldom it tips an input to the next
of its 8-bit values, and a log-probability then moves by some thousandths.

Shapes: N rows, X input columns of a linear map, Y output columns.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from seq2seq.search.model import Floats32

Precision = Literal["float32", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
Shape = Sequence[int | str]

OPSET = 18
IR_VERSION = 9  # what ONNX Runtime 1.17 and newer reads
CONTRIB = "com.microsoft"

# Seven bits of weights times eight of activations: two products still fit the 16 bits in which
# processors without VNNI add them, so that every processor gives the same numbers.
_WEIGHT_STEPS = 63
_INPUT_STEPS = 127
_INPUT_ZERO = 128


@dataclass(frozen=True)
class Tensor:
    """A value in a graph: its name, its last axis, and what none of its numbers exceeds in size.

    None as bound: nobody knows.
    """

    name: str
    size: int
    bound: float | None = None


class Builder:
    """A graph under construction; ``precision`` is that of the linear maps."""

    def __init__(self, precision: Precision = "float32") -> None:
        self.precision = precision
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._constants: dict[tuple[str, bytes, tuple[int, ...]], str] = {}
        self._rounded: dict[tuple[str, float], Tensor] = {}
        self._names: dict[str, str] = {}  # what outputs are called at last
        self._numbers = count()

    def input(
        self, name: str, shape: Shape, *, integer: bool = False, bound: float | None = None
    ) -> Tensor:
        """Declares a float32 or int64 input; a shape has numbers, and names of sizes that vary."""
        self._inputs.append(_info(name, integer, shape))
        last = shape[-1]
        return Tensor(name, last if isinstance(last, int) else 0, bound)

    def output(self, tensor: Tensor, name: str, shape: Shape, *, integer: bool = False) -> None:
        """Declares a tensor an output, under a name; otherwise as ``input``."""
        ours = any(tensor.name in node.output for node in self._nodes)
        if ours and tensor.name not in self._names:
            self._names[tensor.name] = name
        else:
            self._nodes.append(helper.make_node("Identity", [tensor.name], [name]))
        self._outputs.append(_info(name, integer, shape))

    def constant(self, value: NDArray[Any]) -> str:
        """Stores an array, equal ones once, and gives its name."""
        value = np.ascontiguousarray(value) if value.ndim else value
        key = (value.dtype.str, value.tobytes(), value.shape)
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._constants[key] = name
            self._weights.append(numpy_helper.from_array(value, name))
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """Stores a list of integers, and gives its name."""
        return self.constant(np.array(values, dtype=np.int64))

    def op(
        self,
        kind: str,
        *inputs: str | Tensor,
        size: int = 0,
        bound: float | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> Tensor:
        """Adds an operator of ONNX, or of ``CONTRIB``, and gives its one output.

        ``size`` is the output's last axis, ``bound`` its bound; "" as input leaves an optional one
        out.
        """
        return self.ops(kind, *inputs, sizes=[size], bound=bound, domain=domain, **attributes)[0]

    def ops(
        self,
        kind: str,
        *inputs: str | Tensor,
        sizes: Sequence[int],
        bound: float | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> list[Tensor]:
        """As ``op``, for several outputs: the last axis of each, and the bound of all."""
        number = next(self._numbers)
        names = [f"{kind}_{number}_{place}" for place in range(len(sizes))]
        sources = [source.name if isinstance(source, Tensor) else source for source in inputs]
        self._nodes.append(helper.make_node(kind, sources, names, domain=domain, **attributes))
        return [Tensor(name, size, bound) for name, size in zip(names, sizes, strict=True)]

    def split(self, x: Tensor, *sizes: int) -> list[Tensor]:
        """Cuts a tensor along its last axis."""
        return self.ops("Split", x, self.integers(*sizes), sizes=sizes, axis=-1)

    def linear(
        self, inputs: Sequence[Tensor], weight_XY: Floats32, bias_Y: Floats32 | None
    ) -> Tensor:
        """A linear map of several inputs (N, ...), X columns together, as if they were joined.

        It gives (N, Y); a bias of None is none.
        """
        if self.rounds(*inputs):
            return self._linear_int8(inputs, weight_XY, bias_Y)
        joined = self.joined(inputs)
        bias = [] if bias_Y is None else [self.constant(bias_Y)]
        return self.op("Gemm", joined, self.constant(weight_XY), *bias, size=weight_XY.shape[1])

    def rounds(self, *inputs: Tensor) -> bool:
        """Whether products with these are of numbers in 8 bits, which takes a bound of each."""
        return self.precision == "int8" and all(x.bound for x in inputs)

    def _linear_int8(
        self, inputs: Sequence[Tensor], weight_XY: Floats32, bias_Y: Floats32 | None
    ) -> Tensor:
        """Each input has a scale of its own, taken into the weights; each output column, too."""
        scales = [np.float32((x.bound or 0.0) / _INPUT_STEPS) for x in inputs]
        zero = self.constant(np.array(_INPUT_ZERO, dtype=np.uint8))
        rounded = [self._round(x, scale, zero) for x, scale in zip(inputs, scales, strict=True)]
        rows_X1 = np.repeat(scales, [x.size for x in inputs])[:, None]
        whole_XY, scale_Y = rounded_columns((weight_XY * rows_X1).astype(np.float32))
        return self.op(
            "MatMulIntegerToFloat",
            self.joined(rounded),
            self.constant(whole_XY),
            self.constant(np.array(1.0, dtype=np.float32)),
            self.constant(scale_Y),
            zero,
            "",
            "" if bias_Y is None else self.constant(bias_Y),
            size=weight_XY.shape[1],
            domain=CONTRIB,
        )

    def _round(self, x: Tensor, scale: np.float32, zero: str) -> Tensor:
        key = (x.name, float(scale))
        if key not in self._rounded:
            scaled = self.constant(np.array(scale))
            self._rounded[key] = self.op("QuantizeLinear", x, scaled, zero, size=x.size)
        return self._rounded[key]

    def joined(self, inputs: Sequence[Tensor]) -> Tensor:
        """Several tensors as one, along the last axis."""
        if len(inputs) == 1:
            return inputs[0]
        return self.op("Concat", *inputs, axis=-1, size=sum(x.size for x in inputs))

    def branch(self, condition: Tensor, then: Builder, otherwise: Builder) -> list[Tensor]:
        """Runs one of two parts, builders of outputs alone, by a boolean; gives the outputs.

        Both have as many outputs, and use the values of this graph.
        """
        parts = {"then_branch": then._graph("then"), "else_branch": otherwise._graph("otherwise")}
        return self.ops("If", condition, sizes=[0] * len(then._outputs), **parts)

    def scan(
        self, body: Builder, states: Sequence[Tensor], scanned: Sequence[Tensor]
    ) -> list[Tensor]:
        """Runs a part once for each place along the first axis of some tensors.

        The part reads the states and one place of each scanned tensor, in this order; its outputs
        are the states after, then what is collected. The same is given after the last run, with
        what was collected along a new first axis.
        """
        return self.ops(
            "Scan",
            *states,
            *scanned,
            sizes=[0] * len(body._outputs),
            num_scan_inputs=len(scanned),
            body=body._graph("scan"),
        )

    def local(self, shape: Shape) -> Tensor:
        """Declares an input of a part, under a name of its own."""
        return self.input(f"local_{next(self._numbers)}", shape)

    def part(self) -> Builder:
        """Begins a part for ``branch`` or ``scan``; this graph's names and constants hold in it."""
        part = Builder(self.precision)
        part._constants, part._weights = self._constants, self._weights
        part._numbers = self._numbers
        return part

    def _graph(self, name: str) -> onnx.GraphProto:
        _rename(self._nodes, self._names)
        return helper.make_graph(self._nodes, name, self._inputs, self._outputs)

    def model(self) -> onnx.ModelProto:
        """Finishes; the model is checked."""
        graph = self._graph("seq2seq")
        graph.initializer.extend(self._weights)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(CONTRIB, 1)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="seq2seq"
        )
        onnx.checker.check_model(model)
        return model


def rounded_columns(weight_XY: Floats32) -> tuple[NDArray[np.int8], Floats32]:
    """Weights in 8 bits, and the scale of each of their columns (Y,)."""
    scale_Y = np.maximum(np.abs(weight_XY).max(axis=0), np.float32(1e-12)) / _WEIGHT_STEPS
    return np.round(weight_XY / scale_Y).astype(np.int8), scale_Y.astype(np.float32)


def _rename(nodes: Iterable[onnx.NodeProto], names: Mapping[str, str]) -> None:
    """Renames values, also in the graphs within."""
    for node in nodes:
        for place, name in enumerate(node.input):
            node.input[place] = names.get(name, name)
        for place, name in enumerate(node.output):
            node.output[place] = names.get(name, name)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g.node, names)


def _info(name: str, integer: bool, shape: Shape) -> onnx.ValueInfoProto:
    kind = TensorProto.INT64 if integer else TensorProto.FLOAT
    return helper.make_tensor_value_info(name, kind, list(shape))
