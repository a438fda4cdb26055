"""The ONNX graphs against the torch engine, which the tests of models/ hold to the literature."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from support.engines import (
    BUILT_IN,
    LOOKING,
    REST,
    SOURCE_SIZE,
    TARGET_SIZE,
    assert_same_steps,
    drawn,
    eight_bits_off,
    onnx_engine,
    random_engine,
    sources,
    suppressed,
    weights_of,
)
from support.models import model_options, variant_name

from seq2seq.errors import ModelError
from seq2seq.ids import BOS
from seq2seq.inference.engines.onnx import OnnxEngine
from seq2seq.inference.engines.onnx.builder import PRECISIONS, Precision
from seq2seq.inference.engines.onnx.network import OnnxNetwork
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.inference.shortlist import Shortlist
from seq2seq.recipe.training import LengthNormalization
from seq2seq.search import SUPPRESSED, SourceBatch, beam_search, greedy


@pytest.mark.parametrize(("attention", "feeding"), LOOKING)
@pytest.mark.parametrize("cell", BUILT_IN, ids=variant_name)
def test_it_gives_the_numbers_of_torch(cell: dict[str, Any], attention: str, feeding: str) -> None:
    for seed, options in enumerate(drawn(cell, attention, feeding)):
        theirs = random_engine(options, seed=seed)
        assert_same_steps(onnx_engine(options, weights_of(theirs)), theirs, sources())


@pytest.mark.parametrize("feeding", ["none", "input", "upper"])
@pytest.mark.parametrize("cell", BUILT_IN, ids=variant_name)
def test_eight_bits_are_near(cell: dict[str, Any], feeding: str) -> None:
    """Rounding errors grow with the weights; these are of the size that training leaves."""
    encoder = {"hidden": 32, "embedding": 16, "cell": cell}
    decoder = {"layers": 2, "hidden": 32, "embedding": 16, "cell": cell, "residual": True}
    options = model_options(encoder, {**decoder, "attention": "general", "feeding": feeding})
    assert 0.0 < eight_bits_off(options) < 0.05


@pytest.mark.parametrize("output", ["linear", {"kind": "fixnorm", "radius": 3.0}], ids=str)
@pytest.mark.parametrize("attention", ["general", "additive"])
def test_eight_bits_are_near_with_heads_and_words(attention: str, output: Any) -> None:
    sizes = {"hidden": 64, "embedding": 64}
    decoder = {**sizes, "attention": attention, "attention_heads": 4}
    options = model_options(sizes, decoder, lexical=True, output=output)
    assert 0.0 < eight_bits_off(options) < 0.05


LENGTHS = (3, 30, 1, 5, 2, 12, 1, 60, 8)
DECODERS = [
    {"attention": "general"},
    {"attention": "additive", "feeding": "upper", "layers": 2},
    {"attention": "dot", "feeding": "input"},
    {"state_feeding": True},
    {"attention": "additive", "attention_heads": 2, "feeding": "input", "lexical": True,
     "output": {"kind": "fixnorm", "radius": 3.0}},
]  # fmt: skip


def pair(decoder: dict[str, Any], precision: Precision) -> tuple[TorchEngine, OnnxEngine]:
    sizes = {"hidden": 16, "embedding": 8}
    more = {key: decoder[key] for key in ("output", "lexical") if key in decoder}
    decoder = {key: value for key, value in decoder.items() if key not in more}
    options = model_options(sizes, {**sizes, **decoder}, tie="none", **more)
    theirs = random_engine(options, scale=0.7)
    return theirs, onnx_engine(options, weights_of(theirs), precision)


@pytest.mark.parametrize("beam", [1, 5])
@pytest.mark.parametrize("decoder", DECODERS, ids=variant_name)
def test_searches_find_the_same(decoder: dict[str, Any], beam: int) -> None:
    source = sources(LENGTHS, seed=2)
    found = [
        beam_search(
            engine,
            source,
            beam=beam,
            n_best=beam,
            max_lengths=source.lengths + 2,
            normalization=LengthNormalization(),
        )
        for engine in pair(decoder, "float32")
    ]
    for theirs, ours in zip(*found, strict=True):
        assert [one.tokens for one in ours] == [one.tokens for one in theirs]
        assert [one.score for one in ours] == pytest.approx([one.score for one in theirs], abs=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("decoder", DECODERS, ids=variant_name)
def test_a_sentence_does_not_depend_on_its_batch(
    decoder: dict[str, Any], precision: Precision
) -> None:
    _, engine = pair(decoder, precision)
    source = sources(LENGTHS, seed=4)
    together = greedy(engine, source, max_lengths=np.full(len(source), 9))
    assert len({one.tokens for one in together}) > 3
    for row, length, found in zip(source.ids, source.lengths, together, strict=True):
        alone = SourceBatch.from_rows([row[:length].tolist()])
        (expected,) = greedy(engine, alone, max_lengths=[9])
        assert found.tokens == expected.tokens
        assert found.log_prob == pytest.approx(expected.log_prob, abs=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_best_are_those_of_the_distribution(precision: Precision) -> None:
    _, engine = pair(DECODERS[0], precision)
    source, rows, tokens = sources(), np.arange(4), np.full(4, BOS)
    best, _ = engine.step(engine.start(source), rows, tokens, 4, SUPPRESSED)
    every, _ = engine.distribution(engine.start(source), rows, tokens)
    assert every.log_probs.shape == (4, TARGET_SIZE)
    allowed = every.log_probs.copy()
    allowed[:, SUPPRESSED] = -np.inf
    expected = np.argsort(-allowed, axis=1, kind="stable")[:, :4]
    np.testing.assert_array_equal(best.tokens, expected)
    np.testing.assert_allclose(
        best.log_probs, np.take_along_axis(every.log_probs, expected, axis=1), atol=1e-6
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_large_states_and_long_sentences(threads: int) -> None:
    encoder = {"layers": 2, "hidden": 64, "embedding": 32}
    decoder = {"layers": 2, "hidden": 64, "attention": "additive", "feeding": "upper"}
    theirs = random_engine(model_options(encoder, decoder), scale=0.15)
    ours = onnx_engine(theirs.model.options, weights_of(theirs), threads=threads)
    assert_same_steps(ours, theirs, sources((300, 20, 299, 1)))


@pytest.mark.parametrize("decoder", DECODERS, ids=variant_name)
def test_a_state_is_a_value(decoder: dict[str, Any]) -> None:
    _, ours = pair(decoder, "float32")
    source = sources()
    rows, token_N = np.arange(4), np.array([5, 6, 7, 8])
    _, state = ours.step(ours.start(source), rows, np.full(4, BOS), 3)
    first, _ = ours.distribution(state, rows, token_N)
    ours.distribution(state, np.array([3, 3, 0]), token_N[:3])
    again, _ = ours.distribution(state, rows, token_N)
    np.testing.assert_array_equal(again.log_probs, first.log_probs)


def test_probabilities_of_extreme_logits() -> None:
    theirs = random_engine(model_options({}, {}), scale=30.0)
    ours = onnx_engine(theirs.model.options, weights_of(theirs))
    source, rows, tokens = sources(), np.arange(4), np.full(4, BOS)
    mine, other = (
        engine.distribution(engine.start(source), rows, tokens)[0].log_probs
        for engine in (ours, theirs)
    )
    assert np.isfinite(mine).all()
    assert mine.min() < -100.0
    np.testing.assert_allclose(mine, other, atol=1e-2)


def test_broken_weights_are_told() -> None:
    theirs = random_engine(model_options({}, {}))
    weights = weights_of(theirs)
    weights["decoder.readout.weight"][0, 0] = np.nan
    with pytest.raises(ModelError, match="are not numbers"):
        greedy(onnx_engine(theirs.model.options, weights), sources(), max_lengths=np.full(4, 5))


@pytest.mark.parametrize("name", ["decoder.readout.weight", "output.bias"])
def test_a_missing_weight_is_named(name: str) -> None:
    theirs = random_engine(model_options({}, {}))
    weights = weights_of(theirs)
    del weights[name]
    with pytest.raises(ModelError) as caught:
        OnnxNetwork(theirs.model.options, weights).step("float32")
    assert str(caught.value) == (
        f"the weights lack {name}; recipe.toml and weights must be of one run"
    )


def test_parts_that_only_torch_knows() -> None:
    options = model_options({}, {})
    decoder = options.decoder.model_copy(update={"attention": "heads"})
    with pytest.raises(ModelError, match="attention 'heads' cannot be exported"):
        OnnxNetwork(options.model_copy(update={"decoder": decoder}), {})


@pytest.mark.parametrize("decoder", DECODERS, ids=variant_name)
def test_a_shortlist_of_all_tokens_changes_nothing(decoder: dict[str, Any]) -> None:
    theirs, whole = pair(decoder, "float32")
    every = np.broadcast_to(np.arange(TARGET_SIZE), (SOURCE_SIZE, TARGET_SIZE))
    shortlist = Shortlist(every.astype(np.int32), np.array([4], np.int32), TARGET_SIZE)
    ours = onnx_engine(theirs.model.options, weights_of(theirs), shortlist=shortlist)
    assert_same_steps(ours, theirs, sources())
    source = sources(LENGTHS, seed=2)
    found = [
        beam_search(
            engine,
            source,
            beam=4,
            max_lengths=source.lengths + 2,
            normalization=LengthNormalization(),
        )
        for engine in (ours, whole)
    ]
    for (mine,), (other,) in zip(*found, strict=True):
        assert mine.tokens == other.tokens
        assert mine.score == pytest.approx(other.score, abs=1e-4)
        assert mine.log_prob == pytest.approx(sum(mine.token_log_probs), abs=1e-6)


def test_the_draws_reach_every_value_of_every_option() -> None:
    seen: dict[str, set[str]] = {key: set() for key in REST}
    for cell, (attention, feeding) in itertools.product(BUILT_IN, LOOKING):
        for options in drawn(cell, attention, feeding):
            for key in REST:
                value: Any = options
                for name in key.split("."):
                    value = getattr(value, name)
                seen[key].add(str(value))
    # A GRU's table is its kind alone: each choice is another text.
    assert {key: len(values) for key, values in seen.items()} == {
        key: len(values) for key, values in REST.items()
    }


def test_more_rows_than_are_done_at_once() -> None:
    theirs, ours = pair(DECODERS[0], "float32")
    source = sources(tuple(range(1, 41)))
    parent_N = np.repeat(np.arange(40), 4)
    suppress = suppressed("one", np.random.default_rng(5))
    mine, other = (
        engine.step(engine.start(source), parent_N, parent_N % 7 + 2, 3, suppress)[0]
        for engine in (ours, theirs)
    )
    np.testing.assert_array_equal(mine.tokens, other.tokens)
    np.testing.assert_allclose(mine.log_probs, other.log_probs, atol=1e-4)
