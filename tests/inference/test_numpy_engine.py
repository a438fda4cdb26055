"""The numpy engine against the torch one, which the tests of models/ hold to the literature."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from support.engines import (
    BUILT_IN,
    LOOKING,
    REST,
    SOURCE_SIZE,
    TARGET_SIZE,
    assert_same_steps,
    bias_of,
    drawn,
    random_engine,
    sources,
    weights_of,
)
from support.models import model_options, variant_name

from seq2seq.errors import ModelError
from seq2seq.ids import BOS
from seq2seq.inference.engines.torch import TorchEngine
from seq2seq.inference.numpy_engine import NumpyEngine
from seq2seq.inference.numpy_weights import (
    bridge_kind,
    check_supported,
    parameter_shapes,
    supported,
)
from seq2seq.models.translation import TranslationModel
from seq2seq.recipe import Model
from seq2seq.recipe.model import OtherCell
from seq2seq.recipe.training import LengthNormalization
from seq2seq.search import SourceBatch, beam_search, greedy
from seq2seq.search.top_k import best_of


def engines(
    options: Model, *, seed: int = 0, scale: float = 0.4
) -> tuple[TorchEngine, NumpyEngine]:
    theirs = random_engine(options, seed=seed, scale=scale)
    return theirs, NumpyEngine(options, weights_of(theirs))


@pytest.mark.parametrize(("attention", "feeding"), LOOKING)
@pytest.mark.parametrize("cell", BUILT_IN, ids=variant_name)
def test_it_gives_the_numbers_of_torch(cell: dict[str, Any], attention: str, feeding: str) -> None:
    for seed, options in enumerate(drawn(cell, attention, feeding)):
        theirs, ours = engines(options, seed=seed)
        model = theirs.model
        shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
        wanted = parameter_shapes(options, ours.source_vocab_size, TARGET_SIZE)
        assert list(wanted.items()) == list(shapes.items())
        assert bridge_kind(options) == model.bridge.kind
        assert ours.vocab_size == theirs.vocab_size
        assert ours.source_vocab_size == theirs.source_vocab_size
        assert_same_steps(ours, theirs, sources())


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


def test_large_states_and_long_sentences() -> None:
    """Rounding errors grow with both, and the encoder takes its time in several blocks."""
    encoder = {"layers": 2, "hidden": 64, "embedding": 32}
    decoder = {"layers": 2, "hidden": 64, "attention": "additive", "feeding": "upper"}
    theirs, ours = engines(model_options(encoder, decoder), scale=0.15)
    assert_same_steps(ours, theirs, sources((300, 20, 299, 1)))


@pytest.fixture(scope="module")
def pair() -> tuple[TorchEngine, NumpyEngine]:
    encoder = {"hidden": 16, "embedding": 8}
    decoder = {"hidden": 16, "embedding": 8, "attention": "general"}
    return engines(model_options(encoder, decoder, tie="none"), scale=0.7)


LENGTHS = (3, 30, 1, 5, 2, 12, 1, 60, 8)


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_searches_find_the_same(pair: tuple[TorchEngine, NumpyEngine], beam: int) -> None:
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
        for engine in pair
    ]
    for theirs, ours in zip(*found, strict=True):
        assert [one.tokens for one in ours] == [one.tokens for one in theirs]
        assert [one.score for one in ours] == pytest.approx([one.score for one in theirs], abs=1e-4)


def test_greedy_search_finds_the_same(pair: tuple[TorchEngine, NumpyEngine]) -> None:
    source = sources(LENGTHS, seed=3)
    theirs, ours = (greedy(engine, source, max_lengths=source.lengths + 2) for engine in pair)
    assert [one.tokens for one in ours] == [one.tokens for one in theirs]
    assert len({one.tokens for one in ours}) > 3  # not the same for all


def test_a_sentence_does_not_depend_on_its_batch(pair: tuple[TorchEngine, NumpyEngine]) -> None:
    _, ours = pair
    source = sources(LENGTHS, seed=4)
    together = greedy(ours, source, max_lengths=np.full(len(source), 9))
    for row, length, found in zip(source.ids, source.lengths, together, strict=True):
        alone = SourceBatch.from_rows([row[:length].tolist()])
        (expected,) = greedy(ours, alone, max_lengths=[9])
        assert found.tokens == expected.tokens
        assert found.log_prob == pytest.approx(expected.log_prob, abs=1e-4)


def test_more_rows_than_are_done_at_once(pair: tuple[TorchEngine, NumpyEngine]) -> None:
    theirs, ours = pair
    source = sources(tuple(range(1, 41)))
    parent_N = np.repeat(np.arange(40), 4)
    bias = bias_of("one", np.random.default_rng(5))
    mine, other = (
        engine.step(engine.start(source), parent_N, parent_N % 7 + 2, 3, bias)[0]
        for engine in (ours, theirs)
    )
    np.testing.assert_array_equal(mine.tokens, other.tokens)
    np.testing.assert_allclose(mine.log_probs, other.log_probs, atol=1e-4)
    every, others = (
        engine.distribution(engine.start(source), parent_N, parent_N % 7 + 2)[0]
        for engine in (ours, theirs)
    )
    np.testing.assert_allclose(every.log_probs, others.log_probs, atol=1e-4)


@pytest.mark.parametrize("feeding", ["input", "upper"])
def test_a_state_is_a_value(feeding: str) -> None:
    decoder = {"layers": 2, "attention": "general", "feeding": feeding, "state_feeding": True}
    _, ours = engines(model_options({}, decoder))
    source = sources()
    rows, token_N = np.arange(4), np.array([5, 6, 7, 8])
    _, state = ours.step(ours.start(source), rows, np.full(4, BOS), 3)
    first, _ = ours.step(state, rows, token_N, 4)
    ours.step(state, np.array([3, 3, 0]), token_N[:3], 4)
    again, _ = ours.step(state, rows, token_N, 4)
    np.testing.assert_array_equal(again.log_probs, first.log_probs)
    np.testing.assert_array_equal(again.tokens, first.tokens)


def test_probabilities_of_extreme_logits() -> None:
    theirs, ours = engines(model_options({}, {}), scale=30.0)
    assert_same_steps_within(ours, theirs, 1e-2)


def assert_same_steps_within(ours: NumpyEngine, theirs: TorchEngine, tolerance: float) -> None:
    source, rows = sources(), np.arange(4)
    mine, other = (
        engine.step(engine.start(source), rows, np.full(4, BOS), TARGET_SIZE)[0]
        for engine in (ours, theirs)
    )
    assert np.isfinite(mine.log_probs).all()
    assert mine.log_probs.min() < -100.0
    np.testing.assert_allclose(mine.log_probs, other.log_probs, atol=tolerance)


def test_broken_weights_are_told() -> None:
    theirs, _ = engines(model_options({}, {}))
    weights = {name: p.detach().numpy().copy() for name, p in theirs.model.named_parameters()}
    weights["decoder.readout.weight"][0, 0] = np.nan
    broken = NumpyEngine(theirs.model.options, weights)
    with pytest.raises(ModelError, match="are not numbers"):
        greedy(broken, sources(), max_lengths=np.full(4, 5))


@pytest.mark.parametrize("size", [1, 5, 64, 1000, 8000])
@pytest.mark.parametrize("k", [1, 2, 6, 40, 8000])
def test_the_best_are_those_of_a_sort(size: int, k: int) -> None:
    k = min(k, size)
    rng = np.random.default_rng(size * k)
    plain = rng.standard_normal((7, size)).astype(np.float32)
    tied = np.round(plain)
    tied[0] = -np.inf
    tied[1, size // 2 :] = -np.inf
    for scores in (plain, tied):
        values, columns = best_of(scores.copy(), k)
        np.testing.assert_array_equal(values, -np.sort(-scores, axis=1)[:, :k])
        np.testing.assert_array_equal(values, np.take_along_axis(scores, columns, axis=1))
        assert all(len(set(row)) == k for row in columns.tolist())
        same = values[:, 1:] == values[:, :-1]
        assert (columns[:, 1:] > columns[:, :-1])[same].all()


def test_parts_that_only_torch_knows() -> None:
    options = model_options({}, {"attention": "dot"})
    assert supported(options)
    check_supported(options)
    other = OtherCell.model_construct(kind="sru")
    cell = options.model_copy(
        update={"encoder": options.encoder.model_copy(update={"cell": other})}
    )
    attention = options.model_copy(
        update={"decoder": options.decoder.model_copy(update={"attention": "heads"})}
    )
    for model, part in ((cell, "cell 'sru'"), (attention, "attention 'heads'")):
        assert not supported(model)
        with pytest.raises(ModelError) as error:
            NumpyEngine(model, {})
        assert str(error.value) == (
            f"this model's {part} needs torch: pip install 'seq2seq[train]' (and choose the engine "
            "'torch' or 'auto'); without it there are the cells lstm, gru, rnn and the attentions "
            "none, dot, general, additive"
        )


def test_sizes_that_do_not_fit_are_told_as_torch_does() -> None:
    options = model_options({}, {"hidden": 6}, bridge="copy")
    with pytest.raises(ModelError) as theirs:
        TranslationModel(options, SOURCE_SIZE, TARGET_SIZE)
    with pytest.raises(ModelError) as ours:
        parameter_shapes(options, SOURCE_SIZE, TARGET_SIZE)
    assert str(ours.value) == str(theirs.value)


def test_it_works_in_float32_whatever_it_is_given() -> None:
    theirs, ours = engines(model_options({}, {}))
    weights = {name: p.detach().double().numpy() for name, p in theirs.model.named_parameters()}
    double = NumpyEngine(theirs.model.options, weights)
    assert torch.get_default_dtype() == torch.float32
    assert_same_steps(double, ours, sources())
