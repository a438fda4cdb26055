"""Recurrent cells in numpy, for translating without torch: the arithmetic of ``nn/cells.py``.

Only the built-in cells are here. Their weights are laid out for speed when they are read: input and
recurrent matrices stand above each other, so that one step is one matrix product, and transposed,
which is what BLAS multiplies fastest from few rows on.

Shapes: B batch, T time, N rows, E input size, H hidden size, G gates x H.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from seq2seq.inference.numpy_matrix import Matrix
from seq2seq.search.model import Floats32, Ints

State = tuple[Floats32, ...]
"""As in ``nn/cells.py``: part 0 is the output h; a value, never changed."""

Read = Callable[[str], Floats32]
"""Gives the parameter of a name."""

# So many tokens' gates are computed at once: enough for a fast matrix product, small in memory.
_TOKENS_AT_ONCE = 1024


class NumpyCell(ABC):
    """One recurrent layer in one direction.

    Args:
        read: Reads the cell's parameters.
        options: The recipe's table for this cell.
        constant: How many of the last inputs stay the same in all steps of a row.
    """

    gates: ClassVar[int] = 1
    parts: ClassVar[int] = 1  # arrays in the state

    def __init__(self, read: Read, options: Any, constant: int = 0) -> None:
        del options
        weight_ih, weight_hh = read("weight_ih"), read("weight_hh")
        inputs = weight_ih.shape[1]
        self.hidden_size = weight_hh.shape[1]
        self._changing = inputs - constant
        stacked = np.empty((inputs + self.hidden_size, len(weight_hh)), dtype=np.float32)
        # The constant inputs go first, so that the rest and the state lie together.
        stacked[:constant] = weight_ih.T[self._changing :]
        stacked[constant:inputs] = weight_ih.T[: self._changing]
        stacked[inputs:] = weight_hh.T
        self.bias_G, recurrent_bias_G = read("bias_ih"), read("bias_hh")
        self._arrange(stacked, recurrent_bias_G)
        self._constant = stacked[:constant]
        self._step = stacked[constant:]
        self._recurrent = Matrix(self._step[self._changing :])

    def _arrange(self, stacked: Floats32, recurrent_bias_G: Floats32) -> None:
        """Takes the second bias in and brings the gates into the cell's own order."""
        del stacked
        self.bias_G = self.bias_G + recurrent_bias_G

    def bias_of(self, constant_NX: Floats32) -> Floats32:
        """What the constant inputs and the bias give to every step of a row.

        Args:
            constant_NX: The last inputs of each row.

        Returns:
            (N, G), for ``step``.
        """
        bias: Floats32 = constant_NX @ self._constant + self.bias_G
        return bias

    @abstractmethod
    def step(
        self, inputs: Sequence[Floats32], state: State, bias_NG: Floats32 | None = None
    ) -> State:
        """One time step.

        Args:
            inputs: The inputs, (N, E) when joined, without the constant ones.
            state: The state before, each part (N, H).
            bias_NG: From ``bias_of``; None: there are no constant inputs.

        Returns:
            The state after.
        """

    @abstractmethod
    def recur(self, projected_NG: Floats32, state: State) -> State:
        """The recurrent half of a step.

        Args:
            projected_NG: The input half with its bias; may be overwritten.
            state: The state before, each part (N, H).

        Returns:
            The state after.
        """

    def sequence(self, x_TBE: Floats32, running_T: Ints) -> tuple[Floats32, State]:
        """Runs over a batch from zero states.

        Args:
            x_TBE: Inputs, the rows sorted by length, longest first.
            running_T: How many rows are that long or longer, for each step.

        Returns:
            Outputs (T, B, H), 0 at padding, and each row's state after its last real step.
        """
        steps, batch, inputs = x_TBE.shape
        outputs = np.zeros((steps, batch, self.hidden_size), dtype=np.float32)
        state: State = (outputs[0],) * self.parts  # zeros until the first step is stored
        weight = self._step[: self._changing]
        block = max(1, _TOKENS_AT_ONCE // batch)
        for start in range(0, steps, block):
            projected = x_TBE[start : start + block].reshape(-1, inputs) @ weight
            projected += self.bias_G
            for t, rows in enumerate(running_T[start : start + block].tolist(), start):
                here = projected[(t - start) * batch :][:rows]
                after = self.recur(here, tuple(part[:rows] for part in state))
                outputs[t, :rows] = after[0]
                if rows < batch:  # the others are finished and keep what they have
                    after = tuple(
                        np.concatenate([new, old[rows:]])
                        for new, old in zip(after, state, strict=True)
                    )
                state = after
        return outputs, state


class _JointCell(NumpyCell):
    """A cell whose gates see input and state as one sum: one matrix product a step."""

    def __init__(self, read: Read, options: Any, constant: int = 0) -> None:
        super().__init__(read, options, constant)
        self._joint = Matrix(self._step)

    def step(
        self, inputs: Sequence[Floats32], state: State, bias_NG: Floats32 | None = None
    ) -> State:
        total = self._joint.times(np.concatenate([*inputs, state[0]], axis=1))
        total += self.bias_G if bias_NG is None else bias_NG
        return self._gated(total, state)

    def recur(self, projected_NG: Floats32, state: State) -> State:
        projected_NG += self._recurrent.times(state[0])
        return self._gated(projected_NG, state)

    @abstractmethod
    def _gated(self, total_NG: Floats32, state: State) -> State:
        """The state after, from the gates' sums, which may be overwritten."""


class NumpyRnn(_JointCell):
    """h' = f(W x + U h + b)."""

    def __init__(self, read: Read, options: Any, constant: int = 0) -> None:
        super().__init__(read, options, constant)
        self._relu: bool = options.activation == "relu"

    def _gated(self, total_NG: Floats32, state: State) -> State:
        del state
        if self._relu:
            return (np.maximum(total_NG, np.float32(0.0)),)
        return (np.tanh(total_NG),)


class NumpyLstm(_JointCell):
    """Gates in the order i, f, o, g, so that the three sigmoids lie together.

    sigmoid(x) = (1 + tanh(x / 2)) / 2: with half the weights in i, f and o, one tanh over all gates
    is all that a step asks of the slow functions, but for the tanh of c.
    """

    gates: ClassVar[int] = 4
    parts: ClassVar[int] = 2

    def _arrange(self, stacked: Floats32, recurrent_bias_G: Floats32) -> None:
        size = self.hidden_size
        bias_1G = (self.bias_G + recurrent_bias_G)[None]
        for weight in (stacked, bias_1G):
            new, leave = weight[:, 2 * size : 3 * size].copy(), weight[:, 3 * size :]
            weight[:, 2 * size : 3 * size] = leave
            weight[:, 3 * size :] = new
            weight[:, : 3 * size] *= np.float32(0.5)
        self.bias_G = bias_1G[0]

    def _gated(self, total_NG: Floats32, state: State) -> State:
        size, half = self.hidden_size, np.float32(0.5)
        np.tanh(total_NG, out=total_NG)
        total_NG[:, : 3 * size] += np.float32(1.0)
        enter, forget = total_NG[:, :size], total_NG[:, size : 2 * size]
        leave, new = total_NG[:, 2 * size : 3 * size], total_NG[:, 3 * size :]
        memory = forget * state[1]
        new *= enter
        memory += new
        memory *= half
        hidden = np.tanh(memory)
        hidden *= leave
        hidden *= half
        return hidden, memory


class NumpyGru(NumpyCell):
    """The new gate needs its two halves apart, so a step takes two matrix products."""

    gates: ClassVar[int] = 3

    def __init__(self, read: Read, options: Any, constant: int = 0) -> None:
        super().__init__(read, options, constant)
        self._input = Matrix(self._step[: self._changing])

    def _arrange(self, stacked: Floats32, recurrent_bias_G: Floats32) -> None:
        size = 2 * self.hidden_size
        self.bias_G = self.bias_G.copy()
        self.bias_G[:size] += recurrent_bias_G[:size]
        self._new_bias_H = recurrent_bias_G[size:].copy()
        for weight in (stacked, self.bias_G[None]):
            weight[:, :size] *= np.float32(0.5)  # sigmoids by tanh, as in the LSTM

    def step(
        self, inputs: Sequence[Floats32], state: State, bias_NG: Floats32 | None = None
    ) -> State:
        x_NE = np.concatenate(inputs, axis=1) if len(inputs) > 1 else inputs[0]
        projected = self._input.times(x_NE)
        projected += self.bias_G if bias_NG is None else bias_NG
        return self.recur(projected, state)

    def recur(self, projected_NG: Floats32, state: State) -> State:
        (hidden,), size, half = state, self.hidden_size, np.float32(0.5)
        recurrent = self._recurrent.times(hidden)
        gates = projected_NG[:, : 2 * size]
        gates += recurrent[:, : 2 * size]
        np.tanh(gates, out=gates)
        gates += np.float32(1.0)
        gates *= half
        reset, update = gates[:, :size], gates[:, size:]
        new = recurrent[:, 2 * size :]
        new += self._new_bias_H
        new *= reset
        new += projected_NG[:, 2 * size :]
        new = np.tanh(new)
        after = hidden - new
        after *= update
        after += new
        return (after,)


NUMPY_CELLS: dict[str, type[NumpyCell]] = {"lstm": NumpyLstm, "gru": NumpyGru, "rnn": NumpyRnn}
"""By the names that recipes use."""
