"""Attention as ONNX operators: the arithmetic of ``nn/attention.py`` and ``nn/heads.py``.

Shapes: A sentences under way, W rows of a sentence, N rows, S source length, D memory size, K key
size, n heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from seq2seq.inference.engines.onnx.builder import Builder, Tensor
from seq2seq.inference.engines.onnx.cells import Read
from seq2seq.recipe import model as recipe
from seq2seq.search.model import Floats32

ATTENTIONS = ("dot", "general", "additive")


def keys(graph: Builder, values: Tensor, options: recipe.Decoder, read: Read) -> Tensor:
    """What the scores need of the memory, (B, S, K), once a source; ``read`` gives the weights."""
    if options.attention == "dot":
        return values
    weight_DK = np.ascontiguousarray(read("key.weight").T)
    if graph.rounds(values):
        return graph.linear([values], weight_DK, None)
    return graph.op("MatMul", values, graph.constant(weight_DK), size=weight_DK.shape[1])


def attending(
    graph: Builder,
    options: recipe.Decoder,
    memory: Sequence[tuple[int, float | None]],
    read: Read,
) -> Callable[[Tensor], list[Tensor]]:
    """From queries (N, H) to contexts (N, D); the weights (N, S) become an output of the graph.

    The memory is told by the size and the bound of what it is made of: the encoder's outputs, and
    in a lexical model the source's words, which are weighed likewise and given apart.
    """
    memory_size, *_ = sizes = [one[0] for one in memory]
    values = graph.input("values", ["A", "S", sum(sizes)])
    size = memory_size if options.attention == "dot" else options.hidden
    keys_ASK = graph.input("keys", ["A", "S", size])
    mask = graph.input("mask", ["A", 1, "S"])
    row = graph.input("row", ["A", "W"], integer=True)
    place = graph.input("place", ["N"], integer=True)
    several = options.attention_heads > 1

    def gathered(table_AWX: Tensor) -> Tensor:
        flat = graph.op("Flatten", table_AWX, axis=2)
        return graph.op("Gather", flat, place, size=sum(sizes), bound=memory[0][1])

    def attend(query: Tensor) -> list[Tensor]:
        score = _scores_of_heads if several else _scores
        scores = score(graph, options, query, keys_ASK, row, read)
        weights = graph.op("Softmax", graph.op("Add", scores, mask), axis=-1)
        context = graph.op("MatMul", weights, values)
        if several:
            heads = options.attention_heads
            table = graph.op("Reshape", weights, _shape(graph, keys_ASK, 0, -1, heads))
            weights = graph.op("ReduceMean", table, graph.integers(2), keepdims=0)
            context = _own_numbers(graph, context, heads, sizes)
        graph.output(gathered(weights), "attention", ["N", "S"])
        if len(memory) == 1:
            return [gathered(context)]
        parts = graph.split(gathered(context), *sizes)
        return [replace(one, bound=bound) for one, (_, bound) in zip(parts, memory, strict=True)]

    return attend


def _scores(
    graph: Builder,
    options: recipe.Decoder,
    query: Tensor,
    keys_ASK: Tensor,
    row: Tensor,
    read: Read,
) -> Tensor:
    """(A, W, S), not normalized."""
    additive = options.attention == "additive"
    if additive:
        query = _mapped(graph, query, read("query.weight"), read("query.bias"))
    query = graph.op("Gather", query, row)
    if not additive:
        return graph.op("MatMul", query, graph.op("Transpose", keys_ASK, perm=[0, 2, 1]))
    hidden = _hidden(graph, query, keys_ASK)
    scores = graph.op("MatMul", hidden, graph.constant(read("energy.weight").T))
    return graph.op("Squeeze", scores, graph.integers(3))


def _scores_of_heads(
    graph: Builder,
    options: recipe.Decoder,
    query: Tensor,
    keys_ASK: Tensor,
    row: Tensor,
    read: Read,
) -> Tensor:
    """(A, W x n, S), not normalized: the heads of a row one after the other.

    A head takes part in whole products, with zeros for the others' numbers. That is more
    arithmetic, but a step's is little, and nothing large is moved about.
    """
    heads, size = options.attention_heads, options.hidden
    own_nK = np.repeat(np.eye(heads, dtype=np.float32), size // heads, axis=1)
    if options.attention == "additive":
        query = _mapped(graph, query, read("query.weight"), read("query.bias"))
        hidden = _hidden(graph, graph.op("Gather", query, row), keys_ASK)
        energy_nK = own_nK * np.tile(read("energy.weight"), heads)
        scores_AWSn = graph.op("MatMul", hidden, graph.constant(energy_nK.T))
        scores = graph.op("Transpose", scores_AWSn, perm=[0, 1, 3, 2])
        return graph.op("Reshape", scores, _shape(graph, keys_ASK, 0, -1))
    query = _mapped(graph, query, read("query.weight") / math.sqrt(size // heads), None)
    query = graph.op("Unsqueeze", graph.op("Gather", query, row), graph.integers(2))
    query = graph.op("Mul", query, graph.constant(own_nK))
    query = graph.op("Reshape", query, graph.integers(0, -1, size))
    return graph.op("MatMul", query, graph.op("Transpose", keys_ASK, perm=[0, 2, 1]))


def _own_numbers(graph: Builder, context: Tensor, heads: int, sizes: Sequence[int]) -> Tensor:
    """Contexts (A, W, D), of which each head gives its own numbers, from all of all heads.

    What stands behind them is the heads' mean.
    """
    size, total = sizes[0], sum(sizes)
    share_nX = np.full((heads, total), 1.0 / heads, dtype=np.float32)
    share_nX[:, :size] = np.arange(size) % heads == np.arange(heads)[:, None]
    table = graph.op("Reshape", context, graph.integers(0, -1, heads, total))
    own = graph.op("Mul", table, graph.constant(share_nX))
    return graph.op("ReduceSum", own, graph.integers(2), keepdims=0)


def _shape(graph: Builder, keys_ASK: Tensor, *first: int) -> Tensor:
    """A shape for a reshaping: some sizes, and S at the end."""
    width = graph.op("Shape", keys_ASK, start=1, end=2)
    return graph.op("Concat", graph.integers(*first), width, axis=0)


def _mapped(graph: Builder, x: Tensor, weight_YX: Floats32, bias_Y: Floats32 | None) -> Tensor:
    weight_XY = np.ascontiguousarray(weight_YX.T, dtype=np.float32)
    return graph.linear([x], weight_XY, bias_Y)


def _hidden(graph: Builder, query_AWK: Tensor, keys_ASK: Tensor) -> Tensor:
    """The hidden units of additive scores, (A, W, S, K)."""
    sums = graph.op(
        "Add",
        graph.op("Unsqueeze", query_AWK, graph.integers(2)),
        graph.op("Unsqueeze", keys_ASK, graph.integers(1)),
    )
    return graph.op("Tanh", sums)
