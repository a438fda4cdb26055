"""Encoder, bridge and decoder in numpy: the arithmetic of ``models/``, one step at a time.

Shapes: B sentences, N rows, S source length, T time, E embedding, H hidden, D memory size, G gates
x H.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seq2seq.inference.numpy_attention import (
    NUMPY_ATTENTIONS,
    NumpyAttention,
    NumpyMemory,
    Places,
)
from seq2seq.inference.numpy_cells import NUMPY_CELLS, NumpyCell, Read, State
from seq2seq.inference.numpy_weights import bridge_kind
from seq2seq.recipe import Model
from seq2seq.search.model import Floats32, Ints

Reading = Callable[[str], Read]
"""Gives the reader of a module's parameters."""


class NumpyEncoder:
    """As ``models/encoder.py``.

    Args:
        options: The recipe's model table.
        reading: Reads the model's parameters.
    """

    def __init__(self, options: Model, reading: Reading) -> None:
        encoder = options.encoder
        make = NUMPY_CELLS[encoder.cell.kind]
        directions = 2 if encoder.directions == "both" else 1
        self._layers = [
            [
                make(reading(f"encoder.stack.layers.{layer}.{direction}"), encoder.cell)
                for direction in range(directions)
            ]
            for layer in range(encoder.layers)
        ]
        self._residual = encoder.residual
        self._reverse = encoder.reverse

    def __call__(
        self, table_VE: Floats32, ids_BS: Ints, lengths_B: Ints
    ) -> tuple[Floats32, tuple[State, ...]]:
        """Encodes a right-padded batch.

        Args:
            table_VE: The source's embeddings.
            ids_BS: Token ids.
            lengths_B: Real tokens of each row, the longest S.

        Returns:
            Outputs (B, S, D), which are 0 at padding, and every layer's final state.
        """
        # Longest first: the rows that still run are then always the first ones, and padding costs
        # nothing.
        order_B = np.argsort(-lengths_B, kind="stable")
        lengths_B = lengths_B[order_B]
        times_T1 = np.arange(ids_BS.shape[1])[:, None]
        running_TB = times_T1 < lengths_B
        around_TB = np.where(running_TB, lengths_B - 1 - times_T1, times_T1)
        running_T = running_TB.sum(axis=1)

        def turned(x_TBX: Floats32) -> Floats32:
            return x_TBX[around_TB, np.arange(len(lengths_B))]

        x_TBX = table_VE[ids_BS[order_B].T]
        if self._reverse:
            x_TBX = turned(x_TBX)
        finals = []
        for layer, cells in enumerate(self._layers):
            outputs, final = cells[0].sequence(x_TBX, running_T)
            if len(cells) > 1:
                backward, after = cells[1].sequence(turned(x_TBX), running_T)
                outputs = np.concatenate([outputs, turned(backward)], axis=2)
                final = tuple(np.concatenate(p, axis=1) for p in zip(final, after, strict=True))
            # The first layer has no residual: its input is an embedding, not a state.
            x_TBX = x_TBX + outputs if self._residual and layer else outputs
            finals.append(final)
        if self._reverse:
            x_TBX = turned(x_TBX)
        back_B = np.argsort(order_B)
        memory_BSD = np.ascontiguousarray(x_TBX.transpose(1, 0, 2)[back_B])
        return memory_BSD, tuple(tuple(part[back_B] for part in final) for final in finals)


class NumpyBridge:
    """As ``models/bridge.py``.

    Args:
        options: The recipe's model table.
        reading: Reads the model's parameters.
    """

    def __init__(self, options: Model, reading: Reading) -> None:
        self._kind = bridge_kind(options)
        self._layers = options.decoder.layers
        self._parts = NUMPY_CELLS[options.decoder.cell.kind].parts
        self._size = options.decoder.hidden
        self._maps: dict[tuple[int, int], tuple[Floats32, Floats32]] = {}
        if self._kind == "linear":
            for layer in range(self._layers):
                for part in range(self._parts):
                    read = reading(f"bridge.maps.{layer}.{part}")
                    self._maps[layer, part] = (read("weight").T, read("bias"))

    def __call__(self, final: tuple[State, ...]) -> tuple[State, ...]:
        """Carries the states over.

        Args:
            final: The encoder's, a state a layer, each part (B, D).

        Returns:
            The decoder's, a state a layer, each part (B, H).
        """
        return tuple(self._layer(layer, final) for layer in range(self._layers))

    def _layer(self, layer: int, final: tuple[State, ...]) -> State:
        below = final[layer] if len(final) == self._layers else final[-1]
        sources = [below[part] if part < len(below) else below[0] for part in range(self._parts)]
        if self._kind == "zero":
            return tuple(np.zeros((len(part), self._size), np.float32) for part in sources)
        if self._kind == "copy":
            return tuple(sources)
        return tuple(self._mapped(layer, part, source) for part, source in enumerate(sources))

    def _mapped(self, layer: int, part: int, source: Floats32) -> Floats32:
        weight, bias = self._maps[layer, part]
        mapped: Floats32 = np.tanh(source @ weight + bias)
        return mapped


@dataclass(frozen=True)
class DecoderState:
    """All that a decoder remembers between steps. A value, as in ``models/decoder.py``.

    Attributes:
        layers: A state a layer, each part (N, H).
        fed: The last output (N, E), with input feeding.
    """

    layers: tuple[State, ...]
    fed: Floats32 | None

    def select(self, index_N: Ints) -> DecoderState:
        """Reorders, repeats or drops rows.

        Args:
            index_N: Which old row each new row is.

        Returns:
            A state of N rows.
        """
        layers = tuple(tuple(part.take(index_N, axis=0) for part in s) for s in self.layers)
        return DecoderState(layers, None if self.fed is None else self.fed.take(index_N, axis=0))


@dataclass(frozen=True)
class Given:
    """What a decoder is given of the sources at every step.

    State feeding gives the encoder's final state to every step. Multiplied with its weights once a
    sentence, it is a bias of its own for each row.

    Attributes:
        places: Which sentence each row translates, with an attention.
        memory: The memory of the sentences in ``places``.
        cell_bias_NG: The first layer's bias, with state feeding.
        readout_bias_NE: The readout's bias, with state feeding.
    """

    places: Places | None
    memory: NumpyMemory | None
    cell_bias_NG: Floats32 | None
    readout_bias_NE: Floats32 | None


class NumpyDecoder:
    """As ``models/decoder.py``.

    Args:
        options: The recipe's model table.
        reading: Reads the model's parameters.
    """

    def __init__(self, options: Model, reading: Reading) -> None:
        decoder, make = options.decoder, NUMPY_CELLS[options.decoder.cell.kind]
        summary = options.encoder.hidden if decoder.state_feeding else 0
        self._cells: list[NumpyCell] = [
            make(
                reading(f"decoder.stack.layers.{layer}.0"),
                decoder.cell,
                constant=0 if layer else summary,
            )
            for layer in range(decoder.layers)
        ]
        self.attention: NumpyAttention | None = None
        if decoder.attention != "none":
            self.attention = NUMPY_ATTENTIONS[decoder.attention](reading("decoder.attention"))
        self._feeding = decoder.feeding
        self._residual = decoder.residual
        self._state_feeding = decoder.state_feeding
        read = reading("decoder.readout")
        readout = np.ascontiguousarray(read("weight").T)
        self._readout, self._summary = np.split(readout, [len(readout) - summary])
        self._readout_bias_E = read("bias")

    def start(self, layers: tuple[State, ...]) -> DecoderState:
        """The state before the first token.

        Args:
            layers: What the bridge carried over, each part (N, H).

        Returns:
            The state.
        """
        fed = None
        if self._feeding == "input":
            fed = np.zeros((len(layers[0][0]), len(self._readout_bias_E)), dtype=np.float32)
        return DecoderState(layers, fed)

    def given(self, outputs_BSD: Floats32, lengths_B: Ints, summary_BD: Floats32) -> Given:
        """Prepares what the sources give to every step.

        Args:
            outputs_BSD: The encoder's outputs.
            lengths_B: Real tokens of each source.
            summary_BD: The encoder's final output.

        Returns:
            It, with one row a sentence.
        """
        places, memory, cell_bias, readout_bias = None, None, None, None
        if self.attention is not None:
            memory = NumpyMemory(outputs_BSD, self.attention.keys(outputs_BSD), lengths_B)
            places = Places.of(np.arange(len(lengths_B)))
        if self._state_feeding:
            cell_bias = self._cells[0].bias_of(summary_BD)
            readout_bias = summary_BD @ self._summary + self._readout_bias_E
        return Given(places, memory, cell_bias, readout_bias)

    def step(
        self, x_NE: Floats32, state: DecoderState, given: Given
    ) -> tuple[Floats32, DecoderState, Floats32 | None]:
        """One step.

        Args:
            x_NE: The embeddings of the last tokens.
            state: The state before.
            given: What the sources give to these rows.

        Returns:
            The readout (N, E), the state after, and the attention's weights (N, S).
        """
        first = [x_NE] if state.fed is None else [x_NE, state.fed]
        layers = [self._cells[0].step(first, state.layers[0], given.cell_bias_NG)]
        outputs, context, weights = layers[0][0], None, None
        if self._feeding == "upper":
            context, weights = self._attend(outputs, given)
        for cell, before in zip(self._cells[1:], state.layers[1:], strict=True):
            after = cell.step(_present(outputs, context), before)
            outputs = outputs + after[0] if self._residual else after[0]
            layers.append(after)
        if self.attention is not None and context is None:
            context, weights = self._attend(outputs, given)
        readout = np.concatenate(_present(outputs, context), axis=1) @ self._readout
        bias_NE = given.readout_bias_NE
        readout += self._readout_bias_E if bias_NE is None else bias_NE
        np.tanh(readout, out=readout)
        fed = readout if self._feeding == "input" else None
        return readout, DecoderState(tuple(layers), fed), weights

    def _attend(self, query_NH: Floats32, given: Given) -> tuple[Floats32, Floats32]:
        assert self.attention is not None
        assert given.memory is not None
        assert given.places is not None
        return self.attention(query_NH, given.memory, given.places)


def _present(outputs: Floats32, context: Floats32 | None) -> Sequence[Floats32]:
    return [outputs] if context is None else [outputs, context]
