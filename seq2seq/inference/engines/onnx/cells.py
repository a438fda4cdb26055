"""Recurrent cells as ONNX operators: the arithmetic of ``nn/cells/``.

Over a source the standard's own LSTM, GRU and RNN do it, which know padding and both directions. In
a step of the decoder, inputs and state are joined, so that it is one linear map.

Shapes: B sentences, S source length, N rows, X inputs, H hidden, G gates x H.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from seq2seq.inference.engines.onnx.builder import Builder, Tensor
from seq2seq.inference.engines.onnx.lstm_int8 import lstm_int8
from seq2seq.recipe import model as recipe
from seq2seq.search.model import Floats32

Read = Callable[[str], Floats32]
"""Gives the parameter of a name."""

Parts = list[Tensor]
"""A state; part 0 is the output h."""


class CellOp(ABC):
    """A kind of cell, with the options of the recipe's table for it."""

    parts: ClassVar[int] = 1

    def __init__(self, options: Any) -> None:
        del options
        self.bound: float | None = 1.0  # of h

    @abstractmethod
    def sequence(
        self, graph: Builder, x: Tensor, lengths: Tensor, reads: Sequence[Read], hidden: int
    ) -> tuple[Tensor, Parts]:
        """Runs over sources (S, B, X), whose real lengths are int32; ``reads`` has one a direction.

        It gives outputs (S, directions, B, H), 0 at padding, and each part of the state after the
        last real token (directions, B, H).
        """

    @abstractmethod
    def given(self, graph: Builder, summary: Tensor, read: Read) -> Tensor:
        """What an input that never changes gives to every step, (B, ``given_size``)."""

    @abstractmethod
    def given_size(self, read: Read, summary: int) -> int:
        """The size of what ``given`` makes of an input of this size."""

    @abstractmethod
    def step(
        self,
        graph: Builder,
        inputs: Sequence[Tensor],
        state: Parts,
        read: Read,
        given: Tensor | None,
    ) -> Parts:
        """One time step, from the changing inputs, (N, X) together, and the state before (N, H).

        ``given`` is what the method of this name made for each row; None: all inputs change.
        """


class StandardOp(CellOp):
    """A cell that the standard has an operator for."""

    kind: ClassVar[str]  # the standard's operator
    gates: ClassVar[int] = 1
    order: ClassVar[Sequence[int]] = (0,)  # where the standard's gates stand among torch's

    def sequence(
        self, graph: Builder, x: Tensor, lengths: Tensor, reads: Sequence[Read], hidden: int
    ) -> tuple[Tensor, Parts]:
        biases = [self._of_directions(f"bias_{one}h", reads) for one in "ih"]
        outputs, *finals = graph.ops(
            self.kind,
            x,
            graph.constant(self._of_directions("weight_ih", reads)),
            graph.constant(self._of_directions("weight_hh", reads)),
            graph.constant(np.concatenate(biases, axis=1)),
            lengths,
            sizes=[hidden] * (1 + self.parts),
            hidden_size=hidden,
            direction="bidirectional" if len(reads) > 1 else "forward",
            **self._attributes(len(reads)),
        )
        return outputs, finals

    def _of_directions(self, name: str, reads: Sequence[Read]) -> Floats32:
        """A parameter of all directions (n, G, ...), its gates in the standard's order."""
        every = [np.split(read(name), self.gates) for read in reads]
        return np.stack([np.concatenate([one[place] for place in self.order]) for one in every])

    def _attributes(self, directions: int) -> dict[str, Any]:
        del directions
        return {}

    def stacked(self, read: Read, constant: int) -> tuple[Floats32, Floats32]:
        """The weights of a step: of constant inputs, changing inputs and state, above each other.

        The last ``constant`` inputs stay the same in all steps of a row. It gives (X + H, G) and
        the bias (G,).
        """
        weight_XG = read("weight_ih").T
        changing = len(weight_XG) - constant
        rows = [weight_XG[changing:], weight_XG[:changing], read("weight_hh").T]
        return np.concatenate(rows), read("bias_ih") + read("bias_hh")

    def given(self, graph: Builder, summary: Tensor, read: Read) -> Tensor:
        weight, bias = self.stacked(read, summary.size)
        return graph.linear([summary], weight[: summary.size], bias)

    def given_size(self, read: Read, summary: int) -> int:
        return len(self.stacked(read, summary)[1])

    def step(
        self,
        graph: Builder,
        inputs: Sequence[Tensor],
        state: Parts,
        read: Read,
        given: Tensor | None,
    ) -> Parts:
        constant = read("weight_ih").shape[1] - sum(x.size for x in inputs)
        weight, bias = self.stacked(read, constant)
        joined = [*inputs, state[0]]
        if given is None:
            return self._after(graph, graph.linear(joined, weight[constant:], bias), state)
        total = graph.linear(joined, weight[constant:], None)
        return self._after(graph, graph.op("Add", total, given, size=total.size), state)

    @abstractmethod
    def _after(self, graph: Builder, total: Tensor, state: Parts) -> Parts:
        """The state after a step, from what the linear map of ``stacked`` gives (N, G)."""


class RnnOp(StandardOp):
    """h' = f(W x + U h + b)."""

    kind = "RNN"

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._activation = str(getattr(options, "activation", "tanh")).capitalize()
        if self._activation == "Relu":
            self.bound = None

    def _attributes(self, directions: int) -> dict[str, Any]:
        return {"activations": [self._activation] * directions}

    def _after(self, graph: Builder, total: Tensor, state: Parts) -> Parts:
        return [graph.op(self._activation, total, size=state[0].size, bound=self.bound)]


class LstmOp(StandardOp):
    """Torch's gates are i, f, g, o; the standard's are i, o, f, g."""

    kind = "LSTM"
    gates = 4
    parts = 2
    order = (0, 3, 1, 2)

    def sequence(
        self, graph: Builder, x: Tensor, lengths: Tensor, reads: Sequence[Read], hidden: int
    ) -> tuple[Tensor, Parts]:
        if not graph.rounds(x):
            return super().sequence(graph, x, lengths, reads, hidden)
        bias = self._of_directions("bias_ih", reads) + self._of_directions("bias_hh", reads)
        of_inputs, of_state = (self._of_directions(f"weight_{one}h", reads) for one in "ih")
        return lstm_int8(graph, x, lengths, (of_inputs, of_state, bias))

    def stacked(self, read: Read, constant: int) -> tuple[Floats32, Floats32]:
        """As for every cell, but with the gates in the order i, f, o, g: the sigmoids together."""
        weight, bias = super().stacked(read, constant)
        input_, forget, candidate, output = np.split(np.arange(len(bias)), 4)
        order = np.concatenate([input_, forget, output, candidate])
        return np.ascontiguousarray(weight[:, order]), bias[order]

    def _after(self, graph: Builder, total: Tensor, state: Parts) -> Parts:
        hidden, memory = state
        size = hidden.size
        gates, candidate = graph.split(total, 3 * size, size)
        input_, forget, output = graph.split(graph.op("Sigmoid", gates), size, size, size)
        kept = graph.op("Mul", forget, memory)
        memory = graph.op("Add", kept, graph.op("Mul", input_, graph.op("Tanh", candidate)))
        after = graph.op("Mul", output, graph.op("Tanh", memory), size=size, bound=1.0)
        return [after, memory]


class GruOp(StandardOp):
    """Torch's gates are r, z, n; the standard's are z, r, n.

    The new gate needs its two halves apart. So that a step is one linear map all the same, they are
    columns of their own, each with zeros where the other has its weights.
    """

    kind = "GRU"
    gates = 3
    order = (1, 0, 2)

    def _attributes(self, directions: int) -> dict[str, Any]:
        del directions
        return {"linear_before_reset": 1}

    def stacked(self, read: Read, constant: int) -> tuple[Floats32, Floats32]:
        """As for every cell, but the columns are r, z, the input's half of n, the state's half."""
        weight, _ = super().stacked(read, constant)
        size = read("weight_hh").shape[1]
        halves = np.zeros((len(weight), 2 * size), dtype=np.float32)
        halves[:-size, :size] = weight[:-size, 2 * size :]
        halves[-size:, size:] = weight[-size:, 2 * size :]
        inner, outer = read("bias_ih"), read("bias_hh")
        both = inner[: 2 * size] + outer[: 2 * size]
        bias = np.concatenate([both, inner[2 * size :], outer[2 * size :]])
        return np.concatenate([weight[:, : 2 * size], halves], axis=1), bias

    def _after(self, graph: Builder, total: Tensor, state: Parts) -> Parts:
        (hidden,) = state
        size = hidden.size
        gates, new, recurrent = graph.split(total, 2 * size, size, size)
        reset, update = graph.split(graph.op("Sigmoid", gates), size, size)
        new = graph.op("Tanh", graph.op("Add", new, graph.op("Mul", reset, recurrent)))
        kept = graph.op("Mul", update, graph.op("Sub", hidden, new))
        return [graph.op("Add", new, kept, size=size, bound=1.0)]


CELL_OPS: dict[str, type[CellOp]] = {"lstm": LstmOp, "gru": GruOp, "rnn": RnnOp}
"""By the names that recipes use."""


_BEYOND = ("peephole", "coupled", "layer_norm")
"""The LSTM's options that its operators above do not have."""


def standard_op(options: recipe.Cell) -> type[CellOp] | None:
    """The operators written by hand for a cell with these options; None: there are none."""
    more = any(getattr(options, key, False) for key in _BEYOND)
    if more or getattr(options, "reset", "after") != "after":
        return None
    return CELL_OPS.get(options.kind)


def cell_op(options: recipe.Cell) -> CellOp:
    """The operators of a recipe's cell: written by hand, or else traced from its torch code."""
    if (kind := standard_op(options)) is not None:
        return kind(options)
    from seq2seq.inference.engines.onnx.traced import TracedOp

    return TracedOp(options)
