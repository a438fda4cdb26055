"""The network as two ONNX graphs: the encoder, and one step of the decoder with its best tokens.

They are built from a recipe and the weights by parameter name, and need no torch. What
is the same for a whole source (keys, mask, the biases of state feeding) is made by the encoder's
graph; the step's graph moves the rows, feeds a token, and chooses.

Shapes: B sentences, A sentences under way, W rows of a sentence, N rows, S source length, E
embedding, H hidden, D memory size, K key size, G gates x H, V vocabulary, k candidates a row.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

import numpy as np
import onnx

from seq2seq.errors import ModelError
from seq2seq.ids import SUPPRESSED
from seq2seq.inference.engines.onnx import attention, features_name
from seq2seq.inference.engines.onnx.builder import Builder, Precision, Tensor
from seq2seq.inference.engines.onnx.cells import Parts, cell_op
from seq2seq.recipe import Model
from seq2seq.recipe.model import SHORTEST
from seq2seq.search.model import Floats32

Weights = Mapping[str, Floats32]

# The tokens that the graph never chooses have the first ids: what is left is one slice of columns.
SPECIAL = len(SUPPRESSED)

SOURCE_TABLE = "encoder.embedding.table.weight"
TARGET_TABLE = "decoder.embedding.table.weight"

_FIRST = "decoder.stack.layers.0.0"
_DIRECTIONS = {"forward": 1, "both": 2}


class _Weights(dict[str, Floats32]):
    """Weights by name; one that is missing is a ModelError."""

    def __missing__(self, name: str) -> Floats32:
        raise ModelError(f"the weights lack {name}; recipe.toml and weights must be of one run")


class OnnxNetwork:
    """A translation model's graphs.

    The weights go by the names that torch gives them, each shared one under its first name. It is a
    ModelError if the model has a part that only torch knows, and when a graph is made, if a weight
    is missing.
    """

    def __init__(self, options: Model, weights: Weights) -> None:
        check_supported(options)
        self.options = options
        self._weights = _Weights(weights)
        encoder, decoder = options.encoder, options.decoder
        self._summary = encoder.hidden if decoder.state_feeding else 0
        self._encoder_cell = cell_op(encoder.cell)
        self._decoder_cell = cell_op(decoder.cell)
        bound, sums = self._encoder_cell.bound, encoder.layers if encoder.residual else 1
        self._memory_bound = None if bound is None else sums * bound
        # The first state is what the bridge makes: tanh, zeros, or what the encoder's cell gives.
        first = bound if self._bridge_kind() == "copy" else 1.0
        self._state_bound = _joint(max, self._decoder_cell.bound, first)

    def encoder(self, precision: Precision) -> onnx.ModelProto:
        """The graph that reads sources, with an LSTM and keys in the precision given.

        Its inputs are ``ids`` (B, S) and ``lengths`` (B,). Its outputs are ``state_0`` and so on,
        every part of every decoder layer's first state (B, H); with an attention ``values`` (B, S,
        D; in a lexical model D + the embeddings, which stand behind), ``keys`` (B, S, K) and
        ``mask`` (B, 1, S), which is -inf at padding; with state feeding ``cell_bias`` (B, G) and
        ``readout_bias`` (B, E).
        """
        graph = Builder(precision)
        ids = graph.input("ids", ["B", "S"], integer=True)
        lengths = graph.input("lengths", ["B"], integer=True)
        options = self.options.encoder
        if options.reverse:
            ids = graph.op("ReverseSequence", ids, lengths, batch_axis=0, time_axis=1)
        table = self._weights[SOURCE_TABLE]
        real = graph.op("Cast", lengths, to=onnx.TensorProto.INT32)
        sizes = {"size": table.shape[1], "bound": float(np.abs(table).max())}
        embedded = graph.op("Gather", graph.constant(table), ids, **sizes)
        x = graph.op("Transpose", embedded, perm=[1, 0, 2], **sizes)
        finals = []
        for layer in range(options.layers):
            outputs, final = self._encoder_layer(graph, layer, x, real)
            # The first layer has no residual: its input is an embedding, not a state.
            if options.residual and layer:
                bound = _joint(operator.add, x.bound, outputs.bound)
                outputs = graph.op("Add", x, outputs, size=options.hidden, bound=bound)
            x = outputs
            finals.append(final)
        if options.reverse:
            x = graph.op("ReverseSequence", x, lengths, batch_axis=1, time_axis=0)
            embedded = graph.op("ReverseSequence", embedded, lengths, batch_axis=0, time_axis=1)
        bound = self._memory_bound
        values = graph.op("Transpose", x, perm=[1, 0, 2], size=options.hidden, bound=bound)
        for number, part in enumerate(self._bridge(graph, finals)):
            graph.output(part, f"state_{number}", ["B", self.options.decoder.hidden])
        words = [embedded] if self.options.lexical else []
        self._given(graph, values, words, real, finals[-1][0])
        return graph.model()

    def _encoder_layer(
        self, graph: Builder, layer: int, x: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Parts]:
        options = self.options.encoder
        directions = _DIRECTIONS[options.directions]
        reads = [
            self._reading(f"encoder.stack.layers.{layer}.{direction}")
            for direction in range(directions)
        ]
        every, finals = self._encoder_cell.sequence(
            graph, x, lengths, reads, options.hidden // directions
        )  # (S, directions, B, H) and (directions, B, H)
        shape = graph.integers(0, 0, options.hidden)
        outputs = graph.op("Transpose", every, perm=[0, 2, 1, 3])
        bound = self._encoder_cell.bound
        outputs = graph.op("Reshape", outputs, shape, size=options.hidden, bound=bound)
        shape = graph.integers(0, options.hidden)
        joined = [graph.op("Transpose", final, perm=[1, 0, 2]) for final in finals]
        final = [graph.op("Reshape", part, shape, size=options.hidden) for part in joined]
        return outputs, final

    def _bridge(self, graph: Builder, finals: list[Parts]) -> Parts:
        """As ``models/bridge.py``: every part of every decoder layer's state, in order."""
        kind, layers = self._bridge_kind(), self.options.decoder.layers
        made = []
        for layer in range(layers):
            below = finals[layer] if len(finals) == layers else finals[-1]
            for part in range(self._decoder_cell.parts):
                source = below[part] if part < len(below) else below[0]
                made.append(self._bridged(graph, kind, layer, part, source))
        return made

    def _bridge_kind(self) -> str:
        """What ``bridge = "auto"`` comes to, as ``models/bridge.py`` has it."""
        encoder, decoder = self.options.encoder, self.options.decoder
        parts = self._encoder_cell.parts, self._decoder_cell.parts
        fits = encoder.hidden == decoder.hidden and parts[0] >= parts[1]
        if self.options.bridge == "auto":
            return "copy" if fits else "linear"
        return self.options.bridge

    def _bridged(self, graph: Builder, kind: str, layer: int, part: int, source: Tensor) -> Tensor:
        if kind == "copy":
            return source
        if kind == "linear":
            mapped = self._map(graph, [source], f"bridge.maps.{layer}.{part}")
            return graph.op("Tanh", mapped)
        rows = graph.op("Shape", source, start=0, end=1)
        shape = graph.op("Concat", rows, graph.integers(self.options.decoder.hidden), axis=0)
        return graph.op("ConstantOfShape", shape)

    def _given(
        self,
        graph: Builder,
        values: Tensor,
        words: list[Tensor],
        lengths: Tensor,
        summary: Tensor,
    ) -> None:
        """What the sources give to every step."""
        decoder = self.options.decoder
        if decoder.attention != "none":
            keys = attention.keys(graph, values, decoder, self._reading("decoder.attention"))
            width = values.size + sum(one.size for one in words)
            graph.output(_mask(graph, values, lengths), "mask", ["B", 1, "S"])
            graph.output(graph.joined([values, *words]), "values", ["B", "S", width])
            graph.output(keys, "keys", ["B", "S", keys.size])
        if self._summary:
            given = self._decoder_cell.given(graph, summary, self._reading(_FIRST))
            graph.output(given, "cell_bias", ["B", given.size])
            weight, bias_E = self._readout()
            bias = graph.linear([summary], weight[-self._summary :], bias_E)
            graph.output(bias, "readout_bias", ["B", len(bias_E)])

    def step(self, precision: Precision, *, chooses: bool = True) -> onnx.ModelProto:
        """The graph of one step, with linear maps in the precision given.

        Its inputs are ``parent`` (N,), the row that each new row goes on from; ``token`` (N,);
        ``k`` (1,); ``state_0`` and so on; with an attention ``values``, ``keys`` and ``mask`` of
        the sentences under way, ``row`` (A, W), which new row stands at each place of each sentence
        (0 where none does), and ``place`` (N,), at which of A x W places each row stands; with
        state feeding ``cell_bias``, ``readout_bias`` and ``sentence`` (N,), whose of them each row
        takes; with input feeding ``fed`` (N, E).

        Its outputs are ``log_probs`` and ``tokens``: the k best of each row (N, k), special tokens
        left out; where ``k`` is 0, the log-probabilities of all tokens (N, V) and no tokens. For a
        shortlist the graph does not choose, and has neither these outputs nor ``k`` nor the output
        layer. Besides them ``readout`` (N, E), which with input feeding is what is fed next, the
        new states ``next_0`` and so on, and with an attention ``attention`` (N, S). For a shortlist
        of a model that has more to give to the output layer than a readout, ``features`` (N, F).
        """
        graph = Builder(precision)
        parent = graph.input("parent", ["N"], integer=True)
        token = graph.input("token", ["N"], integer=True)
        table = self._weights[self._target_table]
        x = graph.op(
            "Gather",
            graph.constant(table),
            token,
            size=table.shape[1],
            bound=float(np.abs(table).max()),
        )
        joined, words, states = self._layers(graph, parent, [x])
        readout = self._read(graph, joined)
        features = [readout, *(self._said(graph, one) for one in words)]
        if chooses:
            log_probs, tokens = self._choice(graph, features)
            graph.output(log_probs, "log_probs", ["N", "C"])
            graph.output(tokens, "tokens", ["N", "k"], integer=True)
        elif features_name(self.options) == "features":
            whole = graph.joined(self._scaled(graph, features))
            graph.output(whole, "features", ["N", whole.size])
        graph.output(readout, "readout", ["N", readout.size])
        for number, part in enumerate(states):
            graph.output(part, f"next_{number}", ["N", self.options.decoder.hidden])
        return graph.model()

    def _layers(
        self, graph: Builder, parent: Tensor, inputs: list[Tensor]
    ) -> tuple[list[Tensor], list[Tensor], Parts]:
        """What the readout reads, a lexical model's words, and all states' parts after the step."""
        decoder, cell = self.options.decoder, self._decoder_cell
        attend = None
        if decoder.attention != "none":
            attend = attention.attending(
                graph, decoder, self._memory(), self._reading("decoder.attention")
            )
        if decoder.feeding == "input":
            fed = graph.input("fed", ["M", decoder.embedding], bound=1.0)
            inputs = [*inputs, graph.op("Gather", fed, parent, size=fed.size, bound=1.0)]
        states: Parts = []
        outputs: Tensor | None = None
        context: list[Tensor] = []  # and words
        for layer in range(decoder.layers):
            before = [
                self._moved(graph, layer * cell.parts + part, parent) for part in range(cell.parts)
            ]
            below = inputs if outputs is None else [outputs, *context[:1]]
            read = self._reading(f"decoder.stack.layers.{layer}.0")
            after = cell.step(graph, below, before, read, self._given_to_cell(graph, layer))
            if outputs is None or not decoder.residual:
                outputs = after[0]
            else:
                bound = _joint(operator.add, outputs.bound, after[0].bound)
                outputs = graph.op("Add", outputs, after[0], size=decoder.hidden, bound=bound)
            states += after
            if attend is not None and layer == 0 and decoder.feeding == "upper":
                context = attend(outputs)
        assert outputs is not None
        if attend is not None and not context:
            context = attend(outputs)
        return [outputs, *context[:1]], context[1:], states

    def _memory(self) -> list[tuple[int, float | None]]:
        """The size and the bound of what is attended to."""
        memory: list[tuple[int, float | None]] = [(self.options.encoder.hidden, self._memory_bound)]
        if self.options.lexical:
            table = self._weights[SOURCE_TABLE]
            memory.append((table.shape[1], float(np.abs(table).max())))
        return memory

    def _moved(self, graph: Builder, number: int, parent: Tensor) -> Tensor:
        size = self.options.decoder.hidden
        # Only the output part, the first, is read by linear maps.
        bound = self._state_bound if number % self._decoder_cell.parts == 0 else None
        before = graph.input(f"state_{number}", ["M", size])
        return graph.op("Gather", before, parent, size=size, bound=bound)

    def _given_to_cell(self, graph: Builder, layer: int) -> Tensor | None:
        """What the summary gives to the cell, for each row; None: the layer does not read it."""
        if layer or not self._summary:
            return None
        size = self._decoder_cell.given_size(self._reading(_FIRST), self._summary)
        sentence = graph.input("sentence", ["N"], integer=True)
        given = graph.input("cell_bias", ["B", size])
        return graph.op("Gather", given, sentence, size=size, bound=self._encoder_cell.bound)

    def _read(self, graph: Builder, joined: list[Tensor]) -> Tensor:
        weight, bias = self._readout()
        if not self._summary:
            return graph.op("Tanh", graph.linear(joined, weight, bias), size=len(bias), bound=1.0)
        total = graph.linear(joined, weight[: -self._summary], None)
        biases = graph.input("readout_bias", ["B", len(bias)])
        own = graph.op("Gather", biases, "sentence")
        return graph.op("Tanh", graph.op("Add", total, own), size=len(bias), bound=1.0)

    def _said(self, graph: Builder, words: Tensor) -> Tensor:
        """What a lexical model's words give to the output layer."""
        seen = graph.op("Tanh", words, size=words.size, bound=1.0)
        weight = np.ascontiguousarray(self._weights["decoder.lexical.weight"].T)
        mapped = graph.op("Tanh", graph.linear([seen], weight, None))
        return graph.op("Add", mapped, seen, size=seen.size, bound=2.0)

    def _scaled(self, graph: Builder, features: list[Tensor]) -> list[Tensor]:
        return [
            x if scale is None else graph.op("Mul", x, scale, size=x.size)
            for x, scale in zip(features, self._scales(graph, features), strict=True)
        ]

    def _scales(self, graph: Builder, features: list[Tensor]) -> list[Tensor | None]:
        """What makes each of the features as long as the output layer has it; None: it is."""
        if self.options.output.kind != "fixnorm":
            return [None] * len(features)
        radius, least = (
            graph.constant(np.array(one, np.float32))
            for one in (self.options.output.radius, SHORTEST)
        )
        last = graph.integers(-1)
        lengths = [graph.op("ReduceL2", x, last, keepdims=1) for x in features]
        return [graph.op("Div", radius, graph.op("Max", one, least)) for one in lengths]

    def _logits(
        self, graph: Builder, features: list[Tensor], weight_FV: Floats32, bias_V: Floats32
    ) -> Tensor:
        """Of some tokens; in 8 bits, which want a bound, what is scaled is so after the product."""
        scales = self._scales(graph, features)
        if scales[0] is None or graph.precision == "float32":
            return graph.linear(self._scaled(graph, features), weight_FV, bias_V)
        ends = np.cumsum([x.size for x in features])[:-1]
        total: Tensor | str = graph.constant(bias_V)
        for x, scale, rows in zip(features, scales, np.split(weight_FV, ends), strict=True):
            assert scale is not None
            product = graph.linear([x], np.ascontiguousarray(rows), None)
            total = graph.op("Add", graph.op("Mul", product, scale), total, size=len(bias_V))
        assert isinstance(total, Tensor)
        return total

    def _choice(self, graph: Builder, features: list[Tensor]) -> list[Tensor]:
        """The best of all tokens but the special ones, or the log-probabilities of all."""
        k = graph.input("k", [1], integer=True)
        table, bias = self.output_layer()
        weight = np.ascontiguousarray(table.T)
        special = graph.op(
            "Gemm",
            graph.joined(self._scaled(graph, features)),
            graph.constant(weight[:, :SPECIAL]),
            graph.constant(bias[:SPECIAL]),
            size=SPECIAL,
        )
        rest = self._logits(graph, features, weight[:, SPECIAL:], bias[SPECIAL:])

        # Normalized by one fused operator among themselves, then once more with the special tokens:
        # to go over all tokens for a maximum, differences, powers and a sum took 1.7 times as long.
        best = graph.part()
        shares = best.op("LogSoftmax", rest, axis=-1)
        values, places = best.ops("TopK", shares, k, sizes=[0, 0], axis=-1)
        first = [best.op("Slice", x, *map(best.integers, (0, 1, -1))) for x in (places, values)]
        logit = best.op("GatherElements", rest, first[0], axis=-1)
        chosen = best.op("Sub", logit, first[1])  # the logarithm of their sum
        total = _log_sum_exp(best, best.op("Concat", special, chosen, axis=-1))
        values = best.op("Add", values, best.op("Sub", chosen, total))
        best.output(values, "best_log_probs", ["N", "k"])
        tokens = best.op("Add", places, best.integers(SPECIAL))
        best.output(tokens, "best_tokens", ["N", "k"], integer=True)

        every = graph.part()
        logits = every.op("Concat", special, rest, axis=-1)
        every.output(every.op("LogSoftmax", logits, axis=-1), "all_log_probs", ["N", "V"])
        none = every.op("ConstantOfShape", every.integers(0, 0), value=_zero())
        every.output(none, "no_tokens", ["Z", "Z"], integer=True)
        wanted = graph.op("Cast", graph.op("Squeeze", k), to=onnx.TensorProto.BOOL)
        return graph.branch(wanted, best, every)

    def output_layer(self) -> tuple[Floats32, Floats32]:
        """The output layer: the matrix (V, F) and the bias (V,)."""
        table = "output.weight" if self.options.tie == "none" else self._target_table
        parts = [self._weights[table]]
        if self.options.lexical:
            parts.append(self._weights["output.words.weight"])
        if self.options.output.kind == "fixnorm":
            radius = self.options.output.radius
            lengths = [np.linalg.norm(one, axis=1, keepdims=True) for one in parts]
            both = zip(parts, lengths, strict=True)
            parts = [radius * one / np.maximum(length, SHORTEST) for one, length in both]
        matrix = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return matrix.astype(np.float32, copy=False), self._weights["output.bias"]

    @property
    def _target_table(self) -> str:
        return SOURCE_TABLE if self.options.tie == "all" else TARGET_TABLE

    def _readout(self) -> tuple[Floats32, Floats32]:
        read = self._reading("decoder.readout")
        return np.ascontiguousarray(read("weight").T), read("bias")

    def _map(self, graph: Builder, inputs: list[Tensor], name: str) -> Tensor:
        read = self._reading(name)
        return graph.linear(inputs, np.ascontiguousarray(read("weight").T), read("bias"))

    def _reading(self, prefix: str) -> Callable[[str], Floats32]:
        return lambda name: self._weights[f"{prefix}.{name}"]


def check_supported(options: Model) -> None:
    """Refuses (``ModelError``) models that have a part with no ONNX operators."""
    kind, known = options.decoder.attention, ("none", *attention.ATTENTIONS)
    if kind not in known:
        raise ModelError(
            f"this model's attention {kind!r} cannot be exported: translate the run itself, by the "
            f"engine 'torch'; attentions that can be are {', '.join(known)}"
        )


def _joint(
    join: Callable[[float, float], float], one: float | None, other: float | None
) -> float | None:
    return None if one is None or other is None else join(one, other)


def _zero() -> onnx.TensorProto:
    return onnx.helper.make_tensor("zero", onnx.TensorProto.INT64, [1], [0])


def _log_sum_exp(graph: Builder, x: Tensor) -> Tensor:
    """Over the last axis, which stays; the operator of that name takes six times as long."""
    last = graph.integers(-1)
    greatest = graph.op("ReduceMax", x, last, keepdims=1)
    powers = graph.op("Exp", graph.op("Sub", x, greatest))
    total = graph.op("ReduceSum", powers, last, keepdims=1)
    return graph.op("Add", graph.op("Log", total), greatest, size=1)


def _mask(graph: Builder, values: Tensor, lengths: Tensor) -> Tensor:
    """(B, 1, S): 0 where a source token is, -inf at padding."""
    width = graph.op("Gather", graph.op("Shape", values), graph.constant(np.array(1, np.int64)))
    zero, one = (graph.constant(np.array(n, np.int64)) for n in (0, 1))
    places = graph.op("Cast", graph.op("Range", zero, width, one), to=onnx.TensorProto.INT32)
    ends = graph.op("Unsqueeze", lengths, graph.integers(1, 2))
    real = graph.op("Less", graph.op("Unsqueeze", places, graph.integers(0, 1)), ends)
    return graph.op(
        "Where",
        real,
        graph.constant(np.array(0.0, np.float32)),
        graph.constant(np.array(-np.inf, np.float32)),
    )
