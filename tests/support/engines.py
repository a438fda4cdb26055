"""What every engine is held to: models with every option, and steps that move rows every way."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from support.models import cell_options, cell_variants, model_options, randomize

from seq2seq.errors import ModelError
from seq2seq.ids import BOS, EOS
from seq2seq.inference.engines.onnx import OnnxEngine, open_session
from seq2seq.inference.engines.onnx.builder import Precision
from seq2seq.inference.engines.onnx.cells import standard_op
from seq2seq.inference.engines.onnx.network import OnnxNetwork
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.inference.shortlist import Shortlist, ShortlistHead
from seq2seq.models.translation import TranslationModel
from seq2seq.models.weights import tensors_of
from seq2seq.recipe import Model
from seq2seq.search import SUPPRESSED, SourceBatch, StepModel

Weights = dict[str, NDArray[np.float32]]
Make = Callable[[Model, Weights], StepModel[Any]]

SOURCE_SIZE, TARGET_SIZE = 19, 23
BUILT_IN = [cell for cell in cell_variants() if standard_op(cell_options(cell)) is not None]
LOOKING = [("none", "none")] + [
    (attention, feeding)
    for attention in ("dot", "general", "additive")
    for feeding in ("none", "input", "upper")
]
# What is drawn for each decoder cell and way of looking at the source.
REST: dict[str, list[Any]] = {
    "encoder.cell": BUILT_IN,
    "encoder.hidden": [6, 8],
    "encoder.layers": [1, 2, 3],
    "encoder.directions": ["forward", "both"],
    "encoder.residual": [False, True],
    "encoder.reverse": [False, True],
    "decoder.layers": [1, 2, 3],
    "decoder.residual": [False, True],
    "decoder.state_feeding": [False, True],
    "decoder.attention_heads": [1, 2],
    "bridge": ["auto", "copy", "linear", "zero"],
    "tie": ["none", "output", "all"],
    "output": [{"kind": "linear"}, {"kind": "fixnorm", "radius": 2.0}],
    "lexical": [False, True],
}
DRAWS = 10


def random_engine(options: Model, *, seed: int = 0, scale: float = 0.4) -> TorchEngine:
    joint = options.tie == "all"
    model = TranslationModel(options, TARGET_SIZE if joint else SOURCE_SIZE, TARGET_SIZE)
    randomize(model, seed, scale)
    return TorchEngine(model.eval())


def weights_of(engine: TorchEngine) -> Weights:
    return {name: value.numpy().copy() for name, value in tensors_of(engine.model).items()}


def onnx_engine(
    options: Model,
    weights: Weights,
    precision: Precision = "float32",
    *,
    threads: int = 1,
    shortlist: Shortlist | None = None,
) -> OnnxEngine:
    network = OnnxNetwork(options, weights)
    graphs = network.encoder(precision), network.step(precision, chooses=shortlist is None)
    sessions = [open_session(graph.SerializeToString(), threads) for graph in graphs]
    head = None if shortlist is None else ShortlistHead(*network.output_layer(), shortlist)
    return OnnxEngine(*sessions, options, len(weights["output.bias"]), head)


def eight_bits_off(options: Model) -> float:
    """How far log-probabilities in int8 are from torch's, on average over some steps."""
    theirs = random_engine(options, scale=0.2)
    ours = onnx_engine(options, weights_of(theirs), "int8")
    source, rows = sources((9, 4, 12)), np.arange(3)
    mine, other = ours.start(source), theirs.start(source)
    off = []
    for token in (BOS, 5, 9, 7, 11):
        tokens = np.full(3, token)
        one, mine = ours.distribution(mine, rows, tokens)
        two, other = theirs.distribution(other, rows, tokens)
        np.testing.assert_allclose(np.exp(one.log_probs).sum(axis=1), 1.0, atol=1e-4)
        off.append(np.abs(one.log_probs - two.log_probs))
    return float(np.mean(off))


def sources(lengths: tuple[int, ...] = (3, 7, 1, 5), seed: int = 0) -> SourceBatch:
    rng = np.random.default_rng(seed)
    rows = [[*rng.integers(4, SOURCE_SIZE, n - 1).tolist(), EOS] for n in lengths]
    return SourceBatch.from_rows(rows)


def drawn(cell: dict[str, Any], attention: str, feeding: str) -> Iterator[Model]:
    """Models that the recipe and the network allow, with the rest drawn at random."""
    dice = random.Random(f"{cell} {attention} {feeding}")
    found = 0
    while found < DRAWS:
        rest = {key: dice.choice(values) for key, values in REST.items()}
        encoder, decoder = (
            {key.partition(".")[2]: rest[key] for key in REST if key.startswith(side)}
            for side in ("encoder", "decoder")
        )
        size = rest["encoder.hidden"] if attention == "dot" else dice.choice([6, 8])
        decoder |= {"cell": cell, "hidden": size, "attention": attention, "feeding": feeding}
        try:
            more = {key: rest[key] for key in ("bridge", "tie", "output", "lexical")}
            options = model_options(encoder, decoder, **more)
            TranslationModel(options, TARGET_SIZE, TARGET_SIZE)
        except (ValidationError, ModelError):
            continue
        found += 1
        yield options


# Rows are fed, repeated, moved within and between sentences, and dropped with their sentences.
STEPS: list[tuple[list[int], int, str]] = [
    ([0, 1, 2, 3], TARGET_SIZE, "none"),
    ([0, 1, 2, 3], 1, "none"),
    ([0, 0, 1, 2, 2, 2, 3], TARGET_SIZE, "none"),
    ([1, 0, 2, 5, 3, 4, 6], 5, "none"),
    ([6, 5, 4, 3, 2, 1, 0], 5, "special"),
    ([6, 0, 3, 4, 1], TARGET_SIZE, "one"),
    ([1, 1, 4, 4], 6, "one"),
    ([3, 2, 1, 0], 1, "one"),
    ([0], TARGET_SIZE, "forced"),
]


def suppressed(kind: str, rng: np.random.Generator) -> tuple[int, ...]:
    if kind == "none":
        return ()
    if kind == "special":
        return SUPPRESSED
    if kind == "forced":
        return tuple(token for token in range(TARGET_SIZE) if token != EOS)
    return (int(rng.integers(0, TARGET_SIZE)),)


def _apart(log_probs: NDArray[np.float32], least: float = 2e-6) -> NDArray[np.bool_]:
    """Where two engines must agree on the order: no neighbour is within their rounding errors."""
    with np.errstate(invalid="ignore"):  # impossible ones beside each other
        wide = np.abs(np.diff(log_probs, axis=1)) > least
    edge = np.ones((len(log_probs), 1), dtype=bool)
    return np.hstack([edge, wide]) & np.hstack([wide, edge])


def assert_same_steps(ours: StepModel[Any], theirs: StepModel[Any], source: SourceBatch) -> None:
    rng = np.random.default_rng(1)
    states = [ours.start(source), theirs.start(source)]
    token_N = np.full(len(source), BOS)
    for parents, k, kind in STEPS:
        parent_N = np.array(parents)
        if kind != "none" or k != TARGET_SIZE or len(parents) != len(source):
            token_N = rng.integers(0, TARGET_SIZE, len(parents))
        suppress = suppressed(kind, rng)
        before = states.copy()
        (mine, states[0]), (other, states[1]) = (
            engine.step(state, parent_N, token_N, k, suppress)
            for engine, state in zip((ours, theirs), states, strict=True)
        )
        assert mine.log_probs.shape == mine.tokens.shape == (len(parents), k)
        assert mine.log_probs.dtype == np.float32
        np.testing.assert_allclose(mine.log_probs, other.log_probs, atol=1e-4, rtol=0)
        told = (mine.log_probs > -np.inf) & _apart(other.log_probs)
        np.testing.assert_array_equal(mine.tokens[told], other.tokens[told])
        assert all(len(set(row)) == k for row in mine.tokens.tolist())
        mine_all, other_all = (
            engine.distribution(state, parent_N, token_N)[0]
            for engine, state in zip((ours, theirs), before, strict=True)
        )
        assert mine_all.log_probs.dtype == np.float32
        np.testing.assert_allclose(mine_all.log_probs, other_all.log_probs, atol=1e-4, rtol=0)
        for one, two in ((mine, other), (mine_all, other_all)):
            if one.attention is None:
                assert two.attention is None
                continue
            assert one.attention.shape == (len(parents), source.ids.shape[1])
            assert one.attention.dtype == np.float32
            np.testing.assert_allclose(one.attention, two.attention, atol=1e-5, rtol=0)
